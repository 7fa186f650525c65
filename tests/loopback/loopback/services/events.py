"""EventBridge rules: ministack's, with iam:PassRole checked for the roles of targets."""

from __future__ import annotations

from loopback import pass_role

NAME = "events"
before = pass_role.guard(
    "events.amazonaws.com",
    ["PutTargets"],
    lambda request: [target.get("RoleArn") for target in request.get("Targets", [])],
)
