"""Pushes made images to any registry, and reads back what is there, without the code under test."""

from __future__ import annotations

import json
from typing import Any

from registry import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Client,
    Json,
    descriptor,
    encoded,
    sha256,
)


class Pusher(Client):
    """`pusher.image("team/app", "1", b"layer")`; documents are returned as the bytes that were pushed."""

    def blob(self, repository: str, content: bytes) -> str:
        digest = sha256(content)
        begun = self.call("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202, begun
        location = begun.headers["Location"]
        done = self.call("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", body=content)
        assert done.status == 201, done
        return digest

    def image(
        self, repository: str, tag: str | None, *layers: bytes, docker: bool = False, config: Any = None, **more: Any
    ) -> bytes:
        """`config` is merged into one for linux/amd64; `more` into the manifest."""
        raw_config = encoded({"architecture": "amd64", "os": "linux", **(config or {})})
        for blob in (raw_config, *layers):
            self.blob(repository, blob)
        parts = [descriptor(layer, DOCKER_LAYER if docker else OCI_LAYER) for layer in layers]
        return self.manifest_of(raw_config, parts, repository, tag, docker=docker, **more)

    def manifest_of(
        self, config: bytes, layers: list[Json], repository: str, tag: str | None, *, docker: bool = False, **more: Any
    ) -> bytes:
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        kind = descriptor(config, DOCKER_CONFIG if docker else OCI_CONFIG)
        raw = encoded({"schemaVersion": 2, "mediaType": media_type, "config": kind, "layers": layers, **more})
        self.put(repository, tag, raw, media_type)
        return raw

    def index(
        self, repository: str, tag: str | None, children: dict[str, bytes], *, docker: bool = False, **more: Any
    ) -> bytes:
        """`children` by platform, such as linux/arm64/v8; one without a slash is a companion of no platform."""
        media_type = DOCKER_LIST if docker else OCI_INDEX
        child_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        listed = [
            {**descriptor(raw, child_type), "platform": _platform(platform)} for platform, raw in children.items()
        ]
        raw = encoded({"schemaVersion": 2, "mediaType": media_type, "manifests": listed, **more})
        self.put(repository, tag, raw, media_type)
        return raw

    def put(self, repository: str, tag: str | None, raw: bytes, media_type: str) -> None:
        path = f"/v2/{repository}/manifests/{tag or sha256(raw)}"
        done = self.call("PUT", path, body=raw, content_type=media_type)
        assert done.status == 201, done

    def raw(self, repository: str, reference: str) -> bytes:
        """The manifest or index, as it is."""
        accept = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
        answer = self.call("GET", f"/v2/{repository}/manifests/{reference}", accept=accept)
        assert answer.status == 200, answer
        return answer.body

    def tags(self, repository: str) -> list[str]:
        answer = self.call("GET", f"/v2/{repository}/tags/list")
        return sorted(answer.json.get("tags") or []) if answer.status == 200 else []

    def content(self, repository: str, digest: str) -> bytes:
        """A blob, by way of a redirect where there is one."""
        answer = self.call("GET", f"/v2/{repository}/blobs/{digest}")
        if answer.status == 307:
            answer = self.call("GET", answer.headers["Location"], authorization="")
        assert answer.status == 200, answer
        return answer.body

    def assert_complete(self, repository: str, reference: str) -> bytes:
        """Everything that a tag or digest stands for is there, with the right digests; returns the top's bytes."""
        raw = self.raw(repository, reference)
        document: Json = json.loads(raw)
        if ":" in reference:
            assert sha256(raw) == reference
        for child in document.get("manifests", []):
            self.assert_complete(repository, child["digest"])
        for part in [document.get("config"), *document.get("layers", [])]:
            if part and not part.get("urls"):
                content = self.content(repository, part["digest"])
                assert (sha256(content), len(content)) == (part["digest"], part["size"])
        return raw


def _platform(text: str) -> Json:
    os, slash, rest = text.partition("/")
    if not slash:
        return {"os": "unknown", "architecture": "unknown"}
    architecture, _slash, variant = rest.partition("/")
    return {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
