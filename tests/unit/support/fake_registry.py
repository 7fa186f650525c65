# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry on a loopback port that does what it is told, faults included, and remembers what it was asked."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Act = Callable[["Handler"], None]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(content: bytes, media_type: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content), **more}


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def image(config: bytes = b"{}", *layers: bytes, **more: Any) -> bytes:
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers],
            **more,
        }
    )


def error(code: str, message: str) -> bytes:
    return encoded({"errors": [{"code": code, "message": message}]})


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. `length` is how much content came with it."""

    method: str
    path: str
    headers: Mapping[str, str]
    length: int
    body: bytes

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)


@dataclass
class _Fault:
    method: str
    pattern: str
    act: Act
    times: int


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """Headers are written retry_after="7"."""

    def act(handler: Handler) -> None:
        handler.reply(status, body, {name.replace("_", "-").title(): value for name, value in headers.items()})

    return act


def reset(handler: Handler) -> None:
    """Break the connection the hard way."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def partly(status: int, body: bytes, promised: int, **headers: str) -> Act:
    """Promise more than is sent, then hang up."""

    def act(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(promised))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    return act


def chunked(body: bytes) -> Act:
    """Without a length, so that only the end shows where it ends."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    return act


@dataclass
class FakeRegistry:
    """Holds blobs and manifests. What it is asked goes to the faults first, then to the registry proper."""

    tls: ssl.SSLContext | None = None
    # Answers whether a request may go on; None lets everybody in.
    guard: Callable[[Seen], Act | None] | None = None
    mounts: bool = True
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    extra_headers: dict[str, str] = field(default_factory=dict)
    # After how many bytes to break the connection of the next uploads.
    cut_uploads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.registry = self
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if self.tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def on(self, method: str, pattern: str, *acts: Act, times: int = 1) -> None:
        """Do these, one after the other, for the next requests whose path has the pattern in it."""
        for act in acts:
            self._faults.append(_Fault(method, pattern, act, times))

    def add_blob(self, repository: str, content: bytes) -> str:
        self.blobs[repository, sha256(content)] = content
        return sha256(content)

    def add_manifest(self, repository: str, tag: str, content: bytes, media_type: str = OCI_MANIFEST) -> str:
        for reference in (tag, sha256(content)):
            self.manifests[repository, reference] = (media_type, content)
        return sha256(content)

    def asked(self, method: str, pattern: str = "") -> list[Seen]:
        with self.lock:
            return [seen for seen in self.seen if seen.method == method and re.search(pattern, seen.path)]

    def next_act(self, seen: Seen) -> Act:
        with self.lock:
            self.seen.append(seen)
            for fault in self._faults:
                if fault.method == seen.method and re.search(fault.pattern, seen.path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault.act
        refused = self.guard(seen) if self.guard else None
        return refused or self.serve

    def serve(self, handler: Handler) -> None:
        _serve(self, handler, handler.seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    registry: FakeRegistry

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 10
    server: _Server
    seen: Seen

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def respond(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if self.command == "PUT" and self.server.registry.cut_uploads:
            self.rfile.read(self.server.registry.cut_uploads.pop(0))
            reset(self)
            return
        body = self.rfile.read(length)
        seen = Seen(self.command, self.path, {n.lower(): v for n, v in self.headers.items()}, len(body), body)
        if len(body) == length:
            self.seen = seen
            self.server.registry.next_act(seen)(self)

    do_GET = do_HEAD = do_POST = do_PUT = respond

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        sent = {"Content-Length": str(len(body)), **self.server.registry.extra_headers, **(headers or {})}
        if body.startswith(b'{"errors"'):
            sent.setdefault("Content-Type", "application/json")
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _serve(registry: FakeRegistry, handler: Handler, seen: Seen) -> None:
    path = urlsplit(seen.path).path
    if path == "/v2/":
        handler.reply(200, b"{}")
        return
    for pattern, serve in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found:
            serve(registry, handler, seen, *found.groups())
            return
    handler.reply(404, error("NAME_UNKNOWN", "no such repository"))


def _manifests(registry: FakeRegistry, handler: Handler, seen: Seen, repository: str, reference: str) -> None:
    if seen.method == "PUT":
        registry.add_manifest(repository, reference, seen.body, seen.headers["content-type"])
        handler.reply(201, headers={"Docker-Content-Digest": sha256(seen.body)})
        return
    media_type, content = registry.manifests.get((repository, reference), ("", b""))
    if not content:
        handler.reply(404, error("MANIFEST_UNKNOWN", "manifest unknown"))
        return
    handler.reply(200, content, {"Content-Type": media_type, "Docker-Content-Digest": sha256(content)})


def _blobs(registry: FakeRegistry, handler: Handler, seen: Seen, repository: str, digest: str) -> None:
    content = registry.blobs.get((repository, digest))
    if content is None:
        handler.reply(404, error("BLOB_UNKNOWN", "blob unknown to registry"))
        return
    asked = re.fullmatch(r"bytes=([0-9]+)-", seen.headers.get("range", ""))
    if not asked:
        handler.reply(200, content)
        return
    start = int(asked.group(1))
    handler.reply(206, content[start:], {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})


def _begin(registry: FakeRegistry, handler: Handler, seen: Seen, repository: str) -> None:
    mount, source = (seen.query.get(name, [""])[0] for name in ("mount", "from"))
    if mount and registry.mounts and (source, mount) in registry.blobs:
        registry.blobs[repository, mount] = registry.blobs[source, mount]
        handler.reply(201)
        return
    handler.reply(202, headers={"Location": f"/v2/{repository}/blobs/uploads/session?state=a%2Fb"})


def _finish(registry: FakeRegistry, handler: Handler, seen: Seen, repository: str) -> None:
    if seen.query.get("digest") != [sha256(seen.body)]:
        handler.reply(400, error("DIGEST_INVALID", "provided digest did not match uploaded content"))
        return
    handler.reply(201, headers={"Docker-Content-Digest": registry.add_blob(repository, seen.body)})


def _tags(registry: FakeRegistry, handler: Handler, seen: Seen, repository: str) -> None:
    tags = [tag for name, tag in registry.manifests if name == repository and ":" not in tag]
    handler.reply(200, encoded({"name": repository, "tags": tags}), {"Content-Type": "application/json"})


_ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"/v2/(.+)/manifests/([^/]+)", _manifests),
    (r"/v2/(.+)/blobs/uploads/", _begin),
    (r"/v2/(.+)/blobs/uploads/session", _finish),
    (r"/v2/(.+)/blobs/([^/]+)", _blobs),
    (r"/v2/(.+)/tags/list", _tags),
]
