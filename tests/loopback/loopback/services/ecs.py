"""ECS: ministack's, with iam:PassRole checked for the roles of a task definition."""

from __future__ import annotations

from loopback import pass_role

NAME = "ecs"
before = pass_role.guard(
    "ecs-tasks.amazonaws.com",
    ["RegisterTaskDefinition"],
    lambda request: [request.get("taskRoleArn"), request.get("executionRoleArn")],
)
