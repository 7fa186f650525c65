"""CodeBuild's table of operations. The files beside this one add to it."""

from __future__ import annotations

from loopback.errors import AwsError
from loopback.json_service import JsonService

service = JsonService("codebuild", "InvalidInputException")


def invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


def missing(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message)
