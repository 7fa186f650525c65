# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets with which ECR logs in to upstream registries: what is wanted, what is there, and how to get there.

A value is looked at and stored, and never shown: plans, results and diffs only have words for it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_secrets as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ACCESS_DENIED_CODES, AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import repeated
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import SECRET_PREFIX, check_region

PLACEHOLDER = "FILL-ME"
SECRETS_AT_A_TIME = 8
RECOVERY_DAYS = range(7, 31)
MAX_NAME, MAX_DESCRIPTION = 512, 2048

# The words that stand for a value.
TO_BE_FILLED, FILLED, NEW, UNREAD = "placeholder", "credential", "new credential", "unknown"

_NAME = re.compile(r"[\w/+=.@-]+", re.ASCII)
_DEFAULT_KEY = "alias/aws/secretsmanager"
INVALID_VALUE = "InvalidSecretValue"


@dataclass(frozen=True)
class Login:
    """What ECR logs in with. It shows itself to nobody."""

    username: str = field(repr=False)
    access_token: str = field(repr=False)

    def to_text(self) -> str:
        return json.dumps({"username": self.username, "accessToken": self.access_token})

    @property
    def is_placeholder(self) -> bool:
        return PLACEHOLDER in (self.username, self.access_token)


@dataclass(frozen=True)
class Wanted:
    """A secret as the task describes it. None is left alone, and for the login of a new secret the placeholder."""

    name: str
    login: Login | None = None
    description: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Found:
    """A secret as it is. The login is None where it was not read; `problem` says why it could not be."""

    arn: str
    description: str
    tags: Mapping[str, str]
    key: str | None = None
    awaits_deletion: bool = False
    login: Login | None = None
    problem: AnsibleECRError | None = None


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    recovery_days: int = RECOVERY_DAYS[0]
    force_delete: bool = False


# ------------------------------------------------------------------ what the task says


def wanted_secrets(params: Mapping[str, Any], region: str) -> list[Wanted]:
    """From the options of the module, checked as a whole before anything is asked of AWS."""
    given = params["secrets"]
    problems = _repetitions(given) + [problem for secret in given for problem in _problems(secret, params["state"])]
    if params["recovery_window"] not in RECOVERY_DAYS:
        least, most = RECOVERY_DAYS[0], RECOVERY_DAYS[-1]
        problems.append(f"recovery_window: must be {least} to {most} days, not {params['recovery_window']}")
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidPullThroughSecret")
    if params["state"] == "present":
        check_region(region)
    return [_wanted(secret) for secret in given]


def _wanted(secret: Mapping[str, Any]) -> Wanted:
    user, token = secret["username"], secret["access_token"]
    login = None if user is None or token is None else Login(user, token)
    tags = secret["tags"]
    text_tags = None if tags is None else {str(key): str(value) for key, value in tags.items()}
    return Wanted(secret["name"], login, secret["description"], text_tags)


def _repetitions(given: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [secret["name"] for secret in given]
    return [f"{names[at]!r}, name: is there more than once" for at in repeated(names)]


def _problems(secret: Mapping[str, Any], state: str) -> Iterator[str]:
    name = secret["name"]
    for text in _name_problems(name):
        yield f"{name!r}, name: {text}"
    if state == "absent":
        return
    for option, other in (("username", "access_token"), ("access_token", "username")):
        if secret[option] == "":
            yield f"{name!r}, {option}: is empty: give both username and access_token, or neither to fill them in later"
        elif secret[option] is not None and secret[other] is None:
            yield f"{name!r}, {other}: is required with {option}, or leave out both to fill them in later"
    if len(secret["description"] or "") > MAX_DESCRIPTION:
        yield f"{name!r}, description: must have at most {MAX_DESCRIPTION} characters"


def _name_problems(name: str) -> Iterator[str]:
    if not name.startswith(SECRET_PREFIX) or name == SECRET_PREFIX:
        yield f"must begin with {SECRET_PREFIX}, because Amazon ECR may read no other secrets: {SECRET_PREFIX}NAME"
    elif not _NAME.fullmatch(name):
        yield "must be letters, digits and / _ + = . @ -"
    if len(name) > MAX_NAME:
        yield f"must have at most {MAX_NAME} characters, not {len(name)}"


# ------------------------------------------------------------------ plan


def plan(wanted: Wanted, found: Found | None) -> Change:
    """What a secret is to become. Pure."""
    if found is None:
        value = FILLED if wanted.login else TO_BE_FILLED
        after = _state(wanted.description or "", wanted.tags or {}, value)
        note = "" if wanted.login else f", with {PLACEHOLDER} to be filled in"
        return Change(None, after, [f"create the secret {wanted.name}{note}"])
    before = _state_of(found)
    after = {
        **before,
        "description": found.description if wanted.description is None else wanted.description,
        "tags": {**found.tags, **(wanted.tags or {})},
        "value": NEW if _needs_storing(wanted, found) else before["value"],
        "awaits_deletion": False,
    }
    return Change(before, after, list(_steps(wanted.name, before, after)))


def plan_removal(name: str, found: Found | None, settings: Settings) -> Change:
    """Pure."""
    if found is None or (found.awaits_deletion and not settings.force_delete):
        return Change(None, None, [])
    when = "at once" if settings.force_delete else f"in {settings.recovery_days} days"
    return Change(_state_of(found), None, [f"delete the secret {name} {when}"])


def _needs_storing(wanted: Wanted, found: Found) -> bool:
    return wanted.login is not None and (found.awaits_deletion or wanted.login != found.login)


def _state_of(found: Found) -> dict[str, Any]:
    value = UNREAD if found.login is None else TO_BE_FILLED if found.login.is_placeholder else FILLED
    return _state(found.description, found.tags, value, awaits_deletion=found.awaits_deletion)


def _state(description: str, tags: Mapping[str, str], value: str, *, awaits_deletion: bool = False) -> dict[str, Any]:
    return {
        "description": description,
        "tags": dict(sorted(tags.items())),
        "value": value,
        "awaits_deletion": awaits_deletion,
    }


def _steps(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before["awaits_deletion"]:
        yield f"restore the secret {name}, which awaited its deletion"
    if after["value"] == NEW:
        yield f"store a new credential in the secret {name}"
    if before["description"] != after["description"]:
        yield f"update the description of the secret {name}"
    if before["tags"] != after["tags"]:
        yield f"tag the secret {name} ({', '.join(_new_tags(before, after))})"


def _new_tags(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in after["tags"].items() if before["tags"].get(key) != value}


# ------------------------------------------------------------------ apply


def present(client: Any, secrets: Sequence[Wanted], settings: Settings) -> list[Outcome[Change]]:
    """Make the secrets be as they are wanted."""
    by_name = {secret.name: secret for secret in secrets}
    found = _with_values(client, _found(client, list(by_name)))

    def converge(name: str) -> Change:
        wanted, current = by_name[name], _usable(found[name])
        if current and current.problem and not _can_do_without(wanted, current.problem):
            raise current.problem
        change = plan(wanted, current)
        return _with_details(change, current if settings.check_mode else apply(client, wanted, current, change))

    return run_each(list(by_name), converge, SECRETS_AT_A_TIME)


def absent(client: Any, names: Sequence[str], settings: Settings) -> list[Outcome[Change]]:
    """Make the secrets go, or await their deletion."""
    found = _found(client, names)
    how = (
        {"ForceDeleteWithoutRecovery": True}
        if settings.force_delete
        else {"RecoveryWindowInDays": settings.recovery_days}
    )

    def converge(name: str) -> Change:
        current = _usable(found[name], any_key=True)
        change = plan_removal(name, current, settings)
        if current and change.changed and not settings.check_mode:
            api.delete_secret(client, current.arn, how)
        return replace(change, details={"arn": current.arn if current else None, "needs_filling": None})

    return run_each(names, converge, SECRETS_AT_A_TIME)


def apply(client: Any, wanted: Wanted, found: Found | None, change: Change) -> Found:
    """Do what the plan says, and nothing else; the secret as it is then."""
    if found is None:
        return _create(client, wanted)
    before, after = change.before, change.after
    if before["awaits_deletion"]:
        api.restore_secret(client, found.arn)
    if after["value"] == NEW and wanted.login:
        api.put_secret_value(client, found.arn, wanted.login.to_text())
    if before["description"] != after["description"]:
        api.update_description(client, found.arn, after["description"])
    if before["tags"] != after["tags"]:
        api.tag_secret(client, found.arn, ansible_dict_to_boto3_tag_list(_new_tags(before, after)))
    if before["awaits_deletion"] and not wanted.login:
        return _read(client, [found])[found.arn]
    return replace(found, login=wanted.login or found.login)


def _create(client: Any, wanted: Wanted) -> Found:
    login = wanted.login or Login(PLACEHOLDER, PLACEHOLDER)
    fields = {
        "Name": wanted.name,
        "SecretString": login.to_text(),
        "Description": wanted.description,
        "Tags": ansible_dict_to_boto3_tag_list(dict(wanted.tags or {})),
    }
    arn = api.create_secret(client, {name: value for name, value in fields.items() if value})
    return Found(arn, wanted.description or "", wanted.tags or {}, login=login)


def _with_details(change: Change, found: Found | None) -> Change:
    """Where the secret is, and whether somebody still has to fill it in; None is that nobody can tell."""
    if change.after["value"] in (FILLED, NEW):
        needs_filling: bool | None = False
    elif change.after["value"] == TO_BE_FILLED:
        needs_filling = True
    else:
        needs_filling = found.login.is_placeholder if found and found.login else None
    return replace(change, details={"arn": found.arn if found else None, "needs_filling": needs_filling})


def _can_do_without(wanted: Wanted, problem: AnsibleECRError) -> bool:
    """A value that is no login can be replaced by one. A value that may not be read can be left alone."""
    return problem.code == INVALID_VALUE if wanted.login else _is_denial(problem)


def _is_denial(problem: AnsibleECRError) -> bool:
    return problem.code in ACCESS_DENIED_CODES


# ------------------------------------------------------------------ AWS Secrets Manager


def _found(client: Any, names: Sequence[str]) -> dict[str, Outcome[Found | None]]:
    outcomes = run_each(names, lambda name: _from_aws(api.describe_secret(client, name)), SECRETS_AT_A_TIME)
    return {outcome.name: outcome for outcome in outcomes}


def _from_aws(document: Mapping[str, Any] | None) -> Found | None:
    if document is None:
        return None
    return Found(
        arn=document["ARN"],
        description=document.get("Description") or "",
        tags=boto3_tag_list_to_ansible_dict(document.get("Tags") or []),
        key=document.get("KmsKeyId"),
        awaits_deletion=bool(document.get("DeletedDate")),
    )


def _usable(outcome: Outcome[Found | None], *, any_key: bool = False) -> Found | None:
    """The secret, or the error that stands in its way."""
    if outcome.error:
        raise outcome.error
    found = outcome.result
    if found and found.key and not found.key.endswith(_DEFAULT_KEY) and not any_key:
        raise AnsibleECRError(
            f"The secret is encrypted with the customer managed key {found.key}, and Amazon ECR can only read secrets "
            f"that are encrypted with aws/secretsmanager. Change its key: aws secretsmanager update-secret "
            f"--secret-id {outcome.name} --kms-key-id {_DEFAULT_KEY}",
            code="CustomerManagedKey",
        )
    return found


def _with_values(client: Any, outcomes: Mapping[str, Outcome[Found | None]]) -> dict[str, Outcome[Found | None]]:
    readable = [o.result for o in outcomes.values() if o.result and not o.result.awaits_deletion]
    read = _read(client, readable)
    return {
        name: replace(outcome, result=read.get(outcome.result.arn, outcome.result)) if outcome.result else outcome
        for name, outcome in outcomes.items()
    }


def _read(client: Any, secrets: Sequence[Found]) -> dict[str, Found]:
    """The secrets with their values, by ARN."""
    by_arn = {secret.arn: secret for secret in secrets}
    for start in range(0, len(secrets), api.VALUES_IN_A_CALL):
        batch = [secret.arn for secret in secrets[start : start + api.VALUES_IN_A_CALL]]
        for arn, value in _values(client, batch).items():
            by_arn[arn] = replace(by_arn[arn], **({"login": value} if isinstance(value, Login) else {"problem": value}))
    return by_arn


def _values(client: Any, arns: Sequence[str]) -> dict[str, Login | AnsibleECRError]:
    try:
        answer = api.batch_get_secret_value(client, arns)
    except AnsibleECRError as error:
        if not _is_denial(error):
            raise
        return dict.fromkeys(arns, error)
    values = {item["ARN"]: login_from_text(item.get("SecretString")) for item in answer.get("SecretValues", [])}
    errors = {item.get("SecretId", ""): _error_of(item) for item in answer.get("Errors", [])}
    lost = AnsibleECRError("AWS Secrets Manager does not say what the value of the secret is", code="NoSecretValue")
    return {arn: values.get(arn) or errors.get(arn) or lost for arn in arns}


def login_from_text(text: str | None) -> Login | AnsibleECRError:
    """The login that a value holds, or why it holds none."""
    try:
        document = json.loads(text or "")
        parts = document["username"], document["accessToken"]
    except (ValueError, TypeError, KeyError):
        parts = (None, None)
    if all(isinstance(part, str) for part in parts):
        return Login(*parts)
    return AnsibleECRError(
        "The value of the secret is not a JSON object with username and accessToken, which Amazon ECR needs. "
        "Correct it, or give username and access_token to replace it",
        code=INVALID_VALUE,
    )


def _error_of(item: Mapping[str, Any]) -> AnsibleECRError:
    code = str(item.get("ErrorCode") or "NoSecretValue")
    needs = " (needs secretsmanager:GetSecretValue)" if code in ACCESS_DENIED_CODES else ""
    return AnsibleECRError(
        f"Failed to read the value of the secret{needs}: {item.get('Message', '')} ({code})", code=code
    )
