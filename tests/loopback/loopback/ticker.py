"""What happens by itself as the cloud's clock goes on: schedules fire, time limits pass, alarms are evaluated.

ticker.every_tick.append(function)      called a few times per second, in a thread of the ticker's own
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

TICK = 0.1  # real seconds; short, so that advancing the clock takes effect at once

every_tick: list[Callable[[], None]] = []


def start() -> None:
    threading.Thread(target=_tick_forever, name="ticker", daemon=True).start()


def _tick_forever() -> None:
    pause = threading.Event()
    while not pause.wait(TICK):
        for function in every_tick:
            try:
                function()
            except Exception:  # a fault of one service must not stop the clock for the others
                traceback.print_exc(file=sys.stdout)
