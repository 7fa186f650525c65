"""EventBridge Scheduler: ministack's, with iam:PassRole checked for the role of a schedule. A REST service."""

from __future__ import annotations

import json

from loopback import aws
from loopback.fidelity import documented

NAME = "scheduler"


@documented("IAM user guide, id_roles_use_passrole")
def before(method: str, path: str, _headers: dict[str, str], body: bytes) -> None:
    if method in ("POST", "PUT") and path.startswith("/schedules/"):
        target = json.loads(body or b"{}").get("Target") or {}
        aws.require_pass_role([target.get("RoleArn")], "scheduler.amazonaws.com")
