"""CodeBuild: ministack's, with iam:PassRole checked for the role of a project or a build."""

from __future__ import annotations

from loopback import pass_role

NAME = "codebuild"
before = pass_role.guard(
    "codebuild.amazonaws.com",
    ["CreateProject", "UpdateProject", "StartBuild"],
    lambda request: [request.get("serviceRole"), request.get("serviceRoleOverride")],
)
