"""Faults on demand, and a log of every call. One instance stands before everything the cloud serves.

A rule says what it meets and what it does; the first rule that matches a request is used:

    meets  host (part of it), method, path (regex), op (AWS operation), after (skip n), times (default 1, -1: always)
    does   status with headers and body | reset (close at once) | delay (seconds) | rate (bytes a second)
           | truncate (bytes) | corrupt (offset of the byte to flip) | expire_tokens
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from loopback.clock import clock
from loopback.web import App, Disconnected, Message, Receive, Request, Scope, Send, hang_up, reply

LOG_LIMIT = 50_000


class Injected(Exception):
    """A fault that ends the connection."""


@dataclass
class Rule:
    host: str = ""
    method: str = ""
    path: str = ""
    op: str = ""
    after: int = 0
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    reset: bool = False
    delay: float = 0
    rate: float = 0
    truncate: int | None = None
    corrupt: int | None = None
    expire_tokens: bool = False
    seen: int = 0
    hits: int = 0

    def matches(self, request: Request, op: str) -> bool:
        return (
            self.host in request.host
            and self.method in ("", request.method)
            and self.op in ("", op)
            and re.search(self.path, request.path) is not None
        )

    def due(self) -> bool:
        """Count one request that matched; True if the fault strikes it."""
        self.seen += 1
        if self.seen <= self.after or (self.times >= 0 and self.hits >= self.times):
            return False
        self.hits += 1
        return True


@dataclass
class Call:
    """One line of the log."""

    at: float
    method: str
    host: str
    path: str
    query: str
    op: str
    status: int = 0  # -1: the connection was dropped
    received: int = 0
    sent: int = 0


class Faults:
    def __init__(self, app: App, expire_tokens: Callable[[], None]) -> None:
        self._app = app
        self._expire_tokens = expire_tokens
        self.rules: list[Rule] = []
        self.log: list[Call] = []

    def reset(self) -> None:
        self.rules.clear()
        self.log.clear()

    def add(self, rules: list[dict[str, Any]]) -> None:
        added = [Rule(**rule) for rule in rules]
        for rule in added:
            re.compile(rule.path)  # a bad pattern is the adder's error, not that of every later request
        self.rules += added

    def describe(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self.rules]

    def calls(self) -> list[dict[str, Any]]:
        return [asdict(call) for call in self.log]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        op = request.headers.get("x-amz-target", "").rpartition(".")[2]
        call = Call(
            clock.now(), request.method, request.host, request.path, scope["query_string"].decode("latin-1"), op
        )
        if len(self.log) < LOG_LIMIT:
            self.log.append(call)

        async def counted_receive() -> Message:
            message = await receive()
            call.received += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            call.sent += len(message.get("body", b""))
            await send(message)

        rule = next((r for r in self.rules if r.matches(request, op) and r.due()), None)
        try:
            if rule is None:
                await self._app(scope, counted_receive, counted_send)
            else:
                await self._strike(rule, scope, counted_receive, counted_send)
        except (Injected, Disconnected):
            call.status = -1
            hang_up(send)

    async def _strike(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        if rule.delay:
            await asyncio.sleep(rule.delay)
        if rule.expire_tokens:
            self._expire_tokens()
        if rule.reset:
            raise Injected("connection reset")
        if rule.status is not None:
            await Request(scope, receive).drain()
            body = rule.body if isinstance(rule.body, str) else json.dumps(rule.body)
            await reply(send, rule.status, {"Content-Type": "application/json", **rule.headers}, body.encode())
            return
        await self._app(scope, receive, _Shaper(rule, send))


class _Shaper:
    """Passes an answer on, cut short, damaged or slowed down."""

    def __init__(self, rule: Rule, send: Send) -> None:
        self._rule, self._send, self._done = rule, send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = self._damaged(message.get("body", b""))
        cut = self._rule.truncate
        if cut is not None and self._done + len(body) > cut:
            await self._pass_on(body[: cut - self._done])
            raise Injected("truncated")
        await self._pass_on(body)
        if not message.get("more_body"):
            await self._send({"type": "http.response.body", "body": b""})

    def _damaged(self, body: bytes) -> bytes:
        offset = self._rule.corrupt
        if offset is None or not self._done <= offset < self._done + len(body):
            return body
        at = offset - self._done
        return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]

    async def _pass_on(self, body: bytes) -> None:
        step = max(1, int(self._rule.rate / 10)) if self._rule.rate else max(1, len(body))
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self._done += len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            if self._rule.rate:
                await asyncio.sleep(0.1)
