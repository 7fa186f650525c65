# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was decided to be copied, copied: some at a time, each image with what refers to it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import ITEM_ERRORS, Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import REASON, Interruption, threads
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Copied,
    Deferred,
    Destination,
    InterruptedRunError,
    Prepared,
    Task,
    Transport,
    UnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import pulls_of

R = TypeVar("R")

_FAILED_BEFORE = "keep_going is false, and another image failed"


@dataclass(frozen=True)
class Unit:
    """An image and what refers to it, as far as they are to be copied, in this order; all of one source."""

    findings: Sequence[Finding]

    @classmethod
    def of(cls, image: Finding) -> Unit | None:
        findings = [one for one in (image, *image.referrers) if one.task]
        return cls(findings) if findings else None

    def obstacle(self, finding: Finding) -> str:
        """Why one of them is not to be begun: nothing refers to what is not there."""
        first = self.findings[0]
        is_gone = first is not finding and first.kind == "image" and first.task is None
        return "the image that it refers to was not copied" if is_gone else ""

    @property
    def registry(self) -> str:
        return self.findings[0].item.source.registry

    @property
    def pulls(self) -> int:
        return sum(pulls_of(one.task) for one in self.findings if one.task)


class Execution:
    """`record` is told of each finding that has become final."""

    def __init__(
        self,
        destination: Destination,
        transports: Mapping[str, Transport],
        budget: PullBudget,
        record: Callable[[Finding], None],
        *,
        parallel: int,
        keep_going: bool,
        interruption: Interruption,
    ) -> None:
        self._repositories = _Repositories(destination)
        self._transports, self._budget, self._record = transports, budget, record
        self._parallel, self._keep_going, self._interruption = parallel, keep_going, interruption
        # Why nothing more is begun.
        self._stopped = ""

    @property
    def repositories_created(self) -> Sequence[str]:
        return sorted(self._repositories.made)

    def stop_for_failure(self) -> None:
        if not self._keep_going:
            self._stopped = self._stopped or _FAILED_BEFORE

    def copy(self, units: Iterable[Unit]) -> None:
        self._each(self._copy_unit, self._affordable(units))

    def plan(self, units: Iterable[Unit]) -> None:
        """What copying them would come to. Writes nothing."""
        affordable = self._affordable(units)
        prepared = self._each(self._plan_unit, affordable)
        # Images share layers: what each moves is known when all are prepared.
        for finding, one in (pair for pairs in prepared for pair in pairs):
            if one:
                finding.planned(one)
                if one.task.create_repository:
                    self._repositories.made.add(one.task.item.destination.repository)
            self._record(finding)

    # ------------------------------------------------------------------ in which order

    def _affordable(self, units: Iterable[Unit]) -> list[Unit]:
        """Those for which there are pulls enough, where pulls are counted the smallest first."""
        waiting = list(units)
        needs = [(unit.registry, unit.pulls) for unit in waiting]
        affordable = []
        for unit, need, deferred in zip(waiting, needs, self._budget.defer(needs), strict=True):
            if deferred is None:
                affordable.append((need[1] if self._budget.meters(need[0]) else 0, unit))
                continue
            for finding in unit.findings:
                finding.fail(deferred)
                finding.decided()
                self._record(finding)
        return [unit for _pulls, unit in sorted(affordable, key=lambda one: one[0])]

    def _each(self, work: Callable[[Unit], R], units: Sequence[Unit]) -> list[R]:
        with threads(self._parallel, "image") as pool:
            return list(pool.map(work, units))

    # ------------------------------------------------------------------ one after the other

    def _copy_unit(self, unit: Unit) -> None:
        for finding in unit.findings:
            begun = time.monotonic()
            copied = self._attempt(unit, finding, self._bring)
            if copied:
                finding.copied(copied, time.monotonic() - begun)
            self._record(finding)

    def _bring(self, task: Task) -> Copied:
        wish = task.item.wish
        transport = self._transports[wish.transport]
        if wish.transport == "docker":
            # The engine pulls by itself, and asks no budget.
            self._budget.take(task.item.source.registry, pulls_of(task))
        prepared = transport.prepare(task, check_mode=False)
        if task.create_repository:
            self._repositories.make(task.item.destination.repository)
        return transport.execute(prepared)

    def _plan_unit(self, unit: Unit) -> list[tuple[Finding, Prepared | None]]:
        return [(finding, self._attempt(unit, finding, self._prepare)) for finding in unit.findings]

    def _prepare(self, task: Task) -> Prepared:
        return self._transports[task.item.wish.transport].prepare(task, check_mode=True)

    def _attempt(self, unit: Unit, finding: Finding, work: Callable[[Task], R]) -> R | None:
        """What comes of the work; if nothing does, the finding says why."""
        begun = time.monotonic()
        obstacle = (REASON if self._interruption.happened else self._stopped) or unit.obstacle(finding)
        if obstacle:
            finding.leave(obstacle)
        elif finding.task:
            try:
                return work(finding.task)
            except ITEM_ERRORS as error:
                finding.fail(error)
                self._consider(error)
        finding.decided(time.monotonic() - begun)
        return None

    def _consider(self, error: Exception) -> None:
        if isinstance(error, UnavailableError):
            self._stopped = self._stopped or "the destination cannot be used"
        elif not isinstance(error, (Deferred, InterruptedRunError)):
            self.stop_for_failure()


class _Repositories:
    """Makes those that are missing, each once."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._errors: dict[str, Exception] = {}
        self._there: set[str] = set()
        # By us, and not by another run in the meantime.
        self.made: set[str] = set()

    def make(self, name: str) -> None:
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name in self._errors:
                raise self._errors[name]
            if name in self._there:
                return
            try:
                is_ours = self._destination.create(name)
            except ITEM_ERRORS as error:
                self._errors[name] = error
                raise
            self._there.add(name)
            if is_ours:
                self.made.add(name)
