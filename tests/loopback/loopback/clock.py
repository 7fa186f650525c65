"""The cloud's clock: real time plus what a test has added, so that nobody waits for a token to expire."""

from __future__ import annotations

import time


class Clock:
    """Wall-clock seconds that a test can move forward."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        return round(time.time() + self._offset, 3)

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    def reset(self) -> None:
        self._offset = 0.0


clock = Clock()
