"""Images made to order, the same bytes for the same order, and put into an upstream: PUT /_cloud/images.

An order is the JSON of `Order`. Layers are real tar archives that an engine can extract; none is held in memory.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopback import archives
from loopback.archives import COMPRESSIONS, Archive, Member, Noise, Zeros
from loopback.blobs import digest_of
from loopback.upstream_store import Manifest, Store

Json = dict[str, Any]

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
KINDS = {
    "image": f"{OCI}manifest.v1+json",
    "index": f"{OCI}index.v1+json",
    "docker": f"{DOCKER}distribution.manifest.v2+json",
    "docker-list": f"{DOCKER}distribution.manifest.list.v2+json",
    "artifact": f"{OCI}manifest.v1+json",
}
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
CREATED = "2024-01-01T00:00:00Z"


@dataclass
class Order:
    host: str
    repository: str
    tag: str | None = None
    kind: str = ""  # of KINDS; by default an index where there are several platforms, else an image
    platforms: list[str] = field(default_factory=lambda: ["linux/amd64"])  # os/architecture[/variant]
    seed: str | int = ""  # other seed, other content; by default repository:tag
    layers: int = 1
    layer_size: int = 1024  # bytes of noise in each
    sparse: bool = False  # zeros in place of noise, uncompressed: gigabytes that take no room on disk
    compression: str = "gzip"  # or zstd or none
    base: str = ""  # images of one base share its layers
    base_layers: int = 1
    base_size: int = 4096
    empty_layers: int = 0  # the same empty archive so many times
    foreign_layers: int = 0  # layers to be had elsewhere only
    files: dict[str, Any] = field(default_factory=dict)  # path: text, or {"base64": ..., "mode": ...}
    config: Json = field(default_factory=dict)  # Env, Labels, User... of the image's configuration
    entrypoint: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    artifact_type: str = "application/vnd.example.artifact"
    subject: str = ""  # digest that an artifact is about
    attestations: bool = False  # one per platform, listed as unknown/unknown, as BuildKit does
    referrers: list[str] = field(default_factory=list)  # artifact types of manifests about this image
    cosign: bool = False  # a signature under the tag sha256-<digest>.sig
    private: bool = False  # the whole repository: only for users who log in

    def __post_init__(self) -> None:
        self.kind = self.kind or ("index" if len(self.platforms) > 1 or self.attestations else "image")
        if self.kind not in KINDS or self.compression not in COMPRESSIONS:
            raise ValueError(f"kind is one of {list(KINDS)}, compression one of {list(COMPRESSIONS)}")
        self.seed = str(self.seed) or f"{self.repository}:{self.tag}"

    @property
    def is_list(self) -> bool:
        return self.kind in ("index", "docker-list")

    @property
    def is_docker(self) -> bool:
        return self.kind.startswith("docker")

    @property
    def entry(self) -> Json:
        return {"Entrypoint": self.entrypoint} if self.entrypoint else {}

    @property
    def layer_compression(self) -> str:
        return "none" if self.sparse else self.compression


def publish(store: Store, order: Order, workspace: Path, *, referrers_api: bool) -> Json:
    """Make what is ordered and put it into the store. `referrers_api`: whether its host lists referrers by itself."""
    shelf = store.make_shelf(order.host, order.repository)
    shelf.private = shelf.private or order.private
    with tempfile.TemporaryDirectory(prefix="content-", dir=workspace) as directory:
        return _Maker(order, store, Path(directory), referrers_api).make()


class _Maker:
    def __init__(self, order: Order, store: Store, directory: Path, referrers_api: bool) -> None:
        self._order, self._store, self._directory, self._referrers_api = order, store, directory, referrers_api
        self._shelf = store.make_shelf(order.host, order.repository)
        self._blobs: dict[str, int] = {}

    def make(self) -> Json:
        order = self._order
        images, attestations = [], []
        if order.kind == "artifact":
            top = self._artifact(order.artifact_type, order.subject, order.tag)
        elif order.is_list:
            images = [self._image(platform) for platform in order.platforms]
            attestations = [self._attestation(image) for image in images] if order.attestations else []
            more = {"annotations": order.annotations} if order.annotations else {}
            top = self._manifest(KINDS[order.kind], {"manifests": [*images, *attestations], **more}, order.tag)
        else:
            images = [self._image(order.platforms[0], order.tag)]
            top = images[0]
        referrers = [self._artifact(kind, top["digest"]) for kind in order.referrers]
        signature = self._signature(top["digest"]) if order.cosign else None
        return {
            "digest": top["digest"],
            "mediaType": top["mediaType"],
            "manifests": {platform: image["digest"] for platform, image in zip(order.platforms, images, strict=False)},
            "attestations": [manifest["digest"] for manifest in attestations],
            "referrers": [manifest["digest"] for manifest in referrers],
            "signature": signature["digest"] if signature else None,
            "blobs": self._blobs,
            "size": sum(self._blobs.values()),
        }

    # -------------------------------------------------------------- manifests

    def _image(self, platform: str, tag: str | None = None) -> Json:
        order = self._order
        system, architecture, *variant = platform.split("/")
        target = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        layers, diff_ids = self._layers(platform)
        config: Json = {
            "created": CREATED,
            **target,
            "config": {**order.config, **order.entry},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": CREATED, "created_by": f"layer {number}"} for number in range(len(layers))],
        }
        kind = f"{DOCKER}container.image.v1+json" if order.is_docker else f"{OCI}config.v1+json"
        document: Json = {"config": self._small(json.dumps(config).encode(), kind), "layers": layers}
        if order.annotations and not order.is_list and not order.is_docker:
            document["annotations"] = order.annotations
        return {**self._manifest(KINDS["docker" if order.is_docker else "image"], document, tag), "platform": target}

    def _artifact(self, artifact_type: str, subject: str, tag: str | None = None) -> Json:
        payload = json.dumps({"about": subject, "seed": self._order.seed, "type": artifact_type}).encode()
        document: Json = {
            "artifactType": artifact_type,
            "config": self._small(b"{}", EMPTY_TYPE),
            "layers": [self._small(payload, artifact_type)],
            "annotations": {"org.opencontainers.image.created": CREATED, **self._order.annotations},
        }
        if not subject:
            return self._manifest(KINDS["artifact"], document, tag)
        document["subject"] = self._shelf.manifests[subject]
        made = self._manifest(KINDS["artifact"], document, tag)
        if not self._referrers_api:
            # What a client does where the registry cannot list referrers: an index under a tag made of the digest.
            self._manifest(KINDS["index"], {"manifests": self._shelf.referrers[subject]}, subject.replace(":", "-"))
        return made

    def _attestation(self, image: Json) -> Json:
        statement = {"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": image["digest"]}]}
        layer = self._small(json.dumps(statement).encode(), "application/vnd.in-toto+json")
        layer["annotations"] = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
        platform = {"architecture": "unknown", "os": "unknown"}
        manifest = self._manifest(KINDS["image"], {"config": self._plain_config(layer, platform), "layers": [layer]})
        about = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        }
        return {**manifest, "annotations": about, "platform": platform}

    def _signature(self, signed: str) -> Json:
        payload = {"critical": {"image": {"docker-manifest-digest": signed}}, "optional": None}
        layer = self._small(json.dumps(payload).encode(), "application/vnd.dev.cosign.simplesigning.v1+json")
        layer["annotations"] = {"dev.cosignproject.cosign/signature": base64.b64encode(b"not a signature").decode()}
        document = {"config": self._plain_config(layer, {}), "layers": [layer]}
        return self._manifest(KINDS["image"], document, signed.replace(":", "-") + ".sig")

    def _plain_config(self, layer: Json, platform: Json) -> Json:
        config: Json = {**platform, "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        return self._small(json.dumps(config).encode(), f"{OCI}config.v1+json")

    def _manifest(self, media_type: str, document: Json, tag: str | None = None) -> Json:
        """Store the manifest; return its descriptor."""
        whole = {"schemaVersion": 2, "mediaType": media_type, **document}
        manifest = Manifest(json.dumps(whole, indent=2).encode(), media_type)
        self._store.put_manifest(self._order.host, self._order.repository, manifest, tag)
        return manifest.descriptor

    # -------------------------------------------------------------- layers

    def _layers(self, platform: str) -> tuple[list[Json], list[str]]:
        """Descriptors, and the digests of the archives before compression."""
        archives_made = [self._archive(members) for members in self._contents(platform)]
        descriptors = [self._descriptor(archive.digest, archive.size) for archive in archives_made]
        diff_ids = [archive.diff_id for archive in archives_made]
        for number in range(self._order.foreign_layers):
            digest = digest_of(f"{self._order.seed}:foreign:{number}".encode())
            descriptors.append(self._foreign(digest))
            diff_ids.append(digest)
        return descriptors, diff_ids

    def _contents(self, platform: str) -> Iterator[list[Member]]:
        """The members of each layer, from the base up."""
        order = self._order
        if order.base:
            for number in range(order.base_layers):
                yield [self._noise(f"base/{order.base}-{number}", f"{order.base}:{platform}:{number}", order.base_size)]
        for _number in range(order.empty_layers):
            yield []
        for number in range(order.layers):
            yield [self._noise(f"layers/{number}", f"{order.seed}:{platform}:{number}", order.layer_size)]
        if order.files:
            yield [_file(path, content) for path, content in sorted(order.files.items())]

    def _noise(self, name: str, seed: str, size: int) -> Member:
        return Member(name, size, Zeros() if self._order.sparse else Noise(seed))

    def _archive(self, members: list[Member]) -> Archive:
        made = archives.build(self._directory / "layer", members, self._order.layer_compression)
        self._keep(made.file, made.digest, made.size)
        return made

    def _descriptor(self, digest: str, size: int) -> Json:
        compression = self._order.layer_compression
        suffix = "" if compression == "none" else f"{'.' if self._order.is_docker else '+'}{compression}"
        kind = f"{DOCKER}image.rootfs.diff.tar" if self._order.is_docker else f"{OCI}layer.v1.tar"
        return {"mediaType": kind + suffix, "digest": digest, "size": size}

    def _foreign(self, digest: str) -> Json:
        docker, oci = f"{DOCKER}image.rootfs.foreign.diff.tar.gzip", f"{OCI}layer.nondistributable.v1.tar+gzip"
        urls = [f"https://go.example.com/{digest}"]
        return {"mediaType": docker if self._order.is_docker else oci, "digest": digest, "size": 4096, "urls": urls}

    def _small(self, content: bytes, media_type: str) -> Json:
        file = self._directory / "small"
        file.write_bytes(content)
        self._keep(file, digest_of(content), len(content))
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def _keep(self, file: Path, digest: str, size: int) -> None:
        self._blobs[digest] = size
        if digest not in self._shelf.blobs:
            self._store.put_blob(self._order.host, self._order.repository, digest, file)


def _file(path: str, content: Any) -> Member:
    entry: Json = {"text": content} if isinstance(content, str) else content
    raw = base64.b64decode(entry["base64"]) if "base64" in entry else entry["text"].encode()
    return Member(path, len(raw), io.BytesIO(raw), entry.get("mode", 0o644))
