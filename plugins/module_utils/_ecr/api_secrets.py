# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of AWS Secrets Manager: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler

# How many values AWS gives in one call.
VALUES_IN_A_CALL = 20


class _Handler(ECRErrorHandler):
    """With the code by which AWS Secrets Manager says that there is none."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["ResourceNotFoundException"])
        return missing


@_Handler.list_error_handler("read the secret")
@retried
def describe_secret(client: Any, name: str) -> dict[str, Any]:
    """All but the value, or None where there is no such secret. Secrets that await deletion are found too."""
    secret: dict[str, Any] = client.describe_secret(SecretId=name)
    return secret


@_Handler.common_error_handler("read the values of the secrets")
@retried
def batch_get_secret_value(client: Any, arns: Sequence[str]) -> dict[str, Any]:
    """At most 20. A secret that cannot be read is in the answer's `Errors`."""
    answer: dict[str, Any] = client.batch_get_secret_value(SecretIdList=arns)
    return answer


@_Handler.common_error_handler("create the secret")
@retried
def create_secret(client: Any, fields: Mapping[str, Any]) -> str:
    """The ARN."""
    return str(client.create_secret(**fields)["ARN"])


@_Handler.common_error_handler("store the value of the secret")
@retried
def put_secret_value(client: Any, arn: str, value: str) -> None:
    client.put_secret_value(SecretId=arn, SecretString=value)


@_Handler.common_error_handler("update the description of the secret")
@retried
def update_description(client: Any, arn: str, description: str) -> None:
    client.update_secret(SecretId=arn, Description=description)


@_Handler.common_error_handler("tag the secret")
@retried
def tag_secret(client: Any, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
    client.tag_resource(SecretId=arn, Tags=tags)


@_Handler.common_error_handler("restore the secret")
@retried
def restore_secret(client: Any, arn: str) -> None:
    client.restore_secret(SecretId=arn)


@_Handler.deletion_error_handler("delete the secret")
@retried
def delete_secret(client: Any, arn: str, how: Mapping[str, Any]) -> bool:
    """False where somebody else was faster."""
    return bool(client.delete_secret(SecretId=arn, **how))
