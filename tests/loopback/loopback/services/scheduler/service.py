"""EventBridge Scheduler's table of operations, and who may call what."""

from __future__ import annotations

from typing import Any

from loopback import aws
from loopback.errors import AwsError
from loopback.fidelity import documented
from loopback.rest_service import RestService

Json = dict[str, Any]
SERVICE = "scheduler.amazonaws.com"

service = RestService("scheduler", "ValidationException")


@service.authorizer
@documented("Service authorization reference, EventBridge Scheduler; IAM user guide, id_roles_use_passrole")
def authorize(operation: str, request: Json) -> None:
    if "ResourceArn" in request:
        resource = request["ResourceArn"]
    elif operation.endswith("ScheduleGroup"):
        resource = group_arn(request["Name"])
    elif operation.endswith("Schedule"):
        resource = schedule_arn(request.get("GroupName", "default"), request["Name"])
    else:
        resource = "*"
    aws.require(f"scheduler:{operation}", resource)
    aws.require_pass_role([(request.get("Target") or {}).get("RoleArn")], SERVICE)


def schedule_arn(group: str, name: str) -> str:
    return aws.arn("scheduler", f"schedule/{group}/{name}")


def group_arn(name: str) -> str:
    return aws.arn("scheduler", f"schedule-group/{name}")


def invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def missing(kind: str, name: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"{kind} {name} does not exist.")


def page(items: list[Json], request: Json, key: str) -> Json:
    size, start = request.get("MaxResults", 100), int(request.get("NextToken") or 0)
    more = {"NextToken": str(start + size)} if start + size < len(items) else {}
    return {key: items[start : start + size], **more}
