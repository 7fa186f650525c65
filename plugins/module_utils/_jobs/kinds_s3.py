# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon S3: settings of buckets that amazon.aws has no module for. They have no ARN and no tags.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, given


class _Handler(ECRErrorHandler):
    """With the codes by which S3 says that there is none. In check mode there may be no bucket yet."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["NoSuchBucket", "NoSuchLifecycleConfiguration"])
        return missing


@_Handler.list_error_handler("read the settings of the bucket")
@retried
def _read(client: Any, operation: str, bucket: str) -> Fields:
    answer: Fields = getattr(client, operation)(Bucket=bucket)
    return answer


class _BucketSetting(Kind):
    service = "s3"
    named = "Bucket"
    has_tags = False

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        self._put(client, name, given(wanted))
        return ""

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        self._put(client, name, given(wanted))
        return ""

    def _put(self, client: Any, name: str, fields: Fields) -> None:
        raise NotImplementedError


class S3Lifecycle(_BucketSetting):
    creation = "PutBucketLifecycleConfiguration"
    says = "the lifecycle of the bucket"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        answer = _read(client, "get_bucket_lifecycle_configuration", name)
        return Found({"LifecycleConfiguration": {"Rules": answer["Rules"]}}, "") if answer else None

    def _put(self, client: Any, name: str, fields: Fields) -> None:
        ask(client, "put_bucket_lifecycle_configuration", f"write {self.says} {name}", Bucket=name, **fields)

    def delete(self, client: Any, name: str, found: Found) -> None:
        ask(client, "delete_bucket_lifecycle", f"delete {self.says} {name}", Bucket=name)


class S3AccessLog(_BucketSetting):
    creation = "PutBucketLogging"
    says = "the access log of the bucket"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        answer = _read(client, "get_bucket_logging", name) or {}
        enabled = answer.get("LoggingEnabled")
        return Found({"BucketLoggingStatus": {"LoggingEnabled": enabled}}, "") if enabled else None

    def _put(self, client: Any, name: str, fields: Fields) -> None:
        ask(client, "put_bucket_logging", f"write {self.says} {name}", Bucket=name, **fields)

    def delete(self, client: Any, name: str, found: Found) -> None:
        self._put(client, name, {"BucketLoggingStatus": {}})
