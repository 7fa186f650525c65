"""AWS Batch: ministack's, with iam:PassRole checked for the roles of jobs and compute environments. A REST service."""

from __future__ import annotations

import json

from loopback import aws
from loopback.fidelity import documented

NAME = "batch"
_TASK_ROLES = ("jobRoleArn", "executionRoleArn")


@documented("IAM user guide, id_roles_use_passrole")
def before(_method: str, path: str, _headers: dict[str, str], body: bytes) -> None:
    if path.endswith("/registerjobdefinition"):
        properties = json.loads(body or b"{}").get("containerProperties") or {}
        aws.require_pass_role([properties.get(name) for name in _TASK_ROLES], "ecs-tasks.amazonaws.com")
    if path.endswith(("/createcomputeenvironment", "/updatecomputeenvironment")):
        aws.require_pass_role([json.loads(body or b"{}").get("serviceRole")], "batch.amazonaws.com")
