"""Work that goes on in the background: builds, tasks, jobs. Each has a thread, can be stopped, and ends with the cloud.

run = runs.start(work, deadline=clock.now() + 3600)      work(run) is called in a thread
run.on_stop(lambda why: container.kill())                called once when the run is stopped
run.stop("STOPPED")                                      run.stopped says why; None while nobody stopped it
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

from loopback import ticker
from loopback.clock import clock

TIMED_OUT = "TIMED_OUT"
CLOUD_ENDS = "STOPPED"
_JOIN = 10.0  # seconds that a reset waits for the last words of a run


class Run:
    def __init__(self, work: Callable[[Run], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._endings: list[Callable[[str], None]] = []
        self._stopping = threading.Event()
        self.stopped: str | None = None
        self.deadline: float | None = None  # on the cloud's clock
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)

    def start(self) -> None:
        _live.add(self)
        self._thread.start()

    def on_stop(self, ending: Callable[[str], None]) -> None:
        """Do this when the run is stopped; at once if it has been."""
        with self._lock:
            if self.stopped is None:
                self._endings.append(ending)
                return
        ending(self.stopped)

    def stop(self, why: str) -> None:
        with self._lock:
            if self.stopped is not None:
                return
            self.stopped = why
            endings, self._endings = self._endings, []
        self._stopping.set()
        for ending in endings:
            ending(why)

    def wait(self, seconds: float) -> bool:
        """Wait in real time; True when the run was stopped meanwhile."""
        return self._stopping.wait(seconds)

    def wait_for_end(self) -> None:
        self._thread.join()

    def join(self) -> None:
        self._thread.join(_JOIN)

    def _run(self) -> None:
        try:
            self._work(self)
        finally:
            _live.discard(self)


_live: set[Run] = set()


def start(work: Callable[[Run], None], deadline: float | None = None) -> Run:
    run = Run(work)
    run.deadline = deadline
    run.start()
    return run


def reset() -> None:
    """Stop whatever runs, and wait for it."""
    running = list(_live)
    for run in running:
        run.stop(CLOUD_ENDS)
    for run in running:
        run.join()


def _stop_overdue() -> None:
    now = clock.now()
    for run in list(_live):
        if run.deadline is not None and now >= run.deadline:
            run.stop(TIMED_OUT)


ticker.every_tick.append(_stop_overdue)
