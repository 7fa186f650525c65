# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of a run have written down, each for itself, put together again.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError, ECRErrorHandler
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.locks import read

_JOURNAL = "/journal.jsonl"
# What a line of a journal has beside what is returned of an image.
_OF_THE_LINE = ("event", "time", "run")


@ECRErrorHandler.common_error_handler("list what the run has written")
@retried
def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def read_results(client: Any, bucket: str, prefix: str) -> dict[str, Any]:
    """Of all journals below the prefix. There is none of a run that has left the work to another one."""
    keys = sorted(key for key in _keys(client, bucket, prefix) if key.endswith(_JOURNAL))
    return {"journals": len(keys), **union([_lines(client, bucket, key) for key in keys])}


def _lines(client: Any, bucket: str, key: str) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in ((read(client, bucket, key) or {}).get("Text") or "").splitlines()]
    except ValueError as error:
        raise AnsibleECRError(f"s3://{bucket}/{key} is no journal: {error}", code="UnreadableJournal") from error


def union(journals: Iterable[list[Mapping[str, Any]]]) -> dict[str, Any]:
    """All images, the quotas of whoever saw least of them left, and how many journals have no end. Pure."""
    images: list[dict[str, Any]] = []
    limits: dict[str, Mapping[str, Any]] = {}
    unfinished = 0
    for journal in journals:
        last = list(_last_run(journal))
        images += [_image(line) for line in last if line["event"] == "image"]
        ends = [line for line in last if line["event"] == "end"]
        unfinished += not ends
        for registry, limit in (found for end in ends for found in end["rate_limit"].items()):
            limits[registry] = min(limits.get(registry, limit), limit, key=_remaining)
    return {"images": images, "rate_limit": limits, "unfinished": unfinished}


def _image(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in _OF_THE_LINE}


def _last_run(journal: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """An attempt may have gone on in the file of the one before it."""
    return (line for line in journal if line["run"] == journal[-1]["run"])


def _remaining(limit: Mapping[str, Any]) -> float:
    return float("inf") if limit.get("remaining") is None else float(limit["remaining"])
