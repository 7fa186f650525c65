"""Schedules."""

from __future__ import annotations

from typing import Any

from loopback import aws
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.scheduler import checks, state
from loopback.services.scheduler.service import missing, page, schedule_arn, service

Json = dict[str, Any]
_GIVEN = (
    *("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target", "State"),
    *("ActionAfterCompletion", "Description", "StartDate", "EndDate", "KmsKeyArn"),
)
_DEFAULTS = {"ScheduleExpressionTimezone": "UTC", "State": "ENABLED", "ActionAfterCompletion": "NONE"}
_RETRIES = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}


@service.operation
@from_model
def create_schedule(request: Json) -> Json:
    key = _key(request)
    _require_group(key[0])
    if key in state.here().schedules:
        raise AwsError("ConflictException", f"Schedule {key[1]} already exists.")
    return _keep(key, request, clock.now())


@service.operation
@from_model
@documented("EventBridge Scheduler API reference, UpdateSchedule: every field is replaced, those left out by defaults")
def update_schedule(request: Json) -> Json:
    return _keep(_key(request), request, _find(request).document["CreationDate"])


@service.operation
@from_model
def get_schedule(request: Json) -> Json:
    return _find(request).document


@service.operation
@from_model
def delete_schedule(request: Json) -> Json:
    _find(request)
    del state.here().schedules[_key(request)]
    return {}


@service.operation
@from_model
def list_schedules(request: Json) -> Json:
    wanted = {"GroupName": request.get("GroupName"), "State": request.get("State")}
    found = [
        schedule.document
        for schedule in state.here().schedules.values()
        if all(value in (None, schedule.document[name]) for name, value in wanted.items())
        and schedule.document["Name"].startswith(request.get("NamePrefix", ""))
    ]
    names = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
    shown = [
        {**{name: one[name] for name in names}, "Target": {"Arn": one["Target"]["Arn"]}}
        for one in sorted(found, key=lambda one: (one["GroupName"], one["Name"]))
    ]
    return page(shown, request, "Schedules")


@assumed("GetSchedule shows the default retry policy")
@documented("EventBridge Scheduler user guide, managing-schedule-retry: 185 retries in 24 hours by default")
def _keep(key: tuple[str, str], request: Json, created: float) -> Json:
    checks.check(request)
    now = clock.now()
    given = {name: request[name] for name in _GIVEN if request.get(name) is not None}
    target = {**given["Target"], "RetryPolicy": {**_RETRIES, **given["Target"].get("RetryPolicy", {})}}
    arn = schedule_arn(*key)
    times = {"CreationDate": created, "LastModificationDate": now}
    document = {**_DEFAULTS, **given, "Target": target, "Arn": arn, "GroupName": key[0], "Name": key[1], **times}
    schedule = state.Schedule(document, checks.expression(request, now), aws.account(), aws.region())
    # A moment before now, so that a rate without a start date fires at once.
    schedule.next = schedule.expression.after(max(now, request.get("StartDate") or 0) - 0.001)
    state.here().schedules[key] = schedule
    return {"ScheduleArn": arn}


def _find(request: Json) -> state.Schedule:
    schedule = state.here().schedules.get(_key(request))
    if schedule is None:
        raise missing("Schedule", request["Name"])
    return schedule


def _key(request: Json) -> tuple[str, str]:
    return request.get("GroupName", "default"), request["Name"]


def _require_group(name: str) -> None:
    if name not in state.here().groups:
        raise missing("ScheduleGroup", name)
