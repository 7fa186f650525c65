"""What Batch remembers, by account and region."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loopback import aws
from loopback.clock import clock
from loopback.runs import Run
from loopback.services.batch.service import client_error

Json = dict[str, Any]
DONE = ("SUCCEEDED", "FAILED")


@dataclass
class Job:
    """`document` is what DescribeJobs shows. A child of an array has the array as its parent."""

    document: Json
    definition: Json  # with the overrides of SubmitJob
    parent: Job | None = None
    index: int | None = None
    children: list[Job] = field(default_factory=list)
    run: Run | None = None  # of the attempt, or of the array
    terminated: str | None = None  # by whom and why

    @property
    def status(self) -> str:
        return str(self.document["status"])

    def move(self, status: str, reason: str | None = None) -> None:
        self.document["status"] = status
        if reason is not None:
            self.document["statusReason"] = reason
        if status in DONE:
            self.document["stoppedAt"] = milliseconds()


@dataclass
class Place:
    environments: dict[str, Json] = field(default_factory=dict)
    queues: dict[str, Json] = field(default_factory=dict)
    definitions: dict[str, Json] = field(default_factory=dict)  # by name:revision
    revisions: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, Job] = field(default_factory=dict)
    busy: float = 0.0  # vCPUs at work
    capacity: threading.Condition = field(default_factory=threading.Condition)


_places: dict[tuple[str, str], Place] = {}


def here() -> Place:
    return _places.setdefault((aws.account(), aws.region()), Place())


def reset() -> None:
    _places.clear()


def milliseconds() -> int:
    return int(clock.now() * 1000)


def name_of(reference: str) -> str:
    return reference.rpartition("/")[2]


def queue(reference: str) -> Json:
    found = here().queues.get(name_of(reference))
    if found is None:
        raise client_error(f"JobQueue {reference} not found.")
    return found


def definition(reference: str) -> Json:
    """By ARN, name:revision, or name for the latest active revision."""
    name, known = name_of(reference), here().definitions
    if ":" in name:
        found = known.get(name)
    else:
        active = [one for one in known.values() if one["jobDefinitionName"] == name and one["status"] == "ACTIVE"]
        found = active[-1] if active else None
    if found is None or found["status"] != "ACTIVE":
        raise client_error(f"JobDefinition {reference} not found or inactive.")
    return found
