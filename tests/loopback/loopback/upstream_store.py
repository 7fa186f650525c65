"""What the upstreams offer: manifests and layers, by host and repository.

On disk in light mode. In full mode in a real CNCF distribution, where the repository `name` of `host` is called
`gN/host/name`; a reset counts N up, and is instant.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin

import urllib3

from loopback.blobs import BlobStore, digest_of
from loopback.upstream_client import MANIFEST_TYPES
from loopback.web import CHUNK, Send, header_list, reply, reply_file

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Manifest:
    raw: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.raw)

    @property
    def descriptor(self) -> Json:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.raw)}


@dataclass
class Shelf:
    """One upstream repository's index: what there is, not the bytes."""

    private: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Json] = field(default_factory=dict)  # digest -> descriptor
    blobs: set[str] = field(default_factory=set)
    referrers: dict[str, list[Json]] = field(default_factory=dict)  # subject -> descriptors


class Store(Protocol):
    """Where an upstream's bytes are. Host and repository come first in every call."""

    def shelf(self, host: str, repository: str) -> Shelf | None: ...

    def make_shelf(self, host: str, repository: str) -> Shelf: ...

    async def manifest(self, host: str, repository: str, digest: str) -> Manifest: ...

    async def send_blob(
        self, host: str, repository: str, digest: str, send: Send, *, byte_range: str | None, head: bool
    ) -> None: ...

    def put_blob(self, host: str, repository: str, digest: str, file: Path) -> None:
        """Take the file over."""

    def put_manifest(self, host: str, repository: str, manifest: Manifest, tag: str | None) -> None: ...

    def reset(self) -> None: ...


class _Index:
    """The part that both stores share: which repository holds what."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, str], Shelf] = {}

    def shelf(self, host: str, repository: str) -> Shelf | None:
        return self._shelves.get((host, repository))

    def make_shelf(self, host: str, repository: str) -> Shelf:
        return self._shelves.setdefault((host, repository), Shelf())

    def _note(self, host: str, repository: str, manifest: Manifest, tag: str | None) -> None:
        shelf, document, descriptor = self.make_shelf(host, repository), json.loads(manifest.raw), manifest.descriptor
        if "subject" in document and manifest.digest not in shelf.manifests:
            extra = {name: document[name] for name in ("artifactType", "annotations") if name in document}
            shelf.referrers.setdefault(document["subject"]["digest"], []).append({**descriptor, **extra})
        shelf.manifests[manifest.digest] = descriptor
        if tag:
            shelf.tags[tag] = manifest.digest


class DiskStore(_Index):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._blobs = BlobStore(directory)
        self._manifests: dict[str, Manifest] = {}

    async def manifest(self, host: str, repository: str, digest: str) -> Manifest:
        return self._manifests[digest]

    async def send_blob(
        self, host: str, repository: str, digest: str, send: Send, *, byte_range: str | None, head: bool
    ) -> None:
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        await reply_file(send, self._blobs.path(digest), headers, byte_range=byte_range, head=head)

    def put_blob(self, host: str, repository: str, digest: str, file: Path) -> None:
        file.replace(self._blobs.path(digest))
        self.make_shelf(host, repository).blobs.add(digest)

    def put_manifest(self, host: str, repository: str, manifest: Manifest, tag: str | None) -> None:
        self._manifests[manifest.digest] = manifest
        self._note(host, repository, manifest, tag)

    def reset(self) -> None:
        self._shelves.clear()
        self._manifests.clear()
        self._blobs.reset()


class DistributionStore(_Index):
    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = base_url
        self._generation = 0
        self._http = urllib3.PoolManager(maxsize=16, retries=False)
        # Threads of its own: the default ones may all be waiting for this very upstream.
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="distribution")

    async def manifest(self, host: str, repository: str, digest: str) -> Manifest:
        url, headers = self._url(host, repository, f"manifests/{digest}"), {"Accept": ", ".join(MANIFEST_TYPES)}
        answer = await self._run(lambda: self._http.request("GET", url, headers=headers))
        if answer.status != 200:
            raise KeyError(digest)
        return Manifest(answer.data, answer.headers["Content-Type"])

    async def send_blob(
        self, host: str, repository: str, digest: str, send: Send, *, byte_range: str | None, head: bool
    ) -> None:
        url, headers = self._url(host, repository, f"blobs/{digest}"), {"Range": byte_range} if byte_range else {}
        method = "HEAD" if head else "GET"
        answer = await self._run(lambda: self._http.request(method, url, headers=headers, preload_content=False))
        passed_on = ("content-length", "content-range", "content-type", "docker-content-digest", "accept-ranges")
        kept = {name: value for name, value in answer.headers.items() if name.lower() in passed_on}
        if answer.status >= 400:
            answer.drain_conn()
            await reply(send, answer.status)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": header_list(kept)})
        try:
            while chunk := await self._run(lambda: answer.read(CHUNK)):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            answer.release_conn()
        await send({"type": "http.response.body", "body": b""})

    def put_blob(self, host: str, repository: str, digest: str, file: Path) -> None:
        begun = self._http.request("POST", self._url(host, repository, "blobs/uploads/"))
        location = urljoin(self._base, begun.headers["Location"])
        joiner = "&" if "?" in location else "?"
        with file.open("rb") as body:
            headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
            self._expect(201, "PUT", f"{location}{joiner}digest={digest}", body=body, headers=headers)
        file.unlink()
        self.make_shelf(host, repository).blobs.add(digest)

    def put_manifest(self, host: str, repository: str, manifest: Manifest, tag: str | None) -> None:
        url = self._url(host, repository, f"manifests/{tag or manifest.digest}")
        self._expect(201, "PUT", url, body=manifest.raw, headers={"Content-Type": manifest.media_type})
        self._note(host, repository, manifest, tag)

    def reset(self) -> None:
        self._shelves.clear()
        self._generation += 1

    def _url(self, host: str, repository: str, rest: str) -> str:
        return f"{self._base}/v2/g{self._generation}/{host}/{repository}/{rest}"

    def _expect(self, status: int, method: str, url: str, **more: Any) -> None:
        answer = self._http.request(method, url, **more)
        if answer.status != status:
            raise ValueError(f"the distribution answered {answer.status} to {method} {url}: {answer.data[:500]!r}")

    async def _run(self, function: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, function)
