"""ECS: ministack's, with iam:PassRole checked for the roles of a task definition and of a task."""

from __future__ import annotations

from loopback import pass_role

NAME = "ecs"
before = pass_role.guard(
    "ecs-tasks.amazonaws.com",
    ["RegisterTaskDefinition", "RunTask"],
    lambda request: [
        roles.get(name)
        for roles in (request, request.get("overrides", {}))
        for name in ("taskRoleArn", "executionRoleArn")
    ],
)
