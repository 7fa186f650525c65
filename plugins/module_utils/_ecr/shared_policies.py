# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Managed policies of IAM, and the roles that have them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_account as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.iam_options import (
    is_elsewhere,
    is_policy_name,
    is_role_name,
    mentioned,
    role_name,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import policy_to_text, same_policy
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import repeated

# A policy in the words of the options: policy, description, tags, roles.
Policy = dict[str, Any]

MAX_CHARACTERS = 6144
MAX_VERSIONS_CODES = ("LimitExceeded", "LimitExceededException")


def wanted_policies(given: Sequence[Mapping[str, Any]], state: str) -> dict[str, Policy]:
    """From the options of the module, checked before anything is asked of AWS. What nobody mentioned is not there."""
    names = [options["name"] for options in given]
    problems = [f"{names[at]!r}, name: is there more than once" for at in repeated(names)]
    policies: dict[str, Policy] = {}
    for options in given:
        policy, wrong = mentioned(options, ["policy"])
        if options["roles"] is not None:
            policy["roles"] = [role_name(role) for role in options["roles"]]
        problems += [
            f"{options['name']!r}, {problem}" for problem in [*wrong, *_problems(options["name"], policy, state)]
        ]
        if state == "present" and options["policy"] is None:
            problems.append(f"{options['name']!r}, policy: is required: what it allows")
        policies[options["name"]] = policy
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidPolicy")
    return policies


def check_accounts(given: Sequence[Mapping[str, Any]], account: str) -> None:
    """What takes the account to see: a role of another one would be taken for one of the same name here."""
    problems = [
        f"{options['name']!r}, roles: {role} is not in this account, {account}"
        for options in given
        for role in options["roles"] or []
        if is_elsewhere(role, account)
    ]
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidPolicy")


def _problems(name: str, policy: Policy, state: str) -> Iterator[str]:
    if not is_policy_name(name):
        yield "name: must be 1 to 128 letters, digits and + = , . @ _ -"
    for role in policy.get("roles", []):
        if not is_role_name(role):
            yield f"roles: neither a name nor an ARN of an IAM role: {role!r}"
    length = len(policy_to_text(policy["policy"])) if "policy" in policy else 0
    if state == "present" and length > MAX_CHARACTERS:
        yield f"policy: has {length} characters, and IAM allows {MAX_CHARACTERS}: make several policies of it"


def plan(name: str, current: Policy | None, wanted: Policy | None) -> Change:
    """Compare by meaning. Pure."""
    if wanted is None:
        return Change(current, None, [f"delete the policy {name}"] if current else [])
    roles = sorted(set(wanted.get("roles", [])))
    if current is None:
        after = {"description": "", "tags": {}, **wanted, "roles": roles}
        return Change(None, after, [f"create the policy {name}", *_attachments(name, roles)])
    # IAM cannot change the description of a policy.
    after = {**current, "tags": {**current["tags"], **wanted.get("tags", {})}}
    after["policy"] = current["policy"] if same_policy(current["policy"], wanted["policy"]) else wanted["policy"]
    after["roles"] = sorted({*current["roles"], *roles})
    different = [field for field in ("policy", "tags") if after[field] != current[field]]
    new_roles = [role for role in roles if role not in current["roles"]]
    steps = [f"update {', '.join(different)} of the policy {name}"] if different else []
    return Change(current, after, [*steps, *_attachments(name, new_roles)])


def converge(
    client: Any, policies: Mapping[str, Policy], state: str, policies_arn: str, *, check_mode: bool
) -> list[Outcome[Change]]:
    """Make the policies be as they are wanted, or go. `policies_arn` is what their ARNs begin with, path included."""

    def work(name: str) -> Change:
        arn = f"{policies_arn}{name}"
        current = _current(client, arn)
        change = plan(name, current, policies[name] if state == "present" else None)
        if change.changed and not check_mode:
            apply(client, name, arn, change)
        return replace(change, details={"arn": arn if change.after else None})

    return run_each(list(policies), work, parallel=1)


def apply(client: Any, name: str, arn: str, change: Change) -> None:
    """Do what the plan says, and nothing else."""
    before, after = change.before, change.after
    if after is None:
        _delete(client, arn)
        return
    if before is None:
        _create(client, arn, after)
        before = {**after, "roles": []}
    if before["policy"] != after["policy"]:
        _update(client, arn, after["policy"])
    if before["tags"] != after["tags"]:
        api.tag_policy(client, arn, ansible_dict_to_boto3_tag_list(after["tags"]))
    _attach(client, arn, [role for role in after["roles"] if role not in before["roles"]])


def _attach(client: Any, arn: str, roles: Sequence[str]) -> None:
    """A role that cannot have the policy does not keep the others from having it."""
    outcomes = run_each(roles, lambda role: api.attach_role_policy(client, role, arn), parallel=1)
    failed = [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    codes = [outcome.error.code for outcome in outcomes if outcome.error]
    if failed:
        raise AnsibleECRError(f"The policy is there, but not for {'; '.join(failed)}", code=codes[0])


def _attachments(name: str, roles: Sequence[str]) -> list[str]:
    return [f"attach the policy {name} to role {role}" for role in roles]


# ------------------------------------------------------------------ IAM


def document(client: Any, arn: str) -> dict[str, Any]:
    """What a policy says that is there."""
    policy = api.get_policy(client, arn) or {}
    return api.get_policy_document(client, arn, policy["DefaultVersionId"])


def _current(client: Any, arn: str) -> Policy | None:
    document = api.get_policy(client, arn)
    if document is None:
        return None
    return {
        "policy": api.get_policy_document(client, arn, document["DefaultVersionId"]),
        "description": document.get("Description", ""),
        "tags": boto3_tag_list_to_ansible_dict(document.get("Tags") or []),
        "roles": sorted(api.list_entities(client, arn)["roles"]),
    }


def _create(client: Any, arn: str, policy: Policy) -> None:
    path, _slash, name = arn.partition(":policy")[2].rpartition("/")
    fields = {
        "PolicyName": name,
        "Path": f"{path}/",
        "PolicyDocument": policy_to_text(policy["policy"]),
        "Description": policy["description"],
        "Tags": ansible_dict_to_boto3_tag_list(policy["tags"]),
    }
    api.create_policy(client, {field: value for field, value in fields.items() if value})


def _update(client: Any, arn: str, policy: Policy) -> None:
    """IAM keeps five versions. The oldest that does not count makes room."""
    try:
        api.create_policy_version(client, arn, policy_to_text(policy))
    except AnsibleECRError as error:
        if error.code not in MAX_VERSIONS_CODES:
            raise
        for version in api.list_old_versions(client, arn)[:1]:
            api.delete_policy_version(client, arn, version)
        api.create_policy_version(client, arn, policy_to_text(policy))


def _delete(client: Any, arn: str) -> None:
    """IAM wants a policy unused, and with one version, before it goes."""
    entities = api.list_entities(client, arn)
    detachers = {
        "roles": api.detach_role_policy,
        "users": api.detach_user_policy,
        "groups": api.detach_group_policy,
    }
    for kind, detach in detachers.items():
        for name in entities[kind]:
            detach(client, name, arn)
    for version in api.list_old_versions(client, arn):
        api.delete_policy_version(client, arn, version)
    api.delete_policy(client, arn)
