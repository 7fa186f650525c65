# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the upstreams of the role pull_through_cache come down to: secrets, rules, templates and policies. All pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import creation_templates, pull_through
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import AddressError, cached_address
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.iam_options import (
    is_elsewhere,
    is_policy_name,
    is_role_name,
    role_name,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import policy_to_text
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import ROOT, is_under, normal_prefix
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import SECRET_PREFIX
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_secrets import RECOVERY_DAYS
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import (
    SECRET,
    UPSTREAMS,
    Upstream,
    ecr_account,
    normal_url,
    upstream_of,
)

Document = dict[str, Any]

PRESENT, ABSENT = "present", "absent"

# The fields of an upstream, and what they hold.
TEXT, LIST, DICTIONARY, YES_OR_NO = "a text", "a list", "a dictionary", "true or false"
FIELDS = {
    "upstream": TEXT,
    "upstream_url": TEXT,
    "upstream_repository_prefix": TEXT,
    "username": TEXT,
    "access_token": TEXT,
    "secret_name": TEXT,
    "secret_arn": TEXT,
    "manage_secret": YES_OR_NO,
    "custom_role_arn": TEXT,
    "repository_read_access_arns": LIST,
    "image_tag_mutability": TEXT,
    "image_tag_mutability_exclusion_filters": LIST,
    "lifecycle_rules": LIST,
    "encryption_type": TEXT,
    "kms_key_arn": TEXT,
    "tags": DICTIONARY,
    "description": TEXT,
    "state": TEXT,
}
CHOICES = {
    "upstream": tuple(UPSTREAMS),
    "image_tag_mutability": ("MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"),
    "encryption_type": ("AES256", "KMS", "KMS_DSSE"),
    "state": (PRESENT, ABSENT),
}
_KINDS: Mapping[str, Callable[[Any], bool]] = {
    TEXT: lambda value: isinstance(value, str),
    LIST: lambda value: isinstance(value, Sequence) and not isinstance(value, str),
    DICTIONARY: lambda value: isinstance(value, Mapping),
    YES_OR_NO: lambda value: isinstance(value, bool),
}
LOGIN = ("username", "access_token")
MUTABLE, AES256 = "MUTABLE", "AES256"

# Stands for the six characters that AWS adds to the name of a secret, as long as nobody knows them.
UNKNOWN_SUFFIX = "-XXXXXX"

READ_ACTIONS = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
IMPORT_ACTIONS = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
TAG_ACTION = "ecr:TagResource"
KMS_ACTIONS = ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"]
POLICY_VERSION = "2012-10-17"

TEMPLATE_WORDS = {
    ", resource_tags:": ", tags:",
    ", custom_role_arn:": ", pull_through_cache_template_role_arn:",
}
MAX_ROLE_NAME = 64
IAM_CHARACTERS = "letters, digits and + = , . @ _ -"
ANY_REGISTRY = "registry.invalid"

_ACCOUNT = re.compile(r"\d{12}")
_PRINCIPAL = re.compile(r"\d{12}|arn:aws[\w-]*:(iam|sts)::\d{12}:.+")


@dataclass(frozen=True)
class Entry:
    """One upstream of the map, by its prefix."""

    prefix: str
    fields: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.fields.get(field)

    @property
    def upstream(self) -> Upstream | None:
        """The registry: as it is named, by its URL, or by the prefix where that is the name of one."""
        if self["upstream"]:
            return UPSTREAMS.get(self["upstream"])
        return upstream_of(normal_url(self["upstream_url"])) if self["upstream_url"] else UPSTREAMS.get(self.prefix)

    @property
    def has_managed_secret(self) -> bool:
        return bool(self.upstream and self.upstream.login == SECRET) and not self["secret_arn"] and self.may_manage

    @property
    def may_manage(self) -> bool:
        return self["manage_secret"] is not False

    @property
    def secret_name(self) -> str:
        return str(self["secret_name"] or f"{SECRET_PREFIX}{self.prefix}")


@dataclass(frozen=True)
class Settings:
    """What holds for all upstreams."""

    registry: Mapping[str, str]
    name: str
    tags: Mapping[str, str]
    lifecycle_rules: Sequence[Mapping[str, Any]]
    consumers: Sequence[str]
    template_role_arn: str
    policy_name: str
    pullers: Sequence[str]
    warm: Sequence[str]
    recovery_days: int
    secrets: Mapping[str, Mapping[str, Any]]

    def repositories(self, prefixes: Iterable[str]) -> list[str]:
        base = self.registry["repository_arn"]
        return [f"{base}/*" if prefix == ROOT else f"{base}/{prefix}/*" for prefix in prefixes]

    def principals(self, given: Iterable[str]) -> list[str]:
        """ARNs; the number of an account stands for all of it."""
        partition = self.registry["partition"]
        arns = [f"arn:{partition}:iam::{one}:root" if _ACCOUNT.fullmatch(str(one)) else str(one) for one in given]
        return list(dict.fromkeys(arns))


def settings_from(given: Mapping[str, Any]) -> Settings:
    return Settings(
        registry=given["registry"],
        name=given["name"],
        tags=_texts(given.get("tags")),
        lifecycle_rules=given.get("lifecycle_rules") or [],
        consumers=given.get("cross_account_principals") or [],
        template_role_arn=given.get("template_role_arn") or "",
        policy_name=given.get("policy_name") or "",
        pullers=given.get("attach_to_roles") or [],
        warm=given.get("warm") or [],
        recovery_days=int(given.get("secret_recovery_days") or RECOVERY_DAYS[0]),
        secrets={secret["name"]: secret for secret in given.get("secrets") or []},
    )


def parts(upstreams: Mapping[str, Any], settings: Settings) -> Document:
    """All that is to be made of the upstreams. An error names every mistake."""
    if not upstreams:
        _raise_if_any(["pull_through_cache_upstreams is empty: name the registries to cache, as in {'quay': {}}"])
    given = _entries(upstreams)
    _raise_if_any([problem for entry in given for problem in _kind_problems(entry)])
    entries = [entry for entry in given if entry["state"] != ABSENT]
    if not entries:
        _raise_if_any(["all upstreams have state absent: remove the whole cache with pull_through_cache_state=absent"])
    problems = _told_by(lambda items, _region: pull_through.unwanted_prefixes(items), _prefixes(given), settings, {})
    problems += [problem for entry in entries for problem in _problems(entry)]
    # A rule of an entry that makes no sense would only be reported again, in other words.
    rules = [_rule(entry, settings) for entry in entries if not _problems(entry)]
    templates = [_template(entry, settings) for entry in entries]
    problems += _told_by(pull_through.desired_rules, rules, settings, {SECRET: "secret_arn"})
    problems += _told_by(creation_templates.desired_templates, templates, settings, TEMPLATE_WORDS)
    problems += [*_name_problems(settings), *_puller_problems(entries, settings)]
    _raise_if_any(problems)
    _raise_if_any(list(_warm_problems(rules, settings)))
    to_fill = [entry.prefix for entry in entries if _is_to_fill(entry, settings)]
    return {
        "secrets": [_secret(entry, settings) for entry in entries if entry.has_managed_secret],
        "needs_filling": to_fill,
        "rules": [rule for rule in rules if rule["prefix"] not in to_fill],
        "unfilled_rules": [rule for rule in rules if rule["prefix"] in to_fill],
        "templates": templates,
        "template_policy": _template_policy(entries, settings),
        "puller_policy": _puller_policy(entries, settings),
        "consumer_statements": _consumer_statements(entries, settings),
        "consumer_sid": _sid(settings),
        "gone": _gone([entry for entry in given if entry not in entries], entries),
    }


def leftovers(upstreams: Mapping[str, Any], settings: Settings) -> Document:
    """All that may be there of the upstreams. What is wrong with them does not matter here, but for their prefixes."""
    entries = _entries(upstreams)
    _raise_if_any(list(_name_problems(settings)))
    pull_through.unwanted_prefixes(_prefixes(entries))
    return {"consumer_sid": _sid(settings), "gone": _gone(entries, [])}


def _gone(entries: Sequence[Entry], kept: Sequence[Entry]) -> Document:
    """What is to go of these upstreams, and not of those that are kept."""
    used = [entry.secret_name for entry in kept if entry.has_managed_secret]
    names = dict.fromkeys(entry.secret_name for entry in entries if entry.has_managed_secret)
    return {
        "rules": _prefixes(entries),
        "secrets": [{"name": name} for name in names if name not in used],
        "repositories": [f"{entry.prefix}/*" for entry in entries if not _has_others(entry, kept)],
    }


def _has_others(entry: Entry, kept: Sequence[Entry]) -> bool:
    """Whether repositories under the prefix are not of this upstream. Under ROOT are all of the registry."""
    return entry.prefix == ROOT or any(is_under(other.prefix, entry.prefix) for other in kept)


# ------------------------------------------------------------------ what is given


def _prefixes(entries: Iterable[Entry]) -> list[Document]:
    return [{"prefix": entry.prefix} for entry in entries]


def _entries(upstreams: Mapping[str, Any]) -> list[Entry]:
    wrong = [repr(prefix) for prefix, fields in upstreams.items() if not isinstance(fields or {}, Mapping)]
    _raise_if_any([f"{prefix}: must be {DICTIONARY} with the fields {', '.join(FIELDS)}" for prefix in wrong])
    return [Entry(normal_prefix(str(prefix)), dict(fields or {})) for prefix, fields in upstreams.items()]


def _raise_if_any(problems: Sequence[str]) -> None:
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(dict.fromkeys(problems))}", code="InvalidUpstreams")


def _kind_problems(entry: Entry) -> Iterator[str]:
    """Fields that are none, or hold something else. What they hold may be secret."""
    for field, value in entry.fields.items():
        if field not in FIELDS:
            yield f"{entry.prefix!r}, {field}: there is no such field, but {', '.join(FIELDS)}"
        elif value is not None and not _KINDS[FIELDS[field]](value):
            yield f"{entry.prefix!r}, {field}: must be {FIELDS[field]}"


def _problems(entry: Entry) -> list[str]:
    found = [*_field_problems(entry), *_login_problems(entry)]
    return [f"{entry.prefix!r}, {field}: {text}" for field, text in found]


def _field_problems(entry: Entry) -> Iterator[tuple[str, str]]:
    for field, choices in CHOICES.items():
        if entry[field] and entry[field] not in choices:
            yield field, f"must be one of {', '.join(choices)}, not {entry[field]!r}"
    if not entry["upstream"] and not entry["upstream_url"] and not entry.upstream:
        yield "upstream", f"is required, one of {', '.join(UPSTREAMS)}, because the prefix is none of these"


def _login_problems(entry: Entry) -> Iterator[tuple[str, str]]:
    """Of the fields that say how to log in. Nothing of a login is told."""
    upstream = entry.upstream
    given = [field for field in LOGIN if entry[field] is not None]
    for field in given:
        if entry[field] == "":
            yield field, "is empty: give both username and access_token, or neither to fill them in later"
        if entry["secret_arn"]:
            yield field, "is in the secret of secret_arn already: give one of the two"
        elif upstream and upstream.login != SECRET:
            yield field, f"upstream {upstream.name} takes no login by name and token"
    for field in LOGIN:
        if len(given) == 1 and field not in given:
            yield field, f"is required with {given[0]}, or leave out both to fill them in later"
    if not entry.secret_name.startswith(SECRET_PREFIX):
        yield "secret_name", f"must begin with {SECRET_PREFIX}: Amazon ECR may read no other secrets"
    if upstream and upstream.login == SECRET and not entry["secret_arn"] and not entry.may_manage:
        yield "secret_arn", f"is required with upstream {upstream.name} and manage_secret=false"


def _name_problems(settings: Settings) -> Iterator[str]:
    """Of what is called after the cache, the template role has the least room for its name."""
    longest = MAX_ROLE_NAME - len(f"-{settings.registry['region']}-templates")
    if not is_role_name(settings.name) or len(settings.name) > longest:
        yield f"pull_through_cache_name: must be 1 to {longest} of {IAM_CHARACTERS}, not {settings.name!r}"
    if settings.policy_name and not is_policy_name(settings.policy_name):
        yield f"pull_through_cache_policy_name: must be 1 to 128 of {IAM_CHARACTERS}, not {settings.policy_name!r}"
    if settings.recovery_days not in RECOVERY_DAYS:
        least, most = RECOVERY_DAYS[0], RECOVERY_DAYS[-1]
        yield f"pull_through_cache_secret_recovery_days: must be {least} to {most}, not {settings.recovery_days}"


def _puller_problems(entries: Sequence[Entry], settings: Settings) -> Iterator[str]:
    readers = {
        f"{entry.prefix!r}, repository_read_access_arns": entry["repository_read_access_arns"] for entry in entries
    }
    for field, given in {"pull_through_cache_cross_account_principals": settings.consumers, **readers}.items():
        for one in given or []:
            if not _PRINCIPAL.fullmatch(str(one)):
                yield f"{field}: must be accounts of 12 digits, in quotes, or ARNs of roles and users, not {one!r}"
    for role in settings.pullers:
        if not is_role_name(role_name(role)):
            yield f"pull_through_cache_attach_to_roles: neither a name nor an ARN of an IAM role: {role!r}"
        elif is_elsewhere(role, settings.registry["registry_id"]):
            account = settings.registry["registry_id"]
            yield (
                f"pull_through_cache_attach_to_roles: {role} is not in this account, {account}: let it pull with "
                "pull_through_cache_cross_account_principals"
            )


def _warm_problems(rules: Sequence[Document], settings: Settings) -> Iterator[str]:
    """Images that no rule covers. Those with the address of a registry are looked at when they are fetched."""
    for image in settings.warm:
        first = image.partition("/")[0]
        if "/" in image and (ecr_account(first) or ":" in first):
            continue
        try:
            cached_address(image, rules, ANY_REGISTRY)
        except AddressError as error:
            yield f"pull_through_cache_warm: {str(error).replace(', or give a default', '')}"


def _told_by(check: Any, items: Sequence[Document], settings: Settings, words: Mapping[str, str]) -> list[str]:
    """What the check of a module says of what it would be given, in the words of the role."""
    try:
        check(items, settings.registry["region"])
    except AnsibleECRError as error:
        text = str(error).removeprefix("Not valid: ").rstrip(".")
        for word, ours in words.items():
            text = text.replace(word, ours)
        return text.split("; ")
    return []


# ------------------------------------------------------------------ what comes of it


def _secret(entry: Entry, settings: Settings) -> Document:
    upstream = entry.upstream.name if entry.upstream else ""
    login = {field: entry[field] for field in ("username", "access_token") if entry[field] is not None}
    return {
        "name": entry.secret_name,
        "description": f"Login of Amazon ECR at {upstream}, for the pull-through cache {entry.prefix}",
        "tags": _tags(entry, settings),
        **login,
    }


def _rule(entry: Entry, settings: Settings) -> Document:
    return {
        "prefix": entry.prefix,
        "upstream": entry.upstream.name if entry.upstream else None,
        "upstream_url": entry["upstream_url"],
        "credential_arn": _credential(entry, settings),
        "custom_role_arn": entry["custom_role_arn"],
        "upstream_repository_prefix": entry["upstream_repository_prefix"],
    }


def _credential(entry: Entry, settings: Settings) -> str | None:
    if not entry.has_managed_secret:
        return entry["secret_arn"] or None
    known = settings.secrets.get(entry.secret_name, {}).get("arn")
    here = settings.registry
    start = f"arn:{here['partition']}:secretsmanager:{here['region']}:{here['registry_id']}:secret:"
    return str(known) if known else f"{start}{entry.secret_name}{UNKNOWN_SUFFIX}"


def _is_to_fill(entry: Entry, settings: Settings) -> bool:
    return entry.has_managed_secret and bool(settings.secrets.get(entry.secret_name, {}).get("needs_filling"))


def _template(entry: Entry, settings: Settings) -> Document:
    """Every field, so that what is taken out of the map is taken out of the template too."""
    readers = settings.principals([*(entry["repository_read_access_arns"] or []), *settings.consumers])
    rules = entry["lifecycle_rules"]
    return {
        "prefix": entry.prefix,
        "description": entry["description"] or f"Made by the pull-through cache {settings.name}",
        "applied_for": ["pull_through_cache"],
        "encryption_type": entry["encryption_type"] or AES256,
        "kms_key_arn": entry["kms_key_arn"] or "",
        "resource_tags": _tags(entry, settings),
        "image_tag_mutability": entry["image_tag_mutability"] or MUTABLE,
        "image_tag_mutability_exclusion_filters": entry["image_tag_mutability_exclusion_filters"] or [],
        "repository_policy": policy_to_text(_read_policy(readers)) if readers else "{}",
        "lifecycle_rules": settings.lifecycle_rules if rules is None else rules,
        "custom_role_arn": settings.template_role_arn if _needs_role(entry, settings) else "",
    }


def _needs_role(entry: Entry, settings: Settings) -> bool:
    return bool(_tags(entry, settings)) or _uses_kms(entry)


def _uses_kms(entry: Entry) -> bool:
    return entry["encryption_type"] not in (None, AES256)


def _tags(entry: Entry, settings: Settings) -> dict[str, str]:
    return {**settings.tags, **_texts(entry["tags"])}


# ------------------------------------------------------------------ policies


def _read_policy(readers: Sequence[str]) -> Document:
    """The policy of new repositories: who else may pull what is cached."""
    return _policy([_statement(READ_ACTIONS, sid="Pull", principals=readers)])


def _puller_policy(entries: Sequence[Entry], settings: Settings) -> Document:
    """All that a pull through the cache takes, the first one of a repository included."""
    repositories = settings.repositories(entry.prefix for entry in entries)
    tagged = settings.repositories(entry.prefix for entry in entries if _tags(entry, settings))
    all_tagged = tagged == repositories
    actions = sorted([*READ_ACTIONS, *IMPORT_ACTIONS]) + ([TAG_ACTION] if all_tagged else [])
    statements = [
        _statement(["ecr:GetAuthorizationToken"], sid="Login", resources=["*"]),
        _statement(actions, sid="PullThroughCache", resources=repositories),
    ]
    if tagged and not all_tagged:
        statements.append(_statement([TAG_ACTION], sid="TagNewRepositories", resources=tagged))
    return _policy(statements)


def _template_policy(entries: Sequence[Entry], settings: Settings) -> Document | None:
    """What ECR must be allowed to create tagged or specially encrypted repositories; None where there are none."""
    needing = [entry for entry in entries if _needs_role(entry, settings)]
    if not needing:
        return None
    repositories = settings.repositories(entry.prefix for entry in needing)
    statements = [_statement(["ecr:CreateRepository", TAG_ACTION], sid="CreateRepositories", resources=repositories)]
    here = settings.registry
    any_key = f"arn:{here['partition']}:kms:{here['region']}:{here['registry_id']}:key/*"
    keys = sorted({entry["kms_key_arn"] or any_key for entry in needing if _uses_kms(entry)})
    if keys:
        statements.append(_statement(KMS_ACTIONS, sid="UseKeys", resources=keys))
    return _policy(statements)


def _consumer_statements(entries: Sequence[Entry], settings: Settings) -> list[Document]:
    """What lets other accounts be the first to pull an image, when its repository is not there to have a policy."""
    if not settings.consumers:
        return []
    tagging = [TAG_ACTION] if any(_tags(entry, settings) for entry in entries) else []
    return [
        _statement(
            sorted([*READ_ACTIONS, *IMPORT_ACTIONS, *tagging]),
            sid=_sid(settings),
            principals=settings.principals(settings.consumers),
            resources=settings.repositories(entry.prefix for entry in entries),
        )
    ]


def _sid(settings: Settings) -> str:
    """Letters and digits only, which is all that a Sid may have; and another one for cache-1 than for cache1."""
    words = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", settings.name))
    return f"{words}Consumers{hashlib.sha256(settings.name.encode()).hexdigest()[:8]}"


def _policy(statements: Sequence[Document]) -> Document:
    return {"Version": POLICY_VERSION, "Statement": list(statements)}


def _statement(
    actions: Sequence[str], *, sid: str, principals: Sequence[str] = (), resources: Sequence[str] = ()
) -> Document:
    return {
        "Sid": sid,
        "Effect": "Allow",
        **({"Principal": {"AWS": list(principals)}} if principals else {}),
        "Action": list(actions),
        **({"Resource": list(resources)} if resources else {}),
    }


def _texts(tags: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (tags or {}).items()}
