# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in Amazon S3 that are written only when their content is another.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError, ECRErrorHandler
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change

# An ETag is no digest of what is encrypted with a key of one's own; this is.
_DIGEST = "sha256"
_VERSIONS_IN_A_CALL = 1000


class _Handler(ECRErrorHandler):
    """With the codes by which S3 says that there is none. It is 403 to those who may not list what there is."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["403", "404", "NoSuchBucket", "NoSuchKey"])
        return missing


@_Handler.list_error_handler("look at the object")
@retried
def _head(client: Any, bucket: str, key: str) -> dict[str, Any]:
    """All but the content, or None where there is no such object, or no bucket yet."""
    found: dict[str, Any] = client.head_object(Bucket=bucket, Key=key)
    return found


@_Handler.common_error_handler("write the object")
@retried
def _put(client: Any, bucket: str, key: str, content: bytes, digest: str, how: Mapping[str, str]) -> str:
    """The version, where the bucket keeps any."""
    answer = client.put_object(Bucket=bucket, Key=key, Body=content, Metadata={_DIGEST: digest}, **how)
    return str(answer.get("VersionId", ""))


@_Handler.common_error_handler("delete the object")
@retried
def _delete(client: Any, bucket: str, key: str) -> None:
    client.delete_object(Bucket=bucket, Key=key)


@_Handler.list_error_handler("list what is in the bucket")
@retried
def _versions(client: Any, bucket: str, prefix: str) -> list[dict[str, str]] | None:
    """With the marks of what was deleted before."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    return [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for page in pages
        for one in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
    ]


@_Handler.common_error_handler("delete from the bucket")
@retried
def _delete_versions(client: Any, bucket: str, versions: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """What could not be deleted, and why."""
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": list(versions), "Quiet": True})
    return list(answer.get("Errors", []))


def purge(client: Any, bucket: str, prefix: str, *, check_mode: bool) -> list[Outcome[Change]]:
    """Delete all that is below the prefix, with all versions."""

    def work(key: str) -> Change:
        versions = _versions(client, bucket, key) or []
        for at in range(0, 0 if check_mode else len(versions), _VERSIONS_IN_A_CALL):
            for error in _delete_versions(client, bucket, versions[at : at + _VERSIONS_IN_A_CALL]):
                raise AnsibleECRError(
                    f"Failed to delete s3://{bucket}/{error['Key']}: {error.get('Message', '')}", code=error.get("Code")
                )
        before = {"versions": len(versions)} if versions else None
        return Change(before, None, [f"delete {len(versions)} versions below {key}"] if versions else [])

    return run_each([prefix], work, parallel=1)


def converge(
    client: Any, bucket: str, wanted: Mapping[str, bytes | None], kms_key: str | None, *, check_mode: bool
) -> list[Outcome[Change]]:
    """Make each key have its content, or be gone where that is None."""
    how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}

    def work(key: str) -> Change:
        content = wanted[key]
        found = _head(client, bucket, key)
        change = plan(key, found, content)
        version = str((found or {}).get("VersionId", ""))
        if change.changed and not check_mode:
            if content is None:
                _delete(client, bucket, key)
            else:
                version = _put(client, bucket, key, content, change.after["sha256"], how)
        return replace(change, details={"version": version if change.after else ""})

    return run_each(list(wanted), work, parallel=2)


def plan(key: str, found: Mapping[str, Any] | None, content: bytes | None) -> Change:
    """Compare digests. Pure."""
    before = {"sha256": found.get("Metadata", {}).get(_DIGEST, ""), "bytes": found["ContentLength"]} if found else None
    after = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} if content is not None else None
    if before == after:
        return Change(before, after, [])
    return Change(before, after, [f"write {key}" if after else f"delete {key}"])
