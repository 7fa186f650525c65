"""AWS CodeBuild: projects, builds and batches of builds. In full mode a build runs its buildspec in a container.

state         what is remembered              projects      CreateProject...
guard         who may call what               builds        StartBuild..., overrides
record        a build as BatchGetBuilds shows it: phases, events, metrics
execution     the life of one build           buildspec     its instructions, parsed
surroundings  environment variables, image    source        what it is built from
shell         commands in the container       batches       StartBuildBatch...
"""

from __future__ import annotations

from loopback.services.codebuild import batches, builds, guard, projects, state
from loopback.services.codebuild.service import service

NAME = "codebuild"
AUTHORIZES = True
handle_request = service.handle_request
reset = state.reset

__all__ = ["AUTHORIZES", "NAME", "batches", "builds", "guard", "handle_request", "projects", "reset", "state"]
