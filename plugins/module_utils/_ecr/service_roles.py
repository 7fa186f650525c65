# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IAM roles for AWS services: who may assume them, and what they may do.

A policy that is too long for an inline one becomes managed policies that the role alone has: NAME-1, NAME-2 and so on.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_account as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import shared_policies
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.iam_options import is_role_name, mentioned
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import (
    policy_in_pieces,
    policy_to_text,
    same_policy,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import repeated

# A role in the words of the options, where one of policy and managed_policies says what it may do.
Role = dict[str, Any]
NEW: Role = {
    "description": "",
    "tags": {},
    "path": "/",
    "permissions_boundary": "",
    "policy": None,
    "managed_policies": [],
}

DOCUMENTS = ("trust_policy", "policy")
MAX_INLINE_CHARACTERS = 10240
MAX_MANAGED_POLICIES = 10

_PATH = re.compile(r"/([!-.0-~]+/)*")
_POLICY_ARN = re.compile(r"arn:aws[\w-]*:iam::(\d{12}|aws):policy/.+")


def wanted_roles(given: Sequence[Mapping[str, Any]], state: str) -> dict[str, Role]:
    """From the options of the module, checked before anything is asked of AWS. What nobody mentioned is not there."""
    names = [options["name"] for options in given]
    problems = [f"{names[at]!r}, name: is there more than once" for at in repeated(names)]
    roles: dict[str, Role] = {}
    for options in given:
        roles[options["name"]], wrong = mentioned(options, DOCUMENTS)
        found = [*wrong, *_problems(options, state)]
        if state == "present" and not found:
            roles[options["name"]].update(_more(options))
            found += _fit(roles[options["name"]])
        problems += [f"{options['name']!r}, {problem}" for problem in found]
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidRole")
    return roles


def _problems(options: Mapping[str, Any], state: str) -> Iterator[str]:
    if not is_role_name(options["name"]):
        yield "name: must be 1 to 64 letters, digits and + = , . @ _ -"
    if state == "present" and options["trust_policy"] is None:
        yield "trust_policy: is required: who may assume the role"
    if options["path"] and not _PATH.fullmatch(options["path"]):
        yield f"path: must begin and end with a slash, as in /services/, not {options['path']!r}"
    if options["permissions_boundary"] and not _POLICY_ARN.fullmatch(options["permissions_boundary"]):
        yield f"permissions_boundary: must be the ARN of an IAM policy, not {options['permissions_boundary']!r}"


def _more(options: Mapping[str, Any]) -> Role:
    return {field: options[field] for field in ("path", "permissions_boundary") if options[field] is not None}


def _fit(role: Role) -> list[str]:
    """Take the policy apart where it is too long; what is wrong with that."""
    if "policy" not in role:
        return []
    role["managed_policies"] = []
    if len(policy_to_text(role["policy"])) <= MAX_INLINE_CHARACTERS:
        return []
    try:
        role["managed_policies"] = policy_in_pieces(role["policy"], shared_policies.MAX_CHARACTERS)
    except ValueError as error:
        return [f"policy: {error}"]
    role["policy"] = None
    count = len(role["managed_policies"])
    if count > MAX_MANAGED_POLICIES:
        return [f"policy: is too long: as {count} managed policies, where a role can have {MAX_MANAGED_POLICIES}"]
    return []


# ------------------------------------------------------------------ plan


def plan(name: str, current: Role | None, wanted: Role | None) -> Change:
    """Compare by meaning. Pure."""
    if wanted is None:
        return Change(current, None, [f"delete the role {name}"] if current else [])
    if current is None:
        return Change(None, {**NEW, **wanted}, [f"create the role {name}"])
    after = {**current, **wanted, "tags": {**current["tags"], **wanted.get("tags", {})}}
    for field in DOCUMENTS:
        if same_policy(current[field], after[field]):
            after[field] = current[field]
    if _same_policies(current["managed_policies"], after["managed_policies"]):
        after["managed_policies"] = current["managed_policies"]
    if after["path"] != current["path"]:
        raise AnsibleECRError(
            f"The path is {current['path']} and cannot be changed: leave out the option path, or delete the role first",
            code="PathCannotBeChanged",
        )
    different = [field for field in after if after[field] != current[field]]
    return Change(current, after, [f"update {', '.join(different)} of the role {name}"] if different else [])


def _same_policies(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(same_policy(*pair) for pair in zip(some, others, strict=True))


# ------------------------------------------------------------------ apply


def converge(client: Any, roles: Mapping[str, Role], state: str, *, check_mode: bool) -> list[Outcome[Change]]:
    """Make the roles be as they are wanted, or go."""

    def work(name: str) -> Change:
        document = api.get_role(client, name)
        current = _role_from_aws(client, document) if document else None
        change = plan(name, current, roles[name] if state == "present" else None)
        arn = document["Arn"] if document else None
        if change.changed and not check_mode:
            arn = apply(client, name, arn, change)
        return replace(change, details={"arn": arn if change.after else None})

    return run_each(list(roles), work, parallel=1)


def apply(client: Any, name: str, arn: str | None, change: Change) -> str:
    """Do what the plan says, and nothing else. The ARN of the role."""
    before, after = change.before, change.after
    if arn is None:
        arn = _create(client, name, after)
        before = {**after, "policy": None, "managed_policies": []}
    if after is None:
        _delete(client, name, arn)
        return arn
    if before["trust_policy"] != after["trust_policy"]:
        api.update_trust(client, name, policy_to_text(after["trust_policy"]))
    if before["description"] != after["description"]:
        api.update_role_description(client, name, after["description"])
    if before["permissions_boundary"] != after["permissions_boundary"]:
        api.set_permissions_boundary(client, name, after["permissions_boundary"])
    if before["tags"] != after["tags"]:
        api.tag_role(client, name, ansible_dict_to_boto3_tag_list(after["tags"]))
    _apply_policies(client, name, arn, before, after)
    return arn


def _apply_policies(client: Any, name: str, arn: str, before: Role, after: Role) -> None:
    """What a role may do is added before anything is taken away."""
    pieces = after["managed_policies"]
    if after["policy"] and before["policy"] != after["policy"]:
        api.put_role_policy(client, name, name, policy_to_text(after["policy"]))
    if before["managed_policies"] != pieces:
        wanted = {f"{name}-{n}": {"policy": piece, "roles": [name]} for n, piece in enumerate(pieces, 1)}
        _converge_pieces(client, arn, wanted, "present")
        surplus = range(len(pieces) + 1, len(before["managed_policies"]) + 1)
        _converge_pieces(client, arn, {f"{name}-{number}": {} for number in surplus}, "absent")
    if before["policy"] and not after["policy"]:
        api.delete_role_policy(client, name, name)


def _converge_pieces(client: Any, arn: str, wanted: Mapping[str, shared_policies.Policy], state: str) -> None:
    """Below the path of the role, so that who may make the one may make the others."""
    for outcome in shared_policies.converge(client, wanted, state, _policies_arn(arn), check_mode=False):
        if outcome.error:
            raise outcome.error


def _create(client: Any, name: str, role: Role) -> str:
    fields = {
        "RoleName": name,
        "Path": role["path"],
        "AssumeRolePolicyDocument": policy_to_text(role["trust_policy"]),
        "Description": role["description"],
        "PermissionsBoundary": role["permissions_boundary"],
        "Tags": ansible_dict_to_boto3_tag_list(role["tags"]),
    }
    arn = api.create_role(client, {field: value for field, value in fields.items() if value})
    api.await_role(client, name)
    return arn


def _delete(client: Any, name: str, arn: str) -> None:
    """IAM wants a role empty before it goes."""
    for policy in api.list_role_policies(client, name):
        api.delete_role_policy(client, name, policy)
    attached = api.list_attached_role_policies(client, name)
    for policy_arn in attached:
        api.detach_role_policy(client, name, policy_arn)
    own = _own_policies(arn, attached)
    _converge_pieces(client, arn, {policy_arn.rpartition("/")[2]: {} for policy_arn in own}, "absent")
    api.delete_role(client, name)


# ------------------------------------------------------------------ IAM


def _role_from_aws(client: Any, document: Mapping[str, Any]) -> Role:
    """The inline policy has the name of the role."""
    name = document["RoleName"]
    own = _own_policies(document["Arn"], api.list_attached_role_policies(client, name))
    return {
        "trust_policy": document["AssumeRolePolicyDocument"],
        "policy": api.get_role_policy(client, name, name),
        "managed_policies": [shared_policies.document(client, arn) for arn in own],
        "description": document.get("Description", ""),
        "path": document["Path"],
        "permissions_boundary": document.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
        "tags": boto3_tag_list_to_ansible_dict(document.get("Tags") or []),
    }


def _own_policies(arn: str, attached: Sequence[str]) -> list[str]:
    """The managed policies that are parts of the role, in their order."""
    own = re.compile(rf"{re.escape(_policies_arn(arn))}{re.escape(arn.rpartition('/')[2])}-(\d+)")
    found = [(int(match[1]), policy) for policy in attached if (match := own.fullmatch(policy))]
    return [policy for _number, policy in sorted(found)]


def _policies_arn(arn: str) -> str:
    """What the ARNs of policies with the path of this role begin with."""
    return arn.rpartition("/")[0].replace(":role", ":policy", 1) + "/"
