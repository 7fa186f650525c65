"""A site in words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._site.plan import as_parts, outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import read

HERE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
THERE = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = f"sha256:{'a' * 64}"
CACHE: dict[str, Any] = {
    "rules": [{"name": "quay", "changed": True}, {"name": "k8s", "changed": False}],
    "warmed": [{"changed": True}],
    "needs_filling": [],
}
MIRROR: dict[str, Any] = {
    "verdict": "1 of 2 images would be copied.",
    "images": [{"action": "copy", "bytes": None}, {"action": "up_to_date", "bytes": None}],
    "totals": {"copied": 1, "refused": 0, "deferred": 0, "bytes": {"moved": 0}},
    "rate_limit": {"docker.io": {"limit": 100, "remaining": 76}, "quay.io": {"limit": None, "remaining": None}},
}
CLONE = {"project": "ecs-clone-cloner", "images": {"a": "b"}, "run_status": "NOT_STARTED", "run_id": ""}
SYNC = {
    "batch_job_queue": "",
    "ecs_cluster_name": "acme",
    "addresses": {"a": "b", "c": "d"},
    "run_status": "NOT_STARTED",
}


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (
            "docker.io/library/nginx:1",
            "nginx:1 is mirrored now, by this machine: Amazon ECR caches docker.io only with",
        ),
        ("quay.io/a/b:1", "quay.io/a/b:1 is cached: Amazon ECR can cache quay.io"),
        ("quay.io/a/b", "quay.io/a/b, whatever tag is cached: "),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST} is cached: "),
        ({"source": "quay.io/a/b", "tags": ["1", "2"]}, "quay.io/a/b:{1,2} is cached: "),
        (
            {"source": "redis", "select": {"newest": 1}, "via": "clone"},
            "redis, as selected is cloned on a schedule, by AWS",
        ),
        (
            {"source": f"{THERE}/app", "via": "sync"},
            f"{THERE}/app, whatever tag is synced on a schedule, by AWS Fargate",
        ),
    ],
)
def test_each_image_has_a_line(image: Any, line: str) -> None:
    assert as_parts(read({"images": [image]}, HERE))["lines"][0].startswith(line)


def test_what_is_added_is_said() -> None:
    assert as_parts(read({"images": ["quay.io/a/b:1"]}, HERE))["lines"][1:] == ["The upstream quay is added for them"]


def test_a_file_that_asks_for_nothing_is_told_so() -> None:
    (line,) = as_parts(read({}, HERE))["lines"]
    assert line.startswith("The file asks for nothing")


def test_a_plan_says_what_would_be() -> None:
    assert outcome({"cache": CACHE, "clone": CLONE, "sync": SYNC, "mirror": MIRROR}, planned=True) == [
        "Cached: quay, k8s. 1 rule would be made or changed.",
        "1 image would be fetched by the cache.",
        "Cloned by the project ecs-clone-cloner: 1 image. What it copies, it finds out when it runs.",
        "Synced by acme: 2 repositories. What it copies, it finds out when it runs.",
        "Mirrored: 1 of 2 images would be copied.",
        "To copy: 1 image whose size is not known without a pull.",
        "Pulls of docker.io that are left: 76 of 100, and each of these images takes at least one.",
    ]


def test_a_run_says_what_was() -> None:
    started = {**CLONE, "run_id": "p:1", "run_status": "IN_PROGRESS"}
    totals = {"copied": 1, "refused": 1, "deferred": 2, "bytes": {"moved": 61_400_000}}
    mirrored = {**MIRROR, "verdict": "All 2 images can be pulled.", "totals": totals, "rate_limit": {}}
    cached = {**CACHE, "warmed": [], "needs_filling": ["docker-hub"]}
    assert outcome({"cache": cached, "clone": started, "sync": SYNC, "mirror": mirrored}, planned=False) == [
        "Cached: quay, k8s. 1 rule was made or changed.",
        "Still to be filled in: the login of docker-hub. Until then, none of its images can be pulled.",
        "Cloned by the project ecs-clone-cloner: 1 image. The run p:1 was started: IN_PROGRESS.",
        "Synced by acme: 2 repositories. Nothing was started now. The next run is that of its schedule.",
        "Mirrored: All 2 images can be pulled.",
        "Refused: 1. Deferred, to leave pulls to others: 2.",
        "Copied: 61.4 MB.",
    ]


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ([63_000_000], "To copy: 63.0 MB."),
        ([63_000_000, None, None], "To copy: 63.0 MB and 2 images whose sizes are not known without a pull."),
    ],
)
def test_a_plan_copies_nothing_yet(sizes: list[int | None], line: str) -> None:
    images = [{"action": "copy", "bytes": size and {"moved": size}} for size in sizes]
    totals = {"copied": len(sizes), "refused": 0, "deferred": 0, "bytes": {"moved": 63_000_000}}
    planned = {"mirror": {**MIRROR, "images": images, "totals": totals, "rate_limit": {}}}
    assert outcome(planned, planned=True)[1:] == [line]


def test_what_was_taken_away_is_said() -> None:
    gone = {"rules": [], "warmed": [], "needs_filling": []}
    assert outcome({"cache": gone, "clone": {**CLONE, "project": ""}}, planned=False) == [
        "The cache was removed.",
        "The cloner was removed.",
    ]
    assert outcome({"sync": {**SYNC, "ecs_cluster_name": ""}}, planned=True) == ["The sync would be removed."]


def test_a_way_that_told_nothing_is_left_out() -> None:
    assert outcome({"cache": {}, "mirror": {}}, planned=False) == []
