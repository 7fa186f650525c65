"""Batch's table of operations. The files beside this one add to it."""

from __future__ import annotations

from loopback.errors import AwsError
from loopback.rest_service import RestService

service = RestService("batch", "ClientException")


def client_error(message: str) -> AwsError:
    return AwsError("ClientException", message)
