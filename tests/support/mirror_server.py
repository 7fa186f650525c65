"""Registries that are not what they should be, on loopback ports: one that stands before a real one, and made ones.

What passes through is not held in memory, and what arrives is written down with its headers.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 16
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "authorization", "content-length"}


@dataclass
class Seen:
    """One request as it arrived, and what was answered: -1 is a broken connection."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0


@dataclass
class Fault:
    """Meets requests by method and path (a regular expression); `after` of them pass first, then `times` are struck.

    `times` -1 is for ever. Offsets are in bytes of the content.
    """

    method: str = ""
    path: str = ""
    after: int = 0
    times: int = 1
    # Instead of asking the registry:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    # Break the connection so far into the request, into the answer, or before the answer.
    cut_request: int | None = None
    cut_answer: int | None = None
    lose_answer: bool = False
    # End politely there, with or without having said so; say nothing more; flip a bit.
    end_answer: int | None = None
    shorten_answer: int | None = None
    stall_answer: int | None = None
    corrupt_answer: int | None = None
    # Bytes a second.
    rate: float = 0
    # Called with the request: before it is passed on, while half of its content is, or when the registry has answered.
    call: Callable[[Seen], None] | None = None
    when: Literal["before", "during", "after"] = "before"
    seen: int = 0

    def strikes(self, seen: Seen) -> bool:
        if self.method not in ("", seen.method) or not re.search(self.path, seen.path):
            return False
        self.seen += 1
        return self.seen > self.after and (self.times < 0 or self.seen <= self.after + self.times)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Iterable[bytes] = ()
    length: int = 0

    @classmethod
    def of(cls, status: int, body: bytes = b"", **headers: str) -> Answer:
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        return cls(status, named, [body], len(body))

    @classmethod
    def error(cls, status: int, code: str, message: str, **headers: str) -> Answer:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        return cls.of(status, body, content_type="application/json", **headers)


class Server:
    """Answers with what `answer` makes of a request. `with Server() as server:`"""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._server = _Listener((host, 0), _Handler)
        self._server.owner = self
        self.host = f"{host}:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, method: str = "", path: str = "") -> list[Seen]:
        with self._lock:
            return [one for one in self.seen if method in ("", one.method) and re.search(path, one.path)]

    def forget(self) -> None:
        """The requests so far, and all faults."""
        with self._lock:
            self.seen.clear()
            self.faults.clear()

    def note(self, seen: Seen) -> Fault | None:
        """The first fault that strikes; all of them count."""
        with self._lock:
            self.seen.append(seen)
            return next(iter([fault for fault in self.faults if fault.strikes(seen)]), None)

    def answer(self, seen: Seen, content: Iterator[bytes]) -> Answer:
        """`content` is read to its end before anything is answered."""
        raise NotImplementedError


class Login:
    """Basic on each request, or tokens that are had with it; every secret that was ever good is in `secrets`."""

    def __init__(self, *, tokens: bool) -> None:
        self.username, self.password = "robot", f"password-{secrets.token_hex(12)}"
        self.secrets = [self.password]
        self._with_tokens = tokens
        self._tokens: set[str] = set()
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        self._basic = f"Basic {basic}"
        self.secrets.append(basic)

    def expire(self, _seen: Seen | None = None) -> None:
        """The tokens, and where there are none, the password."""
        self._tokens.clear()
        if not self._with_tokens:
            self._basic = ""

    def check(self, seen: Seen, url: str) -> Answer | None:
        """A refusal, or a token if that was asked for."""
        header = seen.headers.get("authorization", "")
        if seen.path.startswith("/token"):
            return self._token(header)
        if (header in self._tokens) if self._with_tokens else (header == self._basic):
            return None
        scheme = f'Bearer realm="{url}/token",service="test"' if self._with_tokens else 'Basic realm="test"'
        # What it was sent is in the answer, as some registries have it.
        return Answer.error(401, "UNAUTHORIZED", f"not with {header}", www_authenticate=scheme)

    def _token(self, header: str) -> Answer:
        if header != self._basic:
            return Answer.error(401, "UNAUTHORIZED", f"incorrect username or password: {header}")
        token = f"token-{secrets.token_hex(12)}"
        self._tokens.add(f"Bearer {token}")
        self.secrets.append(token)
        return Answer.of(200, json.dumps({"token": token, "expires_in": 300}).encode(), content_type="application/json")


class Proxy(Server):
    """Stands before a real registry, and behaves worse than it on demand."""

    def __init__(self, target: str, login: Login | None = None) -> None:
        """`target` is host:port."""
        self._target, self.login = target, login
        # An origin that all blobs are redirected to, with a signature.
        self.redirect_blobs = ""
        self.signature = f"signature-{secrets.token_hex(12)}"
        # How many tags a page has; the registry itself may know no pages.
        self.page = 0
        super().__init__()

    @property
    def secrets(self) -> list[str]:
        return [*(self.login.secrets if self.login else []), *([self.signature] if self.redirect_blobs else [])]

    def answer(self, seen: Seen, content: Iterator[bytes]) -> Answer:
        refused = self.login.check(seen, self.url) if self.login else None
        if refused:
            _drain(content)
            return refused
        if self.redirect_blobs and seen.method == "GET" and "/blobs/sha256:" in seen.path:
            to = f"{self.redirect_blobs}{seen.path}?X-Amz-Signature={self.signature}"
            return Answer.of(307, location=to)
        answer = self._pass_on(seen, content)
        paged = self.page and answer.status == 200 and "/tags/list" in seen.path
        return self._one_page(seen.path, answer) if paged else answer

    def _one_page(self, path: str, whole: Answer) -> Answer:
        parts = urlsplit(path)
        last = parse_qs(parts.query).get("last", [""])[0]
        document = json.loads(b"".join(whole.body))
        left = sorted(tag for tag in document["tags"] if tag > last)
        page = left[: self.page]
        more = {"link": f'<{parts.path}?last={page[-1]}&n={self.page}>; rel="next"'} if len(left) > len(page) else {}
        body = json.dumps({**document, "tags": page}).encode()
        return Answer.of(200, body, content_type="application/json", **more)

    def _pass_on(self, seen: Seen, content: Iterator[bytes]) -> Answer:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        connection.putrequest(seen.method, seen.path, skip_host=True, skip_accept_encoding=True)
        for name, value in seen.headers.items():
            if name not in _HOP_BY_HOP:
                connection.putheader(name, value)
        if "content-length" in seen.headers:
            connection.putheader("content-length", seen.headers["content-length"])
        connection.endheaders()
        try:
            for piece in content:
                connection.send(piece)
        except _BrokenError:
            # The registry is told the same way.
            _reset(connection.sock)
            raise
        response = connection.getresponse()
        headers = {name.title(): value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        if response.getheader("content-length") is None:
            body = response.read()
            return Answer(response.status, headers, [body], len(body))
        length = int(response.getheader("content-length", "0"))
        return Answer(response.status, headers, _closing(response, connection), length)


class Sparse(Server):
    """Blobs of nothing but zeros, of any size, made as they are sent. What it is given it keeps, zeros by their size.

    As a destination it takes only what it could have made itself, or what is small.
    """

    def __init__(self) -> None:
        self.zeros: dict[str, int] = {}
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        super().__init__()

    def answer(self, seen: Seen, content: Iterator[bytes]) -> Answer:
        parts = urlsplit(seen.path)
        kind, _slash, name = parts.path.rpartition("/")
        if kind.endswith("/manifests"):
            return self._manifest(seen, name, content)
        if "/uploads" in kind:
            return self._upload(seen, parse_qs(parts.query).get("digest", [""])[0], content)
        _drain(content)
        if name in self.blobs:
            return Answer.of(200, self.blobs[name])
        if name in self.zeros:
            return Answer(200, {}, _zeros(self.zeros[name]), self.zeros[name])
        return Answer.error(404, "BLOB_UNKNOWN", "not here")

    def _manifest(self, seen: Seen, name: str, content: Iterator[bytes]) -> Answer:
        raw = b"".join(content)
        if seen.method == "PUT":
            self.manifests[name] = (seen.headers["content-type"], raw)
            return Answer.of(201)
        if name not in self.manifests:
            return Answer.error(404, "MANIFEST_UNKNOWN", "not here")
        media_type, raw = self.manifests[name]
        return Answer.of(200, raw, content_type=media_type)

    def _upload(self, seen: Seen, digest: str, content: Iterator[bytes]) -> Answer:
        if seen.method == "POST":
            return Answer.of(202, location=f"{urlsplit(seen.path).path}session")
        size, beginning, sparse = 0, b"", True
        for piece in content:
            size += len(piece)
            sparse = sparse and piece == _NOTHING[: len(piece)]
            beginning += piece if len(beginning) < PIECE else b""
        if sparse:
            self.zeros[digest] = size
        elif size <= PIECE:
            self.blobs[digest] = beginning
        else:
            return Answer.error(400, "DIGEST_INVALID", "this is not what was promised")
        return Answer.of(201)


_NOTHING = bytes(1 << 20)


def _zeros(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(_NOTHING)):
        yield _NOTHING[: size - start]


def _drain(content: Iterator[bytes]) -> None:
    for _piece in content:
        pass


def _closing(response: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> Iterator[bytes]:
    with contextlib.closing(connection):
        while piece := response.read(PIECE):
            yield piece


class _BrokenError(Exception):
    """A fault has ended the connection."""


def _reset(connection: socket.socket) -> None:
    """Close it the hard way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: _Listener

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def respond(self) -> None:
        owner = self.server.owner
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        fault = owner.note(seen)
        try:
            if fault and fault.call and fault.when == "before":
                fault.call(seen)
            answer = self._answer(owner, seen, fault)
            seen.status = answer.status
            self._send(answer, fault)
        except _EndedError:
            seen.status = -1
            self.close_connection = True
        except (_BrokenError, OSError):
            seen.status = -1
            self.close_connection = True
            with contextlib.suppress(OSError):
                _reset(self.connection)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = respond

    def _answer(self, owner: Server, seen: Seen, fault: Fault | None) -> Answer:
        content = self._content(fault.cut_request if fault else None)
        if fault and fault.call and fault.when == "during":
            content = self._halfway(content, fault.call, seen)
        if fault and fault.status:
            _drain(content)
            return Answer(fault.status, fault.headers, [fault.body], len(fault.body))
        answer = owner.answer(seen, content)
        if fault and fault.call and fault.when == "after":
            fault.call(seen)
        if fault and fault.lose_answer:
            raise _BrokenError
        return answer

    def _content(self, cut: int | None) -> Iterator[bytes]:
        left, done = int(self.headers.get("Content-Length", "0")), 0
        while left:
            room = PIECE if cut is None else min(PIECE, cut - done)
            if room <= 0:
                raise _BrokenError
            piece = self.rfile.read1(min(room, left))  # type: ignore[attr-defined]
            if not piece:
                raise _BrokenError
            left -= len(piece)
            done += len(piece)
            yield piece

    def _halfway(self, content: Iterator[bytes], call: Callable[[Seen], None], seen: Seen) -> Iterator[bytes]:
        left, called = int(self.headers.get("Content-Length", "0")) // 2, False
        for piece in content:
            left -= len(piece)
            if left <= 0 and not called:
                called = True
                call(seen)
            yield piece

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        shape = fault or Fault()
        length = answer.length if shape.shorten_answer is None else min(shape.shorten_answer, answer.length)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()
        if self.command == "HEAD":
            return
        done = 0
        for piece in answer.body:
            self._send_piece(piece, done, shape)
            done += len(piece)
        self.wfile.flush()

    def _send_piece(self, piece: bytes, done: int, shape: Fault) -> None:
        end = done + len(piece)
        if shape.corrupt_answer is not None and done <= shape.corrupt_answer < end:
            at = shape.corrupt_answer - done
            piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
        limits = (shape.cut_answer, shape.end_answer, shape.stall_answer, shape.shorten_answer)
        limit = min((one for one in limits if one is not None), default=end)
        self._write(piece[: max(0, limit - done)], shape.rate)
        if end <= limit or shape.shorten_answer is not None:
            return
        self.wfile.flush()
        if shape.stall_answer is not None:
            self.connection.recv(1)  # until it is given up
        if shape.cut_answer is not None or shape.stall_answer is not None:
            raise _BrokenError
        raise _EndedError

    def _write(self, piece: bytes, rate: float) -> None:
        if not rate:
            self.wfile.write(piece)
            return
        step = max(1, int(rate / 20))
        for start in range(0, len(piece), step):
            self.wfile.write(piece[start : start + step])
            self.wfile.flush()
            time.sleep(0.05)


class _EndedError(Exception):
    """An answer ends politely, and too early."""
