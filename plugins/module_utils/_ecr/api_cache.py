# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of ECR to fill and empty a cache: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import DESCRIBE_PAGE_SIZE, retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler

# All that an image may be: without this list, ECR might convert what it returns.
MANIFEST_TYPES = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


class _Handler(ECRErrorHandler):
    """Here a repository that does not exist is a repository that holds nothing."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["RepositoryNotFoundException"])
        return missing


@_Handler.list_error_handler("list the tags", {})
@retried
def list_tags(client: Any, repository: str) -> dict[str, str]:
    """The digest of each tag; nothing where there is no such repository."""
    pages = client.get_paginator("list_images").paginate(
        repositoryName=repository, filter={"tagStatus": "TAGGED"}, PaginationConfig={"PageSize": DESCRIBE_PAGE_SIZE}
    )
    return {image["imageTag"]: image["imageDigest"] for page in pages for image in page["imageIds"]}


@_Handler.common_error_handler("fetch the image")
@retried
def batch_get_image(client: Any, repository: str, ids: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """At most 100. It counts as a pull, and so goes through the cache. What cannot be had is in `failures`."""
    answer: dict[str, Any] = client.batch_get_image(
        repositoryName=repository, imageIds=ids, acceptedMediaTypes=MANIFEST_TYPES
    )
    return answer


@_Handler.deletion_error_handler("delete the repository")
@retried
def delete_repository(client: Any, repository: str) -> bool:
    """With all its images. False where somebody else was faster."""
    return bool(client.delete_repository(repositoryName=repository, force=True))
