"""What EventBridge Scheduler remembers, by account and region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from loopback import aws
from loopback.clock import clock
from loopback.expressions import Expression
from loopback.services.scheduler.service import group_arn

Json = dict[str, Any]


@dataclass
class Schedule:
    """`document` is what GetSchedule shows. `next` is when it fires, None when it does no more."""

    document: Json
    expression: Expression
    account: str
    region: str
    next: float | None = None


@dataclass
class Place:
    schedules: dict[tuple[str, str], Schedule] = field(default_factory=dict)  # by group and name
    groups: dict[str, Json] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)  # of groups, by ARN


_places: dict[tuple[str, str], Place] = {}


def here() -> Place:
    key = aws.account(), aws.region()
    if key not in _places:
        now = clock.now()
        times = {"CreationDate": now, "LastModificationDate": now}
        default = {"Name": "default", "Arn": group_arn("default"), "State": "ACTIVE", **times}
        _places[key] = Place(groups={"default": default})
    return _places[key]


def everywhere() -> list[Schedule]:
    return [schedule for place in list(_places.values()) for schedule in list(place.schedules.values())]


def reset() -> None:
    _places.clear()
