# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of ECR for the settings of a registry and for its images: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import DESCRIBE_PAGE_SIZE, retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler


class _Handler(ECRErrorHandler):
    """With the codes by which ECR says that there is none."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(
            ["ExclusionNotFoundException", "ImageNotFoundException", "RegistryPolicyNotFoundException"]
        )
        return missing


# ------------------------------------------------------------------ registry policy


@_Handler.list_error_handler("read the registry policy")
@retried
def get_registry_policy(client: Any) -> str:
    """The policy's text, or None where there is none."""
    return str(client.get_registry_policy()["policyText"])


@_Handler.common_error_handler("write the registry policy")
@retried
def put_registry_policy(client: Any, text: str) -> None:
    client.put_registry_policy(policyText=text)


@_Handler.deletion_error_handler("delete the registry policy")
@retried
def delete_registry_policy(client: Any) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_registry_policy())


# ------------------------------------------------------------------ scanning


@_Handler.common_error_handler("read the scanning configuration")
@retried
def get_scanning_configuration(client: Any) -> dict[str, Any]:
    configuration: dict[str, Any] = client.get_registry_scanning_configuration()["scanningConfiguration"]
    return configuration


@_Handler.common_error_handler("write the scanning configuration")
@retried
def put_scanning_configuration(client: Any, configuration: Mapping[str, Any]) -> None:
    client.put_registry_scanning_configuration(**configuration)


# ------------------------------------------------------------------ replication


@_Handler.common_error_handler("read the replication rules")
@retried
def describe_registry(client: Any) -> dict[str, Any]:
    registry: dict[str, Any] = client.describe_registry()
    return registry


@_Handler.common_error_handler("write the replication rules")
@retried
def put_replication_rules(client: Any, rules: Sequence[Mapping[str, Any]]) -> None:
    client.put_replication_configuration(replicationConfiguration={"rules": rules})


# ------------------------------------------------------------------ account settings


@_Handler.common_error_handler("read the account setting")
@retried
def get_account_setting(client: Any, name: str) -> str | None:
    """The value, or None where it was never set."""
    value: str | None = client.get_account_setting(name=name).get("value")
    return value


@_Handler.common_error_handler("write the account setting")
@retried
def put_account_setting(client: Any, name: str, value: str) -> None:
    client.put_account_setting(name=name, value=value)


# ------------------------------------------------------------------ pull-time update exclusions


@_Handler.common_error_handler("list the pull-time update exclusions")
@retried
def list_pull_time_exclusions(client: Any) -> list[str]:
    """All pages; botocore has no paginator for this."""
    page = client.list_pull_time_update_exclusions(maxResults=DESCRIBE_PAGE_SIZE)
    arns: list[str] = page.get("pullTimeUpdateExclusions", [])
    while page.get("nextToken"):
        page = client.list_pull_time_update_exclusions(maxResults=DESCRIBE_PAGE_SIZE, nextToken=page["nextToken"])
        arns += page.get("pullTimeUpdateExclusions", [])
    return arns


@_Handler.common_error_handler("register the pull-time update exclusion")
@retried
def register_pull_time_exclusion(client: Any, arn: str) -> None:
    client.register_pull_time_update_exclusion(principalArn=arn)


@_Handler.deletion_error_handler("deregister the pull-time update exclusion")
@retried
def deregister_pull_time_exclusion(client: Any, arn: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.deregister_pull_time_update_exclusion(principalArn=arn))


# ------------------------------------------------------------------ images


@_Handler.common_error_handler("list the images")
@retried
def describe_all_images(client: Any, repository: str, tag_status: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("describe_images").paginate(
        repositoryName=repository,
        filter={"tagStatus": tag_status},
        PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE},
    )
    return [image for page in pages for image in page["imageDetails"]]


@_Handler.list_error_handler("describe the images")
@retried
def describe_images(client: Any, repository: str, ids: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """At most 100. None where any of them is missing: ECR then describes none."""
    images: list[dict[str, Any]] = client.describe_images(repositoryName=repository, imageIds=ids)["imageDetails"]
    return images


@_Handler.common_error_handler("list the ids of the images")
@retried
def list_image_ids(client: Any, repository: str) -> list[dict[str, str]]:
    """Every digest, with each of its tags."""
    pages = client.get_paginator("list_images").paginate(
        repositoryName=repository, PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE}
    )
    return [image_id for page in pages for image_id in page.get("imageIds", [])]
