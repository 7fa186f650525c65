# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watcher says of runs that go on, by the events that _mirror/progress.py tells.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import REASON
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import GO_ON
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import STATUSES, image_line
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import counted, duration, plain, size

# Seconds: over what the rate is taken, and how long a run must have lasted before the time that is left is told.
_RATE_WINDOW = 10.0
_TOO_SOON = 3.0


@dataclass
class RunSoFar:
    """One run. The time is that of a clock that only goes forward."""

    begun_at: float
    is_plan: bool = False
    images: int = 0
    to_copy: int = 0
    planned_at: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    expected: int = 0
    moving: int = 0
    moved: int = 0
    seconds: float = 0.0
    quota: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    has_ended: bool = False
    is_interrupted: bool = False
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, event: Mapping[str, Any], now: float) -> None:
        kind = event["event"]
        if kind == "start":
            self.is_plan = event["check_mode"]
        elif kind == "plan":
            self.images, self.to_copy, self.planned_at = event["images"], event["copies"], now
        elif kind == "pace":
            self.begun, self.expected, self.moving = event["begun"], event["expected"], event["moved"]
            self._sample(now)
        elif kind == "image" and not is_unfinished(event):
            self.actions[event["action"]] += 1
            # The final number: what was sent again is not counted twice.
            self.moved += (event["bytes"] or {}).get("moved", 0)
        elif kind == "end":
            self.has_ended, self.is_interrupted = True, event["interrupted"]
            self.seconds = event["totals"]["seconds"] if event["totals"] else now - self.begun_at
        self.quota = event.get("quota", self.quota)

    def _sample(self, now: float) -> None:
        self.samples.append((now, self.moving))
        while self.samples[0][0] < now - _RATE_WINDOW:
            self.samples.popleft()

    @property
    def is_unfinished(self) -> bool:
        return self.is_interrupted or not self.has_ended

    @property
    def done(self) -> int:
        return self.actions.total()

    @property
    def bytes_so_far(self) -> int:
        return max(self.moved, self.moving)

    @property
    def fraction(self) -> float:
        """How much of what was to do is done, by images, and by the bytes of those that are under way."""
        if self.has_ended or not self.images:
            return float(self.has_ended)
        if not self.to_copy:
            return self.done / self.images
        # Referrers, and what was deferred or could not be read, are done without having been copied.
        left = self.images - self.done
        whole = max(0.0, 1 - left / self.to_copy)
        by_bytes = min(1.0, self.moving / self.expected) if self.expected else 0.0
        return min(1.0, max(whole, by_bytes * min(1.0, self.begun / self.to_copy)))

    @property
    def bytes_in_all(self) -> int:
        """An estimate until all images are begun, 0 if there is none."""
        if not self.begun or self.is_plan:
            return 0
        return max(self.bytes_so_far, round(self.expected * max(1.0, self.to_copy / self.begun)))

    @property
    def is_estimate(self) -> bool:
        return self.begun < self.to_copy

    def rate(self, now: float) -> float:
        """Bytes a second."""
        if not self.samples or now - self.samples[0][0] < 0.5:
            return 0.0
        since, then = self.samples[0]
        return (self.moving - then) / (now - since) if now - self.samples[-1][0] < _RATE_WINDOW else 0.0

    def seconds_left(self, now: float) -> float | None:
        elapsed, fraction = now - self.planned_at, self.fraction
        if self.is_plan or not self.to_copy or elapsed < _TOO_SOON or fraction < 0.01:
            return None
        return elapsed * (1 - fraction) / fraction


class Watcher:
    """All runs of one playbook."""

    def __init__(self) -> None:
        self._runs: dict[str, RunSoFar] = {}

    @property
    def active(self) -> list[RunSoFar]:
        return [run for run in self._runs.values() if not run.has_ended]

    @property
    def was_interrupted(self) -> bool:
        return any(run.is_unfinished for run in self._runs.values())

    def take(self, event: Mapping[str, Any], now: float) -> str:
        """The line to show about it, if there is anything to say."""
        run = self._runs.setdefault(event["run"], RunSoFar(now))
        run.take(event, now)
        if event["event"] == "image":
            return "" if is_unfinished(event) else image_line(event, run.is_plan)
        # Without totals the task says what is wrong; an interruption is told when all runs have ended.
        is_over = event["event"] == "end" and event["totals"] and not event["interrupted"]
        return _summary(run, "in") if is_over else ""

    def status(self, now: float) -> str:
        """One line about the runs that go on."""
        return "; ".join(_status(run, now) for run in self.active)

    @property
    def fraction(self) -> float | None:
        """None as long as it is not known what there is to do."""
        runs = self.active
        if not runs or not all(run.images for run in runs):
            return None
        return sum(run.fraction for run in runs) / len(runs)

    def farewell(self) -> str:
        """For who has interrupted what was going on."""
        runs = [run for run in self._runs.values() if run.is_unfinished]
        return f"Interrupted. {' '.join(_summary(run, 'after') for run in runs)} {GO_ON}"


def is_unfinished(entry: Mapping[str, Any]) -> bool:
    """Whether it is of an image that an interruption has left for the next run."""
    return bool(entry["action"] == "skip" and str(entry["reason"]).endswith(REASON))


def _status(run: RunSoFar, now: float) -> str:
    if not run.images:
        return "asking what is there on both sides"
    return ", ".join(filter(None, _parts(run, now)))


def _parts(run: RunSoFar, now: float) -> Iterator[str]:
    yield f"{run.done:,} of {counted(run.images, 'image')}"
    if run.bytes_so_far:
        about = "about " if run.is_estimate else ""
        yield f"{size(run.bytes_so_far)} of {about}{size(run.bytes_in_all)}" if run.begun else size(run.bytes_so_far)
    if rate := run.rate(now):
        yield f"{size(round(rate))}/s"
    if (left := run.seconds_left(now)) is not None:
        yield f"{time_left(left)} left"
    yield from _quotas(run.quota)


def _quotas(quota: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    return (
        f"{counted(limit['remaining'], 'pull')} left at {plain(name)}"
        for name, limit in quota.items()
        if limit.get("remaining") is not None
    )


def _summary(run: RunSoFar, joint: str) -> str:
    """What became of the images so far."""
    if not run.images:
        return "No image was done yet." if run.is_unfinished else "There was no image to look at."
    names = [(action, STATUSES[action][run.is_plan]) for action in reversed(STATUSES)]
    counts = ", ".join(f"{run.actions[action]:,} {name}" for action, name in names if run.actions[action])
    known = f"{run.done:,} of {counted(run.images, 'image')}: {counts or 'none done yet'}"
    took = f" {joint} {duration(run.seconds)}" if run.seconds else ""
    moved = f"{size(run.bytes_so_far)} {'to be moved' if run.is_plan else 'moved'}"
    return f"{known}; {moved}{took}."


def time_left(seconds: float) -> str:
    """As exact as an estimate can be."""
    if seconds < 10:
        return "under 10 s"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60 // 10 * 10:02} min"
