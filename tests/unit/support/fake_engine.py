# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Docker Engine and the registries that it knows, in memory, with their rules about names.

An image goes with its last name. With the last tag of a repository goes also what names the image by digest there. An
engine pushes a manifest of its own making, and then knows the image by that digest too. ECR removes an image with its
last tag, and writes an immutable tag once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError, Present
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound, RegistryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import EngineError, LocalImage

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
LAYER_BYTES = 1000


def image(architecture: str, *layers: str, kind: str = "docker") -> Manifest:
    """An image for this architecture, of these layers."""
    config = json.dumps({"architecture": architecture, "layers": layers}).encode()
    types = {
        "docker": (manifest.DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json"),
        "oci": (manifest.OCI_MANIFEST, "application/vnd.oci.image.config.v1+json"),
    }[kind]
    document = {
        "schemaVersion": 2,
        "mediaType": types[0],
        "config": {"mediaType": types[1], "digest": str(Digest.of(config)), "size": len(config)},
        "layers": [_layer(layer, kind) for layer in layers],
    }
    found = manifest.parse(json.dumps(document).encode())
    assert isinstance(found, Manifest)
    _CONFIGS[found.config.digest if found.config else found.digest] = (architecture, layers)
    return found


_CONFIGS: dict[Digest, tuple[str, Sequence[str]]] = {}


def _layer(name: str, kind: str) -> dict[str, Any]:
    media_type = {
        "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
    }[kind]
    return {"mediaType": media_type, "digest": str(Digest.of(name.encode())), "size": LAYER_BYTES}


def index(*images: tuple[str, Manifest]) -> Index:
    entries = [
        {
            "mediaType": one.media_type,
            "digest": str(one.digest),
            "size": one.size,
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, one in images
    ]
    document = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries}
    found = manifest.parse(json.dumps(document).encode())
    assert isinstance(found, Index)
    return found


class FakeRegistries:
    """All registries there are: what a client reads and writes, and what ECR's API does as the destination."""

    registry = REGISTRY

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.documents: dict[tuple[str, Digest], Document] = {}
        self.tags: dict[tuple[str, str], Digest] = {}
        self.immutable = False
        # How tags begin that are immutable.
        self.fixed: tuple[str, ...] = ()
        self.mounts = True
        self.may_discard = True

    def add(self, text: str, document: Document, *children: Document) -> Document:
        ref = Reference.parse(text)
        for one in (*children, document):
            self.documents[ref.name, one.digest] = one
        if ref.tag:
            self.tags[ref.name, ref.tag] = document.digest
        return document

    def get_manifest(self, ref: Reference) -> Document:
        with self._lock:
            digest = ref.digest or self.tags.get((ref.name, ref.identifier))
            found = self.documents.get((ref.name, digest)) if digest else None
            if found is None:
                raise NotFound(f"read the manifest of {ref}", "it is not there", status=404)
            return found

    def put_manifest(self, ref: Reference, raw: bytes, media_type: str) -> Document:
        document = manifest.parse(raw, media_type)
        with self._lock:
            if isinstance(document, Index):
                assert all((ref.name, child.digest) in self.documents for child in document.children)
            old = self.tags.get((ref.name, ref.tag)) if ref.tag else None
            is_fixed = self.immutable or (ref.tag or "").startswith(self.fixed)
            if is_fixed and old not in (None, document.digest):
                raise RegistryError(f"push {ref}", "the tag is immutable", status=400, code="TAG_INVALID")
            self.documents[ref.name, document.digest] = document
            if ref.tag:
                self.tags[ref.name, ref.tag] = document.digest
        return document

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        name, found = f"{REGISTRY}/{repository}", {}
        for identifier in identifiers:
            digest = Digest.parse(identifier) if ":" in identifier else self.tags.get((name, identifier))
            if digest and (name, digest) in self.documents:
                document = self.documents[name, digest]
                found[identifier] = Present(digest, document.media_type, document.annotations)
        return found

    def may_mount(self) -> bool:
        return self.mounts

    def discard(self, repository: str, tag: str) -> None:
        if not self.may_discard:
            raise MirrorError("not authorized to perform: ecr:BatchDeleteImage")
        name = f"{REGISTRY}/{repository}"
        with self._lock:
            digest = self.tags.pop((name, tag), None)
            if digest and digest not in [of for (other, _tag), of in self.tags.items() if other == name]:
                del self.documents[name, digest]

    def tags_of(self, repository: str) -> dict[str, Document]:
        name = f"{REGISTRY}/{repository}"
        return {tag: self.documents[name, of] for (other, tag), of in self.tags.items() if other == name}


class FakeEngine:
    """`failing` has the error for a verb, or for a verb and a name. `rooms`: so many images fit on its disk.

    `cleaned_up`: so often somebody removes an image as soon as it is there.
    """

    def __init__(self, registries: FakeRegistries) -> None:
        self._registries = registries
        self._lock = threading.Lock()
        # By identity, and names to identities.
        self.images: dict[str, tuple[str, Sequence[str]]] = {}
        self.names: dict[str, str] = {}
        self.failing: dict[str, EngineError] = {}
        self.asked: list[str] = []
        self.dockerfiles: list[bytes] = []
        self.logins: list[Mapping[str, Credentials]] = []
        self.rooms = 1000
        self.cleaned_up = 0
        self._pushed: set[tuple[str, str]] = set()

    def close(self) -> None:
        self.asked.append("close")

    def inventory(self) -> dict[str, frozenset[str]]:
        with self._lock:
            return {identity: self._names_of(identity) for identity in self.images}

    def image(self, name: str) -> LocalImage | None:
        with self._lock:
            identity = self.names.get(name, name)
            if identity not in self.images:
                return None
            architecture, layers = self.images[identity]
            return LocalImage(identity, self._names_of(identity), self._diffs(layers), Platform("linux", architecture))

    def pull(self, name: str, credentials: object) -> None:
        self._note("pull", name)
        try:
            top = self._registries.get_manifest(Reference.parse(name))
        except NotFound as error:
            raise EngineError(f"manifest unknown: {name}") from error
        if isinstance(top, Index):
            top = self._registries.get_manifest(Reference.parse(name).with_digest(top.children[0].digest))
        assert isinstance(top, Manifest)
        assert top.config
        with self._lock:
            identity = str(top.config.digest)
            if identity not in self.images and len(self.images) >= self.rooms:
                error = EngineError("no space left on device")
                error.is_full = True
                raise error
            self.images[identity] = _CONFIGS[top.config.digest]
            self.names[name] = identity

    def push(self, name: str, tag: str, credentials: object) -> Mapping[str, str]:
        self._note("push", f"{name}:{tag}")
        with self._lock:
            identity = self.names[f"{name}:{tag}"]
            architecture, layers = self.images[identity]
            said = {}
            for layer, diff in zip(layers, self._diffs(layers), strict=True):
                elsewhere = any(pushed == layer for _name, pushed in self._pushed)
                here = (name, layer) in self._pushed
                said[diff.partition(":")[2][:12]] = (
                    "Layer already exists" if here else "Mounted from elsewhere" if elsewhere else "Pushed"
                )
            self._pushed |= {(name, layer) for layer in layers}
        made = image(architecture, *layers)
        self._registries.put_manifest(Reference.parse(f"{name}:{tag}"), made.raw, made.media_type)
        with self._lock:
            self.names[f"{name}@{made.digest}"] = identity
        return said

    def build(
        self, dockerfile: bytes, name: str, labels: Mapping[str, str], *, logins: Mapping[str, Credentials]
    ) -> None:
        self._note("build", name)
        self.logins.append(logins)
        base, _newline, lines = dockerfile.decode().removeprefix("FROM ").partition("\n")
        with self._lock:
            self.dockerfiles.append(dockerfile)
            architecture, layers = self.images[self.names[base]]
            built = image(architecture, *layers, f"{lines}{sorted(labels.items())}")
            assert built.config
            self.images[str(built.config.digest)] = _CONFIGS[built.config.digest]
            self.names[name] = str(built.config.digest)

    def tag(self, identity: str, name: str, tag: str) -> bool:
        with self._lock:
            if self.cleaned_up:
                self.cleaned_up -= 1
                self.names = {name: of for name, of in self.names.items() if of != identity}
                self.images.pop(identity, None)
            if identity not in self.images:
                return False
            self.names[f"{name}:{tag}"] = identity
            return True

    def remove(self, name: str) -> None:
        self._note("remove", name)
        with self._lock:
            identity = self.names.pop(name, None)
            if identity is None:
                return
            repository = Reference.parse(name).name
            others = [other for other in self._names_of(identity) if Reference.parse(other).name == repository]
            if "@" not in name and all("@" in other for other in others):
                for other in others:
                    del self.names[other]
            if not self._names_of(identity):
                del self.images[identity]

    def _note(self, verb: str, name: str) -> None:
        self.asked.append(f"{verb} {name}")
        for key, error in self.failing.items():
            if f"{verb} {name}".startswith(key):
                raise error

    def _names_of(self, identity: str) -> frozenset[str]:
        return frozenset(name for name, of in self.names.items() if of == identity)

    def _diffs(self, layers: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(Digest.of(f"uncompressed {layer}".encode())) for layer in layers)
