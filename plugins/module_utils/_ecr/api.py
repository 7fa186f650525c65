# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this collection asks of ECR: one line of boto3 a function, errors translated outside, retries inside.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler

P = ParamSpec("P")
R = TypeVar("R")

# In addition to those that AWSRetry knows.
TEMPORARY_CODES = ["ServerException", "ThrottleException", "ThrottlingException", "RequestThrottledException"]

DESCRIBE_PAGE_SIZE = 1000
PREVIEW_PAGE_SIZE = 100


def retried(function: Callable[P, R]) -> Callable[P, R]:
    """AWSRetry with jitter. The back-off is made anew for each call: AWSRetry would share one between threads."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        backoff = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=30, catch_extra_error_codes=TEMPORARY_CODES)
        result: R = backoff(function)(*args, **kwargs)
        return result

    return call


@ECRErrorHandler.common_error_handler("list the repositories")
@retried
def list_repository_names(client: Any) -> list[str]:
    pages = client.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE})
    return [repository["repositoryName"] for page in pages for repository in page["repositories"]]


@ECRErrorHandler.list_error_handler("read the lifecycle policy")
@retried
def get_lifecycle_policy(client: Any, repository: str) -> str:
    """The policy's text, or None where there is none."""
    return str(client.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"])


@ECRErrorHandler.common_error_handler("write the lifecycle policy")
@retried
def put_lifecycle_policy(client: Any, repository: str, text: str) -> None:
    client.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=text)


@ECRErrorHandler.deletion_error_handler("remove the lifecycle policy")
@retried
def delete_lifecycle_policy(client: Any, repository: str) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_lifecycle_policy(repositoryName=repository))


@ECRErrorHandler.common_error_handler("start the lifecycle policy preview")
@retried
def start_lifecycle_policy_preview(client: Any, repository: str, text: str) -> None:
    client.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=text)


@ECRErrorHandler.list_error_handler("read the lifecycle policy preview")
@retried
def get_lifecycle_policy_preview(client: Any, repository: str, **token: str) -> dict[str, Any]:
    """One page of the preview, or None where there was no preview yet."""
    page: dict[str, Any] = client.get_lifecycle_policy_preview(
        repositoryName=repository, maxResults=PREVIEW_PAGE_SIZE, **token
    )
    return page
