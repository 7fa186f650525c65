"""Amazon ECS on Fargate: clusters, task definitions, and tasks that run in full mode. Services are not emulated.

state        what is remembered           clusters      clusters and tags
guard        who may call what            definitions   task definitions
execution    the life of one task         tasks         RunTask, StopTask...
"""

from __future__ import annotations

from loopback.services.ecs import clusters, definitions, guard, state, tasks
from loopback.services.ecs.service import service

NAME = "ecs"
AUTHORIZES = True
handle_request = service.handle_request
reset = state.reset

__all__ = ["AUTHORIZES", "NAME", "clusters", "definitions", "guard", "handle_request", "reset", "state", "tasks"]
