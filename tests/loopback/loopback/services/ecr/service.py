"""ECR's table of operations. The files beside this one add to it."""

from __future__ import annotations

from loopback.json_service import JsonService

service = JsonService("ecr")
