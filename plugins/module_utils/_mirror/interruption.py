# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ending a run early because a person or the system wants it to end.

Private to this collection: may change in any release.

A first signal only makes it known. Whatever is under way ends at its next request or piece of content, nothing more is
begun, and the run comes to its usual end, with a whole report. What hangs on a slow connection meanwhile is given up
after some seconds, and what does not even let itself be given up ends with the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import InterruptedRunError

REASON = "the run was interrupted"
# For what is under way to end, and for giving it up then.
GRACE = 2.0
_LAST_GRACE = 1.0


class GivenUp(KeyboardInterrupt):
    """There was no end of what was under way. Raised in the main thread only."""


class Interruption:
    """For all threads of a run."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._happened = threading.Event()
        self._timer: threading.Timer | None = None

    @property
    def happened(self) -> bool:
        return self._happened.is_set()

    def interrupt(self) -> None:
        self._happened.set()

    def heed(self) -> None:
        """Go on, or raise InterruptedRunError."""
        if self.happened:
            raise InterruptedRunError(REASON)

    def sleep(self, seconds: float) -> None:
        """For so long, or until there is an interruption to heed."""
        self._happened.wait(seconds)
        self.heed()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM interrupt the run."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except GivenUp:
            # The threads that hang would keep the process from ending.
            self._later(_LAST_GRACE, lambda: os._exit(1))
            raise
        else:
            self._later(_LAST_GRACE, None)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            raise GivenUp
        self.interrupt()
        self._later(self._grace, lambda: os.kill(os.getpid(), number))

    def _later(self, seconds: float, act: Callable[[], object] | None) -> None:
        """Instead of what was to be done later before."""
        if self._timer:
            self._timer.cancel()
        if act:
            self._timer = threading.Timer(seconds, act)
            self._timer.daemon = True
            self._timer.start()


@contextmanager
def threads(count: int, name: str) -> Iterator[Executor]:
    """Should something end the run, what has not begun is not begun; and what hangs is not waited for."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    waits = True
    try:
        yield pool
    except GivenUp:
        waits = False
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)
