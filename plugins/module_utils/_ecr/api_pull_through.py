# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of ECR for pull-through caches and creation templates: as in api.py, one line of boto3 a function.

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
            [
                "PullThroughCacheRuleNotFoundException",
                "RepositoryPolicyNotFoundException",
                "TemplateNotFoundException",
            ]
        )
        return missing


# ------------------------------------------------------------------ the registry


@_Handler.common_error_handler("read the address of the registry")
@retried
def registry_endpoint(client: Any) -> str:
    """The origin under which the registry serves images. The password in the same answer goes no further."""
    return str(client.get_authorization_token()["authorizationData"][0]["proxyEndpoint"])


# ------------------------------------------------------------------ pull-through cache rules


@_Handler.common_error_handler("list the pull-through cache rules")
@retried
def list_rules(client: Any) -> list[dict[str, Any]]:
    paginator = client.get_paginator("describe_pull_through_cache_rules")
    pages = paginator.paginate(PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE})
    return [rule for page in pages for rule in page["pullThroughCacheRules"]]


@_Handler.common_error_handler("create the pull-through cache rule")
@retried
def create_rule(client: Any, fields: Mapping[str, str]) -> None:
    client.create_pull_through_cache_rule(**fields)


@_Handler.common_error_handler("update the pull-through cache rule")
@retried
def update_rule(client: Any, fields: Mapping[str, str]) -> None:
    client.update_pull_through_cache_rule(**fields)


@_Handler.deletion_error_handler("delete the pull-through cache rule")
@retried
def delete_rule(client: Any, prefix: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix))


@_Handler.common_error_handler("validate the pull-through cache rule")
@retried
def validate_rule(client: Any, prefix: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    return answer


# ------------------------------------------------------------------ repository creation templates


@_Handler.common_error_handler("list the repository creation templates")
@retried
def list_templates(client: Any) -> list[dict[str, Any]]:
    paginator = client.get_paginator("describe_repository_creation_templates")
    pages = paginator.paginate(PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE})
    return [template for page in pages for template in page["repositoryCreationTemplates"]]


@_Handler.common_error_handler("create the repository creation template")
@retried
def create_template(client: Any, fields: Mapping[str, Any]) -> None:
    client.create_repository_creation_template(**fields)


@_Handler.common_error_handler("update the repository creation template")
@retried
def update_template(client: Any, fields: Mapping[str, Any]) -> None:
    client.update_repository_creation_template(**fields)


@_Handler.deletion_error_handler("delete the repository creation template")
@retried
def delete_template(client: Any, prefix: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_repository_creation_template(prefix=prefix))


# ------------------------------------------------------------------ repositories that exist


@_Handler.common_error_handler("list the repositories")
@retried
def list_repositories(client: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE})
    return [repository for page in pages for repository in page["repositories"]]


@_Handler.list_error_handler("read the repository policy")
@retried
def get_repository_policy(client: Any, repository: str) -> str:
    """The policy's text, or None where there is none."""
    return str(client.get_repository_policy(repositoryName=repository)["policyText"])


@_Handler.common_error_handler("write the repository policy")
@retried
def set_repository_policy(client: Any, repository: str, text: str) -> None:
    client.set_repository_policy(repositoryName=repository, policyText=text)


@_Handler.deletion_error_handler("delete the repository policy")
@retried
def delete_repository_policy(client: Any, repository: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_repository_policy(repositoryName=repository))


@_Handler.common_error_handler("read the tags of the repository")
@retried
def list_tags(client: Any, arn: str) -> list[dict[str, str]]:
    tags: list[dict[str, str]] = client.list_tags_for_resource(resourceArn=arn)["tags"]
    return tags


@_Handler.common_error_handler("tag the repository")
@retried
def tag_repository(client: Any, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
    client.tag_resource(resourceArn=arn, tags=tags)


@_Handler.common_error_handler("write the tag mutability of the repository")
@retried
def put_image_tag_mutability(client: Any, repository: str, fields: Mapping[str, Any]) -> None:
    client.put_image_tag_mutability(repositoryName=repository, **fields)
