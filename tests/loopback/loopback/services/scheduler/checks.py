"""What a schedule may be, beyond the service model."""

from __future__ import annotations

import json
from typing import Any

from loopback import aws, targets
from loopback.expressions import BadExpression, Expression, parse, time_zone
from loopback.fidelity import assumed, documented
from loopback.services.scheduler.service import SERVICE, group_arn, invalid

Json = dict[str, Any]
_READING = (
    *("get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup"),
    *("discover", "validate", "batchGet", "batchDescribe", "batchRead", "transactGet", "adminGet", "adminList"),
)


@assumed("wordings")
def expression(request: Json, now: float) -> Expression:
    """When the schedule runs. A rate counts from its start date, or from now."""
    zone = request.get("ScheduleExpressionTimezone", "UTC")
    try:
        time_zone(zone)
    except BadExpression as error:
        raise invalid(f"Invalid ScheduleExpressionTimezone {zone}.") from error
    begins = max(request.get("StartDate") or now, now)
    try:
        return parse(request["ScheduleExpression"], zone, begins)
    except BadExpression as error:
        raise invalid(f"Invalid Schedule Expression {request['ScheduleExpression']}.") from error


@documented(
    "EventBridge Scheduler API reference, FlexibleTimeWindow, Target; user guide, managing-targets-universal, "
    "cross-service-confused-deputy-prevention: aws:SourceArn is the ARN of the schedule's group"
)
@assumed("wordings")
def check(request: Json) -> None:
    window, target = request["FlexibleTimeWindow"], request["Target"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise invalid("FlexibleTimeWindow takes MaximumWindowInMinutes in mode FLEXIBLE, and only then.")
    start, end = request.get("StartDate"), request.get("EndDate")
    if start is not None and end is not None and end <= start:
        raise invalid("The EndDate must be after the StartDate.")
    _check_target(target)
    group = group_arn(request.get("GroupName", "default"))
    if not aws.trusts(target["RoleArn"].rpartition("/")[2], SERVICE, group):
        raise invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")


def _check_target(target: Json) -> None:
    arn, given = target["Arn"], target.get("Input")
    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn":
        raise invalid("Provided Arn is not in correct format.")
    if ":aws-sdk:" in arn:
        try:
            service, operation = targets.universal(arn)
            if arn.rpartition(":")[2].startswith(_READING):
                raise invalid(f"{arn} is not a supported target: it only reads.")
            targets.arguments(service, operation, given)
        except ValueError as error:
            raise invalid(f"Invalid RequestJson provided. Reason {error}") from error
        return
    if parts[2] == "ecs" and "EcsParameters" not in target:
        raise invalid("EcsParameters must be provided for an ECS target.")
    if parts[2] in ("codebuild", "ecs") and given is not None:
        try:
            json.loads(given)
        except ValueError as error:
            raise invalid("The input of the target is not valid JSON.") from error
