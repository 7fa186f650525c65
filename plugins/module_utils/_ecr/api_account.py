# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of AWS STS and IAM: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler


class _Handler(ECRErrorHandler):
    """With the code by which IAM says that there is none."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["NoSuchEntity", "NoSuchEntityException"])
        return missing


@_Handler.common_error_handler("find out whose credentials these are")
@retried
def caller_identity(client: Any) -> dict[str, str]:
    identity: dict[str, str] = client.get_caller_identity()
    return identity


# ------------------------------------------------------------------ managed policies


@_Handler.list_error_handler("read the policy")
@retried
def get_policy(client: Any, arn: str) -> dict[str, Any]:
    """All but what it says, or None where there is no such policy."""
    policy: dict[str, Any] = client.get_policy(PolicyArn=arn)["Policy"]
    return policy


@_Handler.common_error_handler("read what the policy says")
@retried
def get_policy_document(client: Any, arn: str, version: str) -> dict[str, Any]:
    document: dict[str, Any] = client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return document


@_Handler.common_error_handler("list those who have the policy")
@retried
def list_entities(client: Any, arn: str) -> dict[str, list[str]]:
    """The names of all who have the policy, by what they are: roles, users and groups."""
    pages = list(client.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn))
    kinds = {"roles": ("PolicyRoles", "RoleName"), "users": ("PolicyUsers", "UserName")}
    kinds["groups"] = ("PolicyGroups", "GroupName")
    return {kind: [item[name] for page in pages for item in page[key]] for kind, (key, name) in kinds.items()}


@_Handler.common_error_handler("create the policy")
@retried
def create_policy(client: Any, fields: Mapping[str, Any]) -> None:
    client.create_policy(**fields)


@_Handler.common_error_handler("change what the policy says")
@retried
def create_policy_version(client: Any, arn: str, text: str) -> None:
    client.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


@_Handler.common_error_handler("list the versions of the policy")
@retried
def list_old_versions(client: Any, arn: str) -> list[str]:
    """The versions that do not count, the oldest first."""
    pages = client.get_paginator("list_policy_versions").paginate(PolicyArn=arn)
    old = [version for page in pages for version in page["Versions"] if not version["IsDefaultVersion"]]
    return [version["VersionId"] for version in sorted(old, key=lambda version: version["CreateDate"])]


@_Handler.deletion_error_handler("delete the old version of the policy")
@retried
def delete_policy_version(client: Any, arn: str, version: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_policy_version(PolicyArn=arn, VersionId=version))


@_Handler.common_error_handler("tag the policy")
@retried
def tag_policy(client: Any, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
    client.tag_policy(PolicyArn=arn, Tags=tags)


@_Handler.common_error_handler("attach the policy")
@retried
def attach_role_policy(client: Any, role: str, arn: str) -> None:
    client.attach_role_policy(RoleName=role, PolicyArn=arn)


@_Handler.deletion_error_handler("detach the policy")
@retried
def detach_role_policy(client: Any, role: str, arn: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.detach_role_policy(RoleName=role, PolicyArn=arn))


@_Handler.deletion_error_handler("detach the policy")
@retried
def detach_user_policy(client: Any, user: str, arn: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.detach_user_policy(UserName=user, PolicyArn=arn))


@_Handler.deletion_error_handler("detach the policy")
@retried
def detach_group_policy(client: Any, group: str, arn: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.detach_group_policy(GroupName=group, PolicyArn=arn))


@_Handler.deletion_error_handler("delete the policy")
@retried
def delete_policy(client: Any, arn: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_policy(PolicyArn=arn))


# ------------------------------------------------------------------ roles


@_Handler.list_error_handler("read the role")
@retried
def get_role(client: Any, name: str) -> dict[str, Any]:
    """The role with its trust policy, or None where there is none."""
    role: dict[str, Any] = client.get_role(RoleName=name)["Role"]
    return role


@_Handler.list_error_handler("read the policy of the role")
@retried
def get_role_policy(client: Any, role: str, name: str) -> dict[str, Any]:
    """The inline policy, or None where there is none."""
    document: dict[str, Any] = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return document


@_Handler.common_error_handler("create the role")
@retried
def create_role(client: Any, fields: Mapping[str, Any]) -> str:
    """The ARN."""
    return str(client.create_role(**fields)["Role"]["Arn"])


@_Handler.common_error_handler("see the new role")
def await_role(client: Any, name: str) -> None:
    """IAM takes a moment to tell everybody of a new role."""
    client.get_waiter("role_exists").wait(RoleName=name)


@_Handler.common_error_handler("write the trust policy of the role")
@retried
def update_trust(client: Any, role: str, text: str) -> None:
    client.update_assume_role_policy(RoleName=role, PolicyDocument=text)


@_Handler.common_error_handler("write the description of the role")
@retried
def update_role_description(client: Any, role: str, description: str) -> None:
    client.update_role(RoleName=role, Description=description)


@_Handler.common_error_handler("write the policy of the role")
@retried
def put_role_policy(client: Any, role: str, name: str, text: str) -> None:
    client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)


@_Handler.common_error_handler("tag the role")
@retried
def tag_role(client: Any, role: str, tags: Sequence[Mapping[str, str]]) -> None:
    client.tag_role(RoleName=role, Tags=tags)


@_Handler.common_error_handler("set the permissions boundary of the role")
@retried
def set_permissions_boundary(client: Any, role: str, arn: str) -> None:
    """Nothing is none."""
    if arn:
        client.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=arn)
    else:
        client.delete_role_permissions_boundary(RoleName=role)


@_Handler.common_error_handler("list the policies of the role")
@retried
def list_role_policies(client: Any, role: str) -> list[str]:
    """The names of the inline policies."""
    pages = client.get_paginator("list_role_policies").paginate(RoleName=role)
    return [name for page in pages for name in page["PolicyNames"]]


@_Handler.common_error_handler("list the policies attached to the role")
@retried
def list_attached_role_policies(client: Any, role: str) -> list[str]:
    """The ARNs of the managed policies."""
    pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]


@_Handler.deletion_error_handler("delete the policy of the role")
@retried
def delete_role_policy(client: Any, role: str, name: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_role_policy(RoleName=role, PolicyName=name))


@_Handler.deletion_error_handler("delete the role")
@retried
def delete_role(client: Any, role: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_role(RoleName=role))
