# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of a job: started, followed a while at a time, and what became of them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import ask_for
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.patience import patiently

_PAUSE = 2.0
_EVENTS_IN_A_PAGE = 1000


@dataclass(frozen=True)
class Log:
    """Where a part of a run writes to. `label` tells it from other parts of the same run."""

    group: str
    stream: str
    label: str = ""


@dataclass(frozen=True)
class State:
    """How a run does. `why` is the service's own explanation of a failure."""

    status: str
    ended: bool
    succeeded: bool
    why: str = ""
    log_url: str = ""
    logs: Sequence[Log] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


# AWS may take some seconds until it shows a run that it has started.
NOT_SHOWN_YET = State("PENDING", ended=False, succeeded=False)


class Run(ABC):
    """A kind of run. `service` is asked for it; a run is named by its id, and by what it is a run of."""

    service: ClassVar[str]

    @abstractmethod
    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        """The id of the new run. None where another run has to end first."""

    @abstractmethod
    def state(self, client: Any, name: str, run_id: str) -> State: ...


def start(run: Run, client: Any, name: str, overrides: Mapping[str, Any], clock: Clock) -> str | None:
    """The roles of the job may have been made a moment ago."""
    return patiently(lambda: run.start(client, name, overrides), clock)


@dataclass(frozen=True)
class Followed:
    """What was seen during a while. `marks` says how far each stream has been read."""

    state: State
    lines: Sequence[str]
    marks: Mapping[str, str]


def follow(
    run: Run, client: Any, logs: Any, name: str, run_id: str, marks: Mapping[str, str], seconds: float, clock: Clock
) -> Followed:
    """Read what is written until the run ends, or for a while."""
    deadline = clock.now() + seconds
    lines: list[str] = []
    reached = dict(marks)
    while True:
        state = run.state(client, name, run_id)
        for log in state.logs:
            lines += _new_lines(logs, log, reached)
        if state.ended:
            # What was written last comes to the log a little later.
            clock.sleep(_PAUSE)
            for log in state.logs:
                lines += _new_lines(logs, log, reached)
        if state.ended or clock.now() >= deadline:
            return Followed(state, lines, reached)
        clock.sleep(min(_PAUSE, max(0.0, deadline - clock.now())))


def _new_lines(logs: Any, log: Log, reached: dict[str, str]) -> Iterator[str]:
    """What a stream has beyond where it was read to. One that is not there yet has nothing."""
    while True:
        before = reached.get(log.stream)
        page = ask_for(
            logs,
            "get_log_events",
            f"read the log {log.group} {log.stream}",
            logGroupName=log.group,
            logStreamName=log.stream,
            startFromHead=True,
            limit=_EVENTS_IN_A_PAGE,
            **({"nextToken": before} if before else {}),
        )
        if page is None:
            return
        for event in page["events"]:
            text = event["message"].rstrip()
            yield f"{log.label}: {text}" if log.label else text
        reached[log.stream] = page["nextForwardToken"]
        if page["nextForwardToken"] == before or not page["events"]:
            return
