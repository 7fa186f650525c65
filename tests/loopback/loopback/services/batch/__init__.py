"""AWS Batch on Fargate: compute environments, queues, job definitions, and jobs that run in full mode, arrays too.

state        what is remembered             resources    compute environments, queues, definitions, tags
guard        who may call what              jobs         SubmitJob...
execution    the life of a job and its children
"""

from __future__ import annotations

from loopback.services.batch import guard, jobs, resources, state
from loopback.services.batch.service import service

NAME = "batch"
AUTHORIZES = True
handle_request = service.handle_request
reset = state.reset

__all__ = ["AUTHORIZES", "NAME", "guard", "handle_request", "jobs", "reset", "resources", "state"]
