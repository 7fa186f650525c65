# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was asked of which registry, and how much was moved: for whoever wants to report it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple, Protocol


class Asked(NamedTuple):
    """One kind of request. `registry` is its own name, or the host that it redirected to."""

    registry: str
    method: str
    what: str


class Observer(Protocol):
    """Is told of every answer and of every piece of content, by many threads at once."""

    def answered(self, asked: Asked, status: int) -> None: ...

    def moved(self, registry: str, *, received: int = 0, sent: int = 0) -> None: ...


class Counters:
    """An observer that adds up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[Asked] = Counter()
        self.statuses: Counter[int] = Counter()
        self.received: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def answered(self, asked: Asked, status: int) -> None:
        with self._lock:
            self.requests[asked] += 1
            self.statuses[status] += 1

    def moved(self, registry: str, *, received: int = 0, sent: int = 0) -> None:
        with self._lock:
            self.received[registry] += received
            self.sent[registry] += sent

    def total(self, registry: str) -> int:
        """All requests to one registry."""
        with self._lock:
            return sum(count for asked, count in self.requests.items() if asked.registry == registry)
