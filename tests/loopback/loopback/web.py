"""The little of HTTP that the emulated services need on top of ASGI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CHUNK = 1 << 18


class TooLarge(Exception):
    """A request body over the limit its reader set."""


class Disconnected(Exception):
    """The client went away in the middle of its request body."""


class Request:
    """One HTTP request: `headers` are lower case, repeated ones joined with commas (docker sends several Accept)."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope.get("scheme", "http")
        self.parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        self.query = dict(self.parameters)
        self.headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self._receive = receive
        self._complete = False

    @property
    def host(self) -> str:
        """Host and port as the client wrote them."""
        return self.headers.get("host", "")

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            body: bytes = message.get("body", b"")
            if body:
                yield body
            if not message.get("more_body"):
                self._complete = True
                return

    @property
    def has_body(self) -> bool:
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"

    async def drain(self) -> None:
        """Read and drop the rest of the body: an answer before its end would reset the client's connection."""
        if not self._complete:
            async for _chunk in self.chunks():
                pass

    async def body(self, limit: int) -> bytes:
        whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            if len(whole) > limit:
                raise TooLarge
        return bytes(whole)


def header_list(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def reply(send: Send, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
    """A whole answer. A `Content-Length` given in `headers` stands: that is how HEAD is answered."""
    complete = {"Content-Length": str(len(body)), **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": header_list(complete)})
    await send({"type": "http.response.body", "body": body})


def hang_up(send: Send) -> None:
    """Have the connection closed with no more said, once the application returns.

    ASGI has no way to say so: for a request without an answer, hypercorn would make up a 500.
    """
    from hypercorn.protocol.http_stream import ASGIHTTPState

    stream: Any = send.__self__  # type: ignore[attr-defined]
    stream.state = ASGIHTTPState.CLOSED


async def reply_json(send: Send, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(document, default=str).encode()
    await reply(send, status, {"Content-Type": "application/json", **(headers or {})}, body)


async def reply_file(
    send: Send, path: Path, headers: dict[str, str], *, byte_range: str | None = None, head: bool = False
) -> None:
    """A file from disk, streamed; one `bytes=a-b` range is honoured."""
    size = path.stat().st_size
    start, end, status = 0, size - 1, 200
    wanted = _parse_range(byte_range, size)
    if wanted == "unsatisfiable":
        await reply(send, 416, {"Content-Range": f"bytes */{size}"})
        return
    if isinstance(wanted, tuple):
        start, end = wanted
        status = 206
        headers = {**headers, "Content-Range": f"bytes {start}-{end}/{size}"}
    left = end - start + 1
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(left), **headers}
    await send({"type": "http.response.start", "status": status, "headers": header_list(headers)})
    if not head:
        with path.open("rb") as file:
            file.seek(start)
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _parse_range(text: str | None, size: int) -> tuple[int, int] | str | None:
    if not text or not text.startswith("bytes=") or "," in text:
        return None
    first, _dash, last = text.removeprefix("bytes=").partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        return None
    if int(first) >= size:
        return "unsatisfiable"
    return int(first), min(int(last), size - 1) if last else size - 1
