"""EventBridge rules: ministack's, with iam:PassRole checked for the roles of rules and targets."""

from __future__ import annotations

from loopback import pass_role

NAME = "events"
before = pass_role.guard(
    "events.amazonaws.com",
    ["PutRule", "PutTargets"],
    lambda request: [holder.get("RoleArn") for holder in (request, *request.get("Targets", []))],
)
