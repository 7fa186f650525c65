# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of AWS to mirror images: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import DESCRIBE_PAGE_SIZE, retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest

# All that an image may be: without this list, Amazon ECR might convert what it returns, and then the digest differs.
_MANIFEST_TYPES = [
    *manifest.ACCEPT.split(", "),
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
]


class _Handler(ECRErrorHandler):
    """Here a repository that is missing may be an answer."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["RepositoryNotFoundException"])
        return missing


# ------------------------------------------------------------------ logins


@_Handler.common_error_handler("log in to Amazon ECR")
@retried
def authorization(client: Any) -> dict[str, Any]:
    """The password of the registry, its address, and how long they are good for."""
    data: dict[str, Any] = client.get_authorization_token()["authorizationData"][0]
    return data


@_Handler.common_error_handler("log in to Amazon ECR Public")
@retried
def public_authorization(client: Any) -> dict[str, Any]:
    data: dict[str, Any] = client.get_authorization_token()["authorizationData"]
    return data


@_Handler.common_error_handler("assume the role")
@retried
def assume_role(client: Any, arn: str, session: str) -> dict[str, Any]:
    """Its credentials, for an hour at least."""
    credentials: dict[str, Any] = client.assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
    return credentials


# ------------------------------------------------------------------ repositories


@_Handler.list_error_handler("look for the repositories")
@retried
def describe_repositories(client: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """At most 100. None where any of them is missing: ECR then describes none."""
    repositories: list[dict[str, Any]] = client.describe_repositories(repositoryNames=names)["repositories"]
    return repositories


@_Handler.common_error_handler("list the repositories")
@retried
def repositories_page(client: Any, **token: str) -> dict[str, Any]:
    page: dict[str, Any] = client.describe_repositories(maxResults=DESCRIBE_PAGE_SIZE, **token)
    return page


@_Handler.common_error_handler("create the repository")
@retried
def create_repository(client: Any, name: str, settings: Mapping[str, Any]) -> None:
    client.create_repository(repositoryName=name, **settings)


@_Handler.common_error_handler("set whether images are scanned when they are pushed")
@retried
def put_scan_on_push(client: Any, name: str, scan: bool) -> None:
    client.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": scan})


# ------------------------------------------------------------------ images


@_Handler.common_error_handler("read what is in the repository")
@retried
def batch_get_image(client: Any, repository: str, ids: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """At most 100. What cannot be had is in `failures`."""
    answer: dict[str, Any] = client.batch_get_image(
        repositoryName=repository, imageIds=ids, acceptedMediaTypes=_MANIFEST_TYPES
    )
    return answer


@_Handler.common_error_handler("see which layers are in the repository")
@retried
def batch_check_layers(client: Any, repository: str, digests: Sequence[str]) -> list[dict[str, Any]]:
    """At most 100. What is no digest to ECR is not in the answer."""
    answer = client.batch_check_layer_availability(repositoryName=repository, layerDigests=digests)
    layers: list[dict[str, Any]] = answer.get("layers", [])
    return layers
