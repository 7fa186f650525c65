# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for something in AWS: a predicate, polled by a clock that is handed in.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError

T = TypeVar("T")


class Clock(Protocol):
    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class AnsibleECRTimeoutError(AnsibleECRError):
    """Waited long enough; `reached` is what was last seen."""

    def __init__(self, message: str, reached: object) -> None:
        super().__init__(message, code="Timeout")
        self.reached = reached


def wait_until(
    observe: Callable[[], T],
    done: Callable[[T], bool],
    *,
    what: str,
    timeout: float,
    clock: Clock,
    pause: float = 2.0,
) -> T:
    """Observe until done, and return the observation. It looks at least once, and once more when the time is up."""
    deadline = clock.now() + timeout
    while True:
        seen = observe()
        if done(seen):
            return seen
        left = deadline - clock.now()
        if left <= 0:
            raise AnsibleECRTimeoutError(f"Waited {timeout:g} s for {what}, which is still: {seen}", reached=seen)
        clock.sleep(min(pause, left))
