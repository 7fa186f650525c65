"""ECS's table of operations. The files beside this one add to it."""

from __future__ import annotations

from loopback.errors import AwsError
from loopback.json_service import JsonService

service = JsonService("ecs", "InvalidParameterException")


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def client_error(message: str) -> AwsError:
    return AwsError("ClientException", message)
