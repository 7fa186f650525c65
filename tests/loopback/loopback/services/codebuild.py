"""CodeBuild: ministack's, with iam:PassRole checked for the role of a project."""

from __future__ import annotations

from loopback import pass_role

NAME = "codebuild"
before = pass_role.guard(
    "codebuild.amazonaws.com", ["CreateProject", "UpdateProject"], lambda request: [request.get("serviceRole")]
)
