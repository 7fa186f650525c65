"""CloudWatch Logs as services write to it: with the credentials of the role they act in."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loopback.acting import Actor
from loopback.clock import clock

_BATCH = 500  # events in one call


class LogStream:
    """One stream. Lines are written by a thread of its own, as they come; `failure` says why some were not."""

    def __init__(self, actor: Actor, group: str, stream: str) -> None:
        self._client = actor.client("logs")
        self._where = {"logGroupName": group, "logStreamName": stream}
        self._queue: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self.failure: Exception | None = None

    def open(self, *, create_group: bool) -> None:
        """Make the stream, and its group if asked to. ClientError when the role may not."""
        if create_group:
            with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
                self._client.create_log_group(logGroupName=self._where["logGroupName"])
        self._client.create_log_stream(**self._where)
        self._thread.start()

    def write(self, line: str) -> None:
        self._queue.put((int(clock.now() * 1000), line or " "))

    def close(self) -> None:
        """Write what is left."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _pump(self) -> None:
        open_ = True
        while open_:
            events: list[dict[str, Any]] = []
            item = self._queue.get()
            while item is not None:
                events.append({"timestamp": item[0], "message": item[1]})
                if len(events) == _BATCH or self._queue.empty():
                    break
                item = self._queue.get()
            open_ = item is not None
            if events and self.failure is None:
                self._put(events)

    def _put(self, events: list[dict[str, Any]]) -> None:
        try:
            self._client.put_log_events(**self._where, logEvents=events)
        except (ClientError, BotoCoreError) as error:
            self.failure = error
