# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run, told while it happens to whoever watches it: the callback plugin stevedore.ecr.progress.

Private to this collection: may change in any release.

The environment variable STEVEDORE_PROGRESS names a file that is there, to which lines of JSON are added. Each has
`event` and `run`, which is another for each run. Runs may share a file. The events:

- start: `destination`, `check_mode`
- plan: `images`, of which `copies` are to be copied; `quota` as in the result of the run
- pace, some times a second: of the images that were `begun`, bytes that are `expected` to be moved, and that are
  `moved`; `quota`
- image: as in the result of the run
- end: `totals` as in the result of the run, None if it broke off; `interrupted`; `quota`
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeAlias

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Entry

VARIABLE = "STEVEDORE_PROGRESS"
_SECONDS_BETWEEN = 0.25

Quota: TypeAlias = Mapping[str, Mapping[str, Any]]


class Progress:
    """For all threads of a run. Without a file, or with one that cannot be written, nothing is told.

    `clean` takes out of what others have said what nobody may see.
    """

    def __init__(
        self,
        path: str = "",
        *,
        clean: Callable[[str], str] = str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clean, self._now = clean, now
        self._run = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._quota: Callable[[], Quota] = dict
        self._begun = self._expected = self._moved = 0
        self._told = now()
        self._has_ended = False
        self.was_watched = False
        self._file: int | None = None
        if path:
            try:
                self._file = os.open(path, os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                self.was_watched = True
            except OSError:
                pass  # nobody watches

    @property
    def is_watched(self) -> bool:
        return self._file is not None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._has_ended:
            self.ended(None, interrupted=isinstance(error, KeyboardInterrupt))
        with self._lock:
            self._close()

    def started(self, destination: str, *, check_mode: bool) -> None:
        self._tell("start", {"destination": destination, "check_mode": check_mode})

    def planned(self, images: int, copies: int, quota: Callable[[], Quota]) -> None:
        """`quota` is asked again as the run goes on."""
        self._quota = quota
        self._tell("plan", {"images": images, "copies": copies, "quota": quota()})

    def expected(self, count: int) -> None:
        """An image was begun, and so many bytes of it are to be moved."""
        self._add(1, count, 0)

    def moved(self, count: int) -> None:
        """So many bytes were."""
        self._add(0, 0, count)

    def image(self, entry: Entry) -> None:
        if self.is_watched:
            notes = tuple(map(self._clean, entry.notes))
            self._tell("image", replace(entry, reason=self._clean(entry.reason), notes=notes).as_dict())

    def ended(self, totals: Mapping[str, Any] | None, *, interrupted: bool) -> None:
        self._has_ended = True
        self._tell("end", {"totals": totals, "interrupted": interrupted, "quota": self._quota()})

    def _add(self, begun: int, expected: int, moved: int) -> None:
        with self._lock:
            self._begun += begun
            self._expected += expected
            self._moved += moved
            if self._file is None or self._now() < self._told + _SECONDS_BETWEEN:
                return
            self._told = self._now()
            pace = {"begun": self._begun, "expected": self._expected, "moved": self._moved}
        self._tell("pace", {**pace, "quota": self._quota()})

    def _tell(self, event: str, fields: Mapping[str, Any]) -> None:
        if not self.is_watched:
            return
        line = json.dumps({"event": event, "run": self._run, **fields}).encode() + b"\n"
        with self._lock:
            if self._file is None:
                return
            try:
                if os.write(self._file, line) < len(line):
                    self._close()
            except OSError:
                self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
