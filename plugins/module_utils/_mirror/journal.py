# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run, written down while it happens: lines of JSON, for whoever wants to watch it or to know later.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError


class Journal:
    """Appends to a file, a whole line at a time, so that two runs may write to the same one.

    Without a path, or when the disk is full, nothing is written; `trouble` says so then.
    """

    def __init__(self, path: str) -> None:
        self.trouble = ""
        self._path, self._run = path, secrets.token_hex(4)
        self._lock = threading.Lock()
        self._file: int | None = None
        if path:
            try:
                self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
            except OSError as error:
                raise MirrorError(
                    f"The journal {path} cannot be written: {error.strerror}. Nothing was copied. "
                    "Give a file in a directory that exists, or leave journal out."
                ) from error

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        line = {"event": event, "time": datetime.now(timezone.utc).isoformat(), "run": self._run, **fields}
        with self._lock:
            if self._file is None:
                return
            try:
                _write_all(self._file, json.dumps(line).encode() + b"\n")
            except OSError as error:
                self.trouble = f"The journal {self._path} ends early: {error.strerror}."
                self._close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
