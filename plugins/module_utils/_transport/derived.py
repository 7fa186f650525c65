# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images made from others by Dockerfile lines that need no engine: new configurations, manifests and index.

Private to this collection: may change in any release.

How a transport uses it:

1. `instructions = dockerfile.parse(wish.dockerfile)`; `dockerfile.needs_engine(instructions)` must be false.
2. Get the top document. If it is an index: `manifest.subset` for the platforms that are wanted, then `images_only`,
   which saves the pulls of attestations that could not be kept anyway.
3. `documents = list(manifest.walk(top, fetch))`
4. `derive(documents, instructions, record, open_blob)`
5. Push: every blob of `derivation.documents` whose digest is in `derivation.made` from there, all others from the
   source as always (their digests are the source's; media types may be others); then the documents in the given order,
   the last one under the tag.

All become OCI's format, for the reason that records.py gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import derive as configurations
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.derive import Derived, DeriveError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.directories import LayeredDirectories
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.dockerfile import Instruction
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.blob import Readable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import records

_CHUNK = 64 * 1024
_CONFIGS = (records.OCI_CONFIG, records.DOCKER_CONFIG)
_WITHOUT_COMPANIONS = "attestations and other companions in the source's index are left out: they do not fit"
_PODMAN_HEALTHCHECK = "Podman ignores HEALTHCHECK, as the image has OCI's format now; Docker does not"


@dataclass(frozen=True)
class Derivation:
    """What to publish instead of the source's documents: children before the index, the top one last."""

    documents: tuple[Document, ...]
    # Blobs that the source has not: configurations and layers of some empty directories. Some kilobytes each.
    made: Mapping[Digest, bytes] = field(repr=False, hash=False)
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> Document:
        return self.documents[-1]


def images_only(index: Index) -> tuple[Index, tuple[str, ...]]:
    """The index without attestations and other companions, which do not fit derived images; and notes about that."""
    images = [child for child in index.children if not _is_companion(child)]
    if len(images) == len(index.children):
        return index, ()
    return manifest.subset(index, images), (_WITHOUT_COMPANIONS,)


def derive(
    documents: Sequence[Document],
    instructions: Sequence[Instruction],
    record: Mapping[str, str],
    open_blob: Callable[[Descriptor], Readable],
) -> Derivation:
    """Apply the instructions to all images of a source.

    `documents` are the source's, as `manifest.walk` gives them: the top one last. `record` are the annotations of the
    top one and labels of every image: model.SOURCE_DIGEST and model.RECIPE. `open_blob` reads a blob of the source
    from its beginning (`lambda blob: client.get_blob(source, blob)`): configurations always; layers, from the last one
    on, only to see whether the directory of a WORKDIR exists, until that is known. Costs no pulls, moves nothing to the
    destination, so a plan may call it too. The same input gives the same digests.

    Raises MirrorError for what cannot be done, such as layers that only an engine can read.
    """
    work = _Work(instructions, record, open_blob)
    companions = {child.digest for top in documents if isinstance(top, Index) for child in top.children}
    companions -= {c.digest for d in documents if isinstance(d, Index) for c in d.children if not _is_companion(c)}
    for document in documents:
        if document.digest in companions or not _is_usable(document):
            work.notes.setdefault(_WITHOUT_COMPANIONS)
        elif isinstance(document, Manifest):
            work.add_image(document)
        else:
            work.add_index(document)
    top = work.made_of.pop(documents[-1].digest, None)
    if top is None:
        raise DeriveError("there is no image in it that Dockerfile lines could be appended to")
    return Derivation((*work.made_of.values(), records.recorded(top, record)), work.blobs, tuple(work.notes))


def _is_companion(child: Descriptor) -> bool:
    """Whether an index lists it beside images, to say something about them."""
    told = manifest.ATTESTED_DIGEST in child.annotations or bool(child.artifact_type)
    return told or (child.platform is not None and child.platform.os == "unknown")


def _is_usable(document: Document) -> bool:
    return isinstance(document, Index) or (document.config is not None and document.config.media_type in _CONFIGS)


class _Work:
    """The images and indexes so far, by the digest of what they are made of."""

    def __init__(
        self,
        instructions: Sequence[Instruction],
        record: Mapping[str, str],
        open_blob: Callable[[Descriptor], Readable],
    ) -> None:
        self._instructions, self._record, self._open_blob = instructions, record, open_blob
        self.made_of: dict[Digest, Document] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.notes: dict[str, None] = {}

    def add_image(self, image: Manifest) -> None:
        config = self._config(image)
        derived = configurations.apply(config, self._instructions, self._directories(image, config), self._record)
        document = records.as_oci(image)
        document.pop("subject", None)
        document["config"] = self._blob(records.OCI_CONFIG, derived.config)
        added = [self._blob(records.OCI_LAYER, layer.content) for layer in derived.layers]
        document["layers"] = [*(document["layers"] or []), *added]
        self.made_of[image.digest] = records.made(document, image.digest.algorithm)
        if image.media_type == manifest.DOCKER_MANIFEST and _has_healthcheck(derived):
            self.notes.setdefault(_PODMAN_HEALTHCHECK)

    def add_index(self, index: Index) -> None:
        document = records.as_oci(index)
        document.pop("subject", None)
        listed = zip(index.children, document["manifests"], strict=True)
        document["manifests"] = [
            _entry(entry, self.made_of[child.digest]) for child, entry in listed if child.digest in self.made_of
        ]
        if document["manifests"]:
            self.made_of[index.digest] = records.made(document, index.digest.algorithm)

    def _config(self, image: Manifest) -> dict[str, Any]:
        if image.config is None or image.config.size > configurations.MAX_CONFIG_BYTES:
            raise DeriveError("its configuration is larger than any image's")
        with closing(self._open_blob(image.config)) as stream:
            raw = b""
            while piece := stream.read(_CHUNK):
                raw += piece
        return configurations.parse_config(raw)

    def _directories(self, image: Manifest, config: Mapping[str, Any]) -> LayeredDirectories:
        """Those of the image; what will be asked is found out first, so that each layer is read once at most."""
        rehearsal = _Rehearsal()
        configurations.apply(config, self._instructions, rehearsal)
        return LayeredDirectories(image.layers, self._open_blob, rehearsal.paths)

    def _blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        digest = Digest.of(content)
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": str(digest), "size": len(content)}


class _Rehearsal:
    """Directories that are nowhere, to see which ones are asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def make(self, path: str) -> Sequence[str]:
        self.paths.append(path)
        return (path,)

    def owner(self, user: str) -> tuple[int, int]:
        self.paths += LayeredDirectories.files_about(user)
        return 0, 0


def _entry(original: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """How an index lists it, which listed the original."""
    kept = {name: value for name, value in original.items() if name != "data"}
    return {**kept, "mediaType": document.media_type, "digest": str(document.digest), "size": document.size}


def _has_healthcheck(derived: Derived) -> bool:
    return bool(configurations.parse_config(derived.config)["config"].get("Healthcheck"))
