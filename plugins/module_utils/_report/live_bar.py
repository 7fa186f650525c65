# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bar in the last line of a terminal, which leaves alone what others write there.

Private to this collection: may change in any release.

The lines of others are passed on as they are, and the bar only makes way for them. The displays that rich has would
break long ones. The cursor stays visible, so that there is nothing to restore should the process be killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

try:
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    HAS_RICH = True
except ImportError:
    HAS_RICH = False  # then there is no bar

_LEAST, _MOST = 8, 30
_CLEAR = "\r\x1b[2K"


def can_have_bar(stream: TextIO) -> bool:
    return HAS_RICH and stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


class Bar:
    """`lock` is the one with which others write to the terminal: with two of them, they could wait for each other."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._streams: tuple[TextIO, TextIO] | None = None
        self._line = ""
        self._is_shown = self._is_amid_line = False

    def draw(self, fraction: float | None, status: str) -> None:
        """Without a status there is no bar, and without a fraction one that does not say how far it is."""
        with self._lock:
            if not status:
                self.close()
                return
            if self._streams is None:
                self._streams = sys.stdout, sys.stderr
                sys.stdout, sys.stderr = (_Above(stream, self) for stream in self._streams)
            line = rendered(self._streams[0], fraction, status)
            if line != self._line or not self._is_shown:
                self._line = line
                self._hide()
                self._appear()

    def close(self) -> None:
        with self._lock:
            if self._streams is not None:
                self._hide()
                sys.stdout, sys.stderr = self._streams
                self._streams = None

    @contextmanager
    def making_way(self, text: str) -> Iterator[None]:
        """For this text, after which the bar is there again if a line has ended with it."""
        with self._lock:
            self._hide()
            yield
            self._is_amid_line = not text.endswith("\n") if text else self._is_amid_line
            if self._line:
                self._appear()

    def _hide(self) -> None:
        if self._is_shown and self._streams:
            self._put(_CLEAR)
            self._is_shown = False

    def _appear(self) -> None:
        if self._streams and not self._is_amid_line:
            self._put(self._line)
            self._is_shown = True

    def _put(self, text: str) -> None:
        if self._streams:
            self._streams[0].write(text)
            self._streams[0].flush()


class _Above:
    """Stands for standard output or standard error, and writes above the bar."""

    def __init__(self, stream: TextIO, above: Bar) -> None:
        self._stream, self._bar = stream, above

    def write(self, text: str) -> int:
        with self._bar.making_way(text):
            written = self._stream.write(text)
            self._stream.flush()
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def rendered(stream: TextIO, fraction: float | None, status: str) -> str:
    """One line that fits into the terminal."""
    console = Console(file=stream, force_terminal=True, highlight=False)
    room = max(2 * _LEAST, console.width - 2)
    width = min(_MOST, max(_LEAST, room - len(status)))
    drawn = ProgressBar(total=1.0, completed=fraction or 0.0, width=width, pulse=fraction is None)
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis", max_width=room - width)
    line.add_row(drawn, Text(status))
    with console.capture() as capture:
        console.print(line, end="")
    return capture.get().rstrip("\n")
