# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time: an object in Amazon S3 that says who is at work, which only one can write.

Private to this collection: may change in any release.

Whoever holds a lock may die. So a lock ends by itself, and by the clock of S3 alone: its age is that of the object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError, ECRErrorHandler

# How S3 says that somebody else was faster.
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_ATTEMPTS = 5


@dataclass(frozen=True)
class Lock:
    """A lock as it is in S3. `mine` is for the one who asked."""

    owner: str
    mine: bool
    seconds_left: float = 0.0
    etag: str = ""


class _Handler(ECRErrorHandler):
    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(["404", "NoSuchKey"])
        return missing


@_Handler.list_error_handler("read from the bucket")
@retried
def read(client: Any, bucket: str, key: str) -> dict[str, Any]:
    """With `Text`, or None where there is no such object."""
    answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key)
    return {**answer, "Text": answer["Body"].read().decode()}


@_Handler.common_error_handler("write the lock")
@retried
def _write(client: Any, bucket: str, key: str, text: str, how: Mapping[str, str]) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=text.encode(), **how)


@_Handler.common_error_handler("remove the lock")
@retried
def _remove(client: Any, bucket: str, key: str, etag: str) -> None:
    client.delete_object(Bucket=bucket, Key=key, IfMatch=etag)


def take(client: Any, bucket: str, key: str, owner: str, seconds: int, encryption: Mapping[str, str]) -> Lock:
    """Make the lock mine, if it is nobody's, or its time is over, or I have had it already."""
    text = json.dumps({"owner": owner, "seconds": seconds}, sort_keys=True)
    for _attempt in range(_ATTEMPTS):
        found = look(client, bucket, key, owner)
        if found is not None and not found.mine and found.seconds_left > 0:
            return found
        condition = {"IfMatch": found.etag} if found else {"IfNoneMatch": "*"}
        try:
            _write(client, bucket, key, text, {**encryption, **condition})
        except AnsibleECRError as error:
            if error.code not in _TAKEN:
                raise
            continue
        return Lock(owner, mine=True, seconds_left=seconds)
    raise AnsibleECRError(f"Many runs at once want the lock {key}. Run again", code="LockContended")


def look(client: Any, bucket: str, key: str, owner: str) -> Lock | None:
    found = read(client, bucket, key)
    if found is None:
        return None
    said = _said(found["Text"])
    age = (_moment(found) - found["LastModified"]).total_seconds()
    return Lock(said["owner"], said["owner"] == owner, max(0.0, said["seconds"] - age), found["ETag"])


def release(client: Any, bucket: str, key: str, owner: str) -> bool:
    """Give it back, if it still is mine."""
    found = look(client, bucket, key, owner)
    if found is None or not found.mine:
        return False
    try:
        _remove(client, bucket, key, found.etag)
    except AnsibleECRError as error:
        if error.code not in _TAKEN:
            raise
        return False
    return True


def _said(text: str) -> dict[str, Any]:
    """What is no lock of ours is as good as one that is over."""
    try:
        document = json.loads(text)
        return {"owner": str(document["owner"]), "seconds": float(document["seconds"])}
    except (ValueError, KeyError, TypeError):
        return {"owner": "", "seconds": 0.0}


def _moment(answer: Mapping[str, Any]) -> datetime:
    """When S3 gave the answer."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
