# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests and indexes: strict reading of what a stranger sent, and new ones made from them.

Everything here is checked before it is believed: sizes, types, depth and counts are bounded, so a hostile source costs
little memory and gets a clear refusal. Bytes are kept as they came, because they are what a digest names.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidDigestError,
    InvalidManifestError,
    InvalidPlatformError,
    PlatformNotFoundError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT)
_INDEXES = (OCI_INDEX, DOCKER_LIST)
# Says nothing about the content: what registries answer that do not know better.
VAGUE = ("", "application/json", "application/octet-stream", "text/plain")
_FOREIGN_LAYERS = (
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
)

# Naming all of them keeps a registry from converting what it has into what it thinks we want.
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT))

ATTESTED_DIGEST = "vnd.docker.reference.digest"

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_BLOB_BYTES = 1 << 40
_MAX_DESCRIPTORS = 10_000
# Brackets and commas: what the parsed document costs in memory, known before it is parsed.
_MAX_JSON_PARTS = 250_000
_MAX_INDEX_DEPTH = 4
_MAX_DOCUMENTS = 10_000


@dataclass(frozen=True)
class Descriptor:
    """What something is, and what its content must be."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()
    artifact_type: str = ""

    @property
    def is_foreign(self) -> bool:
        """A layer that its licence keeps out of registries: its users get it from `urls`."""
        return bool(self.urls) and self.media_type in _FOREIGN_LAYERS

    @property
    def is_index(self) -> bool:
        return self.media_type in _INDEXES


@dataclass(frozen=True)
class _Document:
    raw: bytes = field(repr=False)
    media_type: str
    digest: Digest
    subject: Descriptor | None
    artifact_type: str
    annotations: Mapping[str, str] = field(hash=False)

    @property
    def size(self) -> int:
        return len(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True)
class Manifest(_Document):
    """One image, or an artifact in the shape of one."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """What a registry must have before it takes this manifest, each once, the configuration last."""
        wanted = [*self.layers, *([self.config] if self.config else [])]
        return tuple({blob.digest: blob for blob in wanted if not blob.is_foreign}.values())


@dataclass(frozen=True)
class Index(_Document):
    """A list of manifests, mostly one for each platform."""

    children: tuple[Descriptor, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms to choose from; attestations and other companions are for none."""
        found = (child.platform for child in self.children)
        return tuple(dict.fromkeys(platform for platform in found if platform and platform.os != "unknown"))


Document: TypeAlias = Manifest | Index


def parse(raw: bytes, content_type: str = "", *, algorithm: str = "sha256") -> Document:
    """Read a manifest or index; its digest is that of exactly these bytes."""
    document = _json_object(raw)
    media_type = _media_type(document, content_type)
    common: dict[str, Any] = {
        "raw": raw,
        "media_type": media_type,
        "digest": Digest.of(raw, algorithm),
        "subject": _optional_descriptor(document, "subject"),
        "artifact_type": _text(document, "artifactType"),
        "annotations": _annotations(document, "the manifest"),
    }
    if media_type in _INDEXES:
        children = _descriptors(document, "manifests", MAX_MANIFEST_BYTES)
        return Index(**common, children=children)
    if media_type == OCI_ARTIFACT:
        return Manifest(**common, config=None, layers=_descriptors(document, "blobs", _MAX_BLOB_BYTES))
    config = _descriptor(document.get("config"), "config", _MAX_BLOB_BYTES)
    return Manifest(**common, config=config, layers=_descriptors(document, "layers", _MAX_BLOB_BYTES))


def check_media_type(media_type: str) -> None:
    """Refuse what is known to be of no use before anything else is found wrong with it."""
    if media_type in _SCHEMA_1:
        _refuse("its format, Docker schema 1, is retired: pull and push the image with a current tool to renew it")


def walk(top: Document, fetch: Callable[[Descriptor], Document]) -> Iterator[Document]:
    """All documents below and including `top`, each once, children before what lists them.

    Only the ancestors of the present document are held. A chain of indexes that is too long is refused.
    """
    yield from _walk(top, fetch, [], {top.digest})


def select(index: Index, wanted: Iterable[Platform]) -> tuple[Descriptor, ...]:
    """The children for these platforms, with the attestations about them, in the index's order."""
    platforms = list(wanted)
    missing = [platform for platform in platforms if platform not in index.platforms]
    if missing:
        raise PlatformNotFoundError(
            f"There is no {_listed(missing)} in {index.digest}, which has {_listed(index.platforms) or 'no platforms'}"
        )
    kept = {str(child.digest) for child in index.children if child.platform in platforms}
    return tuple(
        child
        for child in index.children
        if child.platform in platforms or child.annotations.get(ATTESTED_DIGEST) in kept
    )


def subset(index: Index, keep: Iterable[Descriptor]) -> Index:
    """An index of only these children. Other bytes, so another digest; the children stay what they are."""
    kept = {child.digest for child in keep}
    document = _json_object(index.raw)
    listed = zip(index.children, document["manifests"], strict=True)
    document["manifests"] = [entry for child, entry in listed if child.digest in kept]
    raw, digest = _encoded(document, index.digest.algorithm)
    return replace(index, raw=raw, digest=digest, children=tuple(c for c in index.children if c.digest in kept))


def _encoded(document: Mapping[str, Any], algorithm: str) -> tuple[bytes, Digest]:
    raw = json.dumps(document, separators=(",", ":")).encode()
    return raw, Digest.of(raw, algorithm)


def _walk(
    top: Document, fetch: Callable[[Descriptor], Document], above: Sequence[Digest], seen: set[Digest]
) -> Iterator[Document]:
    ancestors = [*above, top.digest]
    if isinstance(top, Index):
        if len(ancestors) > _MAX_INDEX_DEPTH:
            _refuse(f"indexes are nested more than {_MAX_INDEX_DEPTH} deep in {ancestors[0]}")
        for child in top.children:
            if child.digest in ancestors:
                _refuse(f"the index {child.digest} contains itself")
            if child.digest in seen:
                continue
            if len(seen) >= _MAX_DOCUMENTS:
                _refuse(f"more than {_MAX_DOCUMENTS} manifests belong to {ancestors[0]}")
            seen.add(child.digest)
            yield from _walk(_as_listed(fetch(child), child), fetch, ancestors, seen)
    yield top


def _as_listed(document: Document, listed: Descriptor) -> Document:
    if document.digest != listed.digest:
        _refuse(f"{listed.digest} was asked for, and {document.digest} was given")
    if document.size != listed.size:
        _refuse(f"{listed.digest} has {document.size} bytes, and the index that lists it says {listed.size}")
    return document


def _json_object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_MANIFEST_BYTES:
        _refuse(f"it has {len(raw)} bytes, and at most {MAX_MANIFEST_BYTES} are allowed")
    if raw.count(b"{") + raw.count(b"[") + raw.count(b",") > _MAX_JSON_PARTS:
        _refuse("it has far more parts than any image")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unambiguous, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidManifestError(f"This is not a usable manifest: it is no valid JSON ({error})") from error
    if not isinstance(document, dict):
        _refuse("it is no JSON object")
    return document


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("a name occurs twice in one object, so readers may differ in what it means")
    return found


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON")


def _media_type(document: dict[str, Any], content_type: str) -> str:
    """From the header, the document or its shape; they must agree, for a document read in two ways is an attack."""
    served = content_type.partition(";")[0].strip().lower()
    own = _text(document, "mediaType")
    for media_type in (served, own, _SCHEMA_1[0] if document.get("schemaVersion") == 1 else ""):
        check_media_type(media_type)
    if served not in VAGUE and own and own != served:
        _refuse(f"the registry calls it {served[:100]!r}, it calls itself {own[:100]!r}")
    media_type = own or (served if served not in VAGUE else _guessed(document))
    if media_type not in (*_MANIFESTS, *_INDEXES):
        _refuse(f"its media type is {media_type[:100]!r}, which is no image manifest or index")
    if ("manifests" in document) != (media_type in _INDEXES) or (media_type in _INDEXES and "layers" in document):
        _refuse(f"its content does not fit its media type {media_type}")
    return media_type


def _guessed(document: dict[str, Any]) -> str:
    if "manifests" in document:
        return OCI_INDEX
    return OCI_MANIFEST if "config" in document and "layers" in document else ""


def _descriptors(document: dict[str, Any], name: str, max_size: int) -> tuple[Descriptor, ...]:
    entries = document.get(name)
    if entries is None and (name in document or name == "blobs"):
        entries = []
    if not isinstance(entries, list):
        _refuse(f"{name} is no list")
    if len(entries) > _MAX_DESCRIPTORS:
        _refuse(f"{name} has {len(entries)} entries, and at most {_MAX_DESCRIPTORS} are allowed")
    return tuple(_descriptor(entry, f"{name}[{number}]", max_size) for number, entry in enumerate(entries))


def _optional_descriptor(document: dict[str, Any], name: str) -> Descriptor | None:
    entry = document.get(name)
    return None if entry is None else _descriptor(entry, name, MAX_MANIFEST_BYTES)


def _descriptor(entry: object, where: str, max_size: int) -> Descriptor:
    if not isinstance(entry, dict):
        _refuse(f"{where} is no descriptor")
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= max_size:
        _refuse(f"the size of {where} is not a number from 0 to {max_size}")
    media_type = _text(entry, "mediaType", where)
    if not re.fullmatch(r"[ -~]{1,255}", media_type):
        _refuse(f"the media type of {where} is missing or not printable")
    try:
        digest = Digest.parse(_text(entry, "digest", where))
        platform = _platform(entry.get("platform"), where)
    except (InvalidDigestError, InvalidPlatformError) as error:
        raise InvalidManifestError(f"This is not a usable manifest: {where}: {error}") from error
    return Descriptor(
        media_type,
        digest,
        size,
        platform,
        _annotations(entry, where),
        _urls(entry.get("urls"), where),
        _text(entry, "artifactType", where),
    )


def _platform(entry: object, where: str) -> Platform | None:
    """None where nothing useful is said, as companions of images do."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        _refuse(f"the platform of {where} is no object")
    os, architecture = _text(entry, "os", where), _text(entry, "architecture", where)
    return Platform(os, architecture, _text(entry, "variant", where)) if os and architecture else None


def _urls(entry: object, where: str) -> tuple[str, ...]:
    if entry is None:
        return ()
    if not isinstance(entry, list) or len(entry) > 100 or not all(isinstance(url, str) for url in entry):
        _refuse(f"the urls of {where} are no list of texts")
    return tuple(entry)


def _annotations(entry: dict[str, Any], where: str) -> dict[str, str]:
    annotations = entry.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        _refuse(f"the annotations of {where} are not texts by name")
    return annotations


def _text(entry: dict[str, Any], name: str, where: str = "the manifest") -> str:
    """A text, or an empty one if there is none."""
    value = entry.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse(f"{name} of {where} is no text")
    return value


def _listed(platforms: Sequence[Platform]) -> str:
    return ", ".join(str(platform) for platform in platforms)


def _refuse(why: str) -> NoReturn:
    raise InvalidManifestError(f"This is not a usable manifest: {why}")
