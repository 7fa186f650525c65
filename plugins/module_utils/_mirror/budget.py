# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pulls that registries still allow, and who gets them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Deferred, MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit


class PullBudget:
    """For all threads and transports of a run.

    `rate_limit` is that of the client: what a registry said last. A registry that says nothing allows any number.
    `reserve` pulls of each registry are left for others. What is left never grows, even should the window renew.
    """

    def __init__(self, rate_limit: Callable[[str], RateLimit | None], reserve: int = 0) -> None:
        if reserve < 0:
            raise MirrorError(f"rate_limit_reserve: {reserve} is less than nothing: give 0 or more")
        self._rate_limit, self._reserve = rate_limit, reserve
        self._lock = threading.Lock()
        self._first: dict[str, RateLimit] = {}
        self._left: dict[str, int] = {}

    def meters(self, registry: str) -> bool:
        """Whether the registry counts pulls. From the first time on, what is used is reported."""
        with self._lock:
            return self._refreshed(registry) is not None

    def take(self, registry: str, pulls: int) -> None:
        """Raises Deferred if there are not so many left."""
        with self._lock:
            limit = self._refreshed(registry)
            if limit is None:
                return
            if self._available(registry) < pulls:
                raise self._deferred(registry, limit, "", pulls, self._available(registry))
            self._left[registry] -= pulls

    def defer(self, needs: Sequence[tuple[str, int]]) -> list[Deferred | None]:
        """Who has to wait, if each takes so many pulls of its registry: the smallest get them first. Takes none."""
        verdicts: list[Deferred | None] = [None] * len(needs)
        with self._lock:
            limits = {registry: self._refreshed(registry) for registry in dict.fromkeys(name for name, _pulls in needs)}
            left = {registry: self._available(registry) for registry, limit in limits.items() if limit}
            for place in sorted(range(len(needs)), key=lambda place: needs[place][1]):
                registry, pulls = needs[place]
                limit = limits[registry]
                if limit is None:
                    continue
                if pulls > left[registry]:
                    verdicts[place] = self._deferred(registry, limit, "about ", pulls, left[registry])
                else:
                    left[registry] -= pulls
        return verdicts

    def report(self) -> dict[str, dict[str, int | None]]:
        """For each registry that counts what is left, and what was used since the first time.

        That is what it said last, or less: an engine pulls by itself, and nobody sees what it is told.
        """
        found: dict[str, dict[str, int | None]] = {}
        with self._lock:
            for registry, first in self._first.items():
                last = self._rate_limit(registry) or first
                remaining = min(last.remaining, self._left[registry])
                found[registry] = {
                    "limit": last.limit,
                    "remaining": remaining,
                    "window": last.window,
                    "used": max(0, first.remaining - remaining),
                }
        return found

    def _refreshed(self, registry: str) -> RateLimit | None:
        limit = self._rate_limit(registry)
        if limit is None:
            return None
        self._first.setdefault(registry, limit)
        self._left[registry] = min(self._left.get(registry, limit.remaining), limit.remaining)
        return limit

    def _available(self, registry: str) -> int:
        return self._left[registry] - self._reserve

    def _deferred(self, registry: str, limit: RateLimit, about: str, pulls: int, available: int) -> Deferred:
        reserve = f" after a reserve of {self._reserve}" if self._reserve else ""
        renewal = f"within {_duration(limit.window)}" if limit.window else "in some hours"
        left = f"{max(0, available)} of {limit.limit} left{reserve}"
        return Deferred(
            f"needs {about}{_count(pulls, 'pull')} of {registry}, which has {left}: "
            f"run again when they renew, {renewal}, or log in to an account that may pull more"
        )


def _duration(seconds: int) -> str:
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            return _count(seconds // size, unit)
    return _count(seconds, "second")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
