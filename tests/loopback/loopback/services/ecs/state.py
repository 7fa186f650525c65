"""What ECS remembers, by account and region."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loopback import aws
from loopback.errors import AwsError
from loopback.runs import Run
from loopback.services.ecs.service import client_error

Json = dict[str, Any]


@dataclass
class Task:
    """`document` is what DescribeTasks shows."""

    document: Json
    definition: Json
    run: Run | None = None
    stop_reason: str = ""


@dataclass
class Place:
    clusters: dict[str, Json] = field(default_factory=dict)
    definitions: dict[str, Json] = field(default_factory=dict)  # by family:revision
    revisions: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, Task] = field(default_factory=dict)  # by ARN
    tags: dict[str, dict[str, str]] = field(default_factory=dict)  # by ARN


_places: dict[tuple[str, str], Place] = {}


def here() -> Place:
    return _places.setdefault((aws.account(), aws.region()), Place())


def reset() -> None:
    _places.clear()


def name_of(reference: str | None) -> str:
    """The last part of an ARN, or the name itself."""
    return (reference or "default").rpartition("/")[2]


def cluster(reference: str | None) -> Json:
    found = here().clusters.get(name_of(reference))
    if found is None or found["status"] != "ACTIVE":
        raise AwsError("ClusterNotFoundException", "Cluster not found.")
    return found


def definition(reference: str) -> Json:
    """The task definition, by ARN, family:revision, or family for its latest active revision."""
    name = name_of(reference)
    known = here().definitions
    if ":" not in name:
        active = [one for one in known.values() if one["family"] == name and one["status"] == "ACTIVE"]
        found = active[-1] if active else None
    else:
        found = known.get(name)
    if found is None:
        raise client_error("Unable to describe task definition.")
    return found


def task(reference: str) -> Task | None:
    identity = reference.rpartition("/")[2]
    return next((one for arn, one in here().tasks.items() if arn.endswith(f"/{identity}")), None)


def tag(arn: str, tags: list[Json] | None) -> None:
    if tags:
        here().tags.setdefault(arn, {}).update({one["key"]: one.get("value", "") for one in tags})


def tags(arn: str) -> list[Json]:
    return [{"key": key, "value": value} for key, value in here().tags.get(arn, {}).items()]
