"""The module job_results_info against the loopback cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]

BUCKET, PREFIX = "jobs", "sync/runs/0f2d4a3c/"
ACTIONS = {"s3:ListBucket": f"arn:aws:s3:::{BUCKET}", "s3:GetObject": f"arn:aws:s3:::{BUCKET}/*"}


def journal(tag: str) -> bytes:
    image = {"source": f"a:{tag}", "destination": f"b:{tag}", "tag": tag, "action": "copy"}
    limit = {"docker.io": {"limit": 100, "remaining": 40, "used": 60, "window": 21600}}
    events = [("start", {}), ("image", image), ("end", {"totals": {}, "rate_limit": limit})]
    lines = [{"event": event, "time": "2026-03-01T09:00:00+00:00", "run": tag, **fields} for event, fields in events]
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


@pytest.fixture(autouse=True)
def bucket(cloud: Cloud) -> Any:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": cloud.region})
    return s3


def test_parts_of_a_run_come_together(cloud: Cloud, module: Module) -> None:
    s3 = cloud.client("s3")
    for shard in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{shard}/journal.jsonl", Body=journal(f"v{shard}"))
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{shard}/report.html", Body=b"<html>")
    s3.put_object(Bucket=BUCKET, Key="sync/runs/another/0/journal.jsonl", Body=journal("of-another-run"))
    found = module("job_results_info", {"bucket": BUCKET, "prefix": PREFIX})
    assert not found["changed"]
    assert (found["journals"], found["unfinished"]) == (3, 0)
    assert [image["tag"] for image in found["images"]] == ["v0", "v1", "v2"]
    assert found["rate_limit"]["docker.io"]["remaining"] == 40


def test_a_run_that_left_the_work_to_another_has_nothing(module: Module) -> None:
    found = module("job_results_info", {"bucket": BUCKET, "prefix": PREFIX})
    assert (found["journals"], found["images"], found["rate_limit"]) == (0, [], {})


def test_what_is_no_journal_is_named(cloud: Cloud, module: Module) -> None:
    key = f"{PREFIX}0/journal.jsonl"
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{")
    assert f"s3://{BUCKET}/{key} is no journal" in module("job_results_info", {"bucket": BUCKET, "prefix": PREFIX}).msg


def test_without_a_bucket_it_says_so(module: Module) -> None:
    assert "NoSuchBucket" in module("job_results_info", {"bucket": "nowhere", "prefix": PREFIX}).msg


@pytest.mark.parametrize("action", ACTIONS)
def test_each_permission_is_needed(cloud: Cloud, module: Module, action: str) -> None:
    cloud.client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}0/journal.jsonl", Body=journal("v0"))
    allowed = [
        {"Effect": "Allow", "Action": one, "Resource": resource} for one, resource in ACTIONS.items() if one != action
    ]
    operator = cloud.role("operator", allowed)
    result = module("job_results_info", {"bucket": BUCKET, "prefix": PREFIX}, credentials=operator)
    assert result.failed
    assert action in result.msg
