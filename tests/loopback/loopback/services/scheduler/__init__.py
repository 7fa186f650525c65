"""EventBridge Scheduler.

state    what is remembered                   schedules   schedules and groups, by the API
checks   what a schedule may be               firing      schedules start their targets, on the cloud's clock
"""

from __future__ import annotations

from loopback.services.scheduler import firing, groups, schedules, state
from loopback.services.scheduler.service import service

NAME = "scheduler"
AUTHORIZES = True
handle_request = service.handle_request
reset = state.reset

__all__ = ["AUTHORIZES", "NAME", "firing", "groups", "handle_request", "reset", "schedules", "state"]
