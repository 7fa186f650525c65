# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading from a source all that has to be published for an image.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Budget,
    Destination,
    Task,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidManifestError,
    InvalidPlatformError,
    PlatformNotFoundError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import derived, records

# Of all manifests of one image together: hundreds of times what the largest honest one has.
_MAX_BYTES = 8 * 1024 * 1024
# Each costs a request, and the largest honest index lists some dozens.
_MAX_CHILDREN = 1000
_MAX_CONFIG_BYTES = 8 * 1024 * 1024
_AT_ONCE = 8


@dataclass(frozen=True)
class Image:
    """Documents to publish, children before what lists them, the top one last.

    `made` are blobs that the source has not. `left_out`: there are children that the destination said it has.
    """

    documents: tuple[Document, ...]
    left_out: bool = False
    made: Mapping[Digest, bytes] = field(default_factory=dict, repr=False, hash=False)
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> Document:
        return self.documents[-1]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Each once."""
        found = {blob.digest: blob for document in self.documents for blob in blobs_of(document)}
        return tuple(found.values())


def blobs_of(document: Document) -> tuple[Descriptor, ...]:
    return document.blobs if isinstance(document, Manifest) else ()


class SourceImages:
    """For any number of threads. `pool` is for reading several manifests of one image at once, and for nothing else."""

    def __init__(self, client: Client, destination: Destination, budget: Budget, pool: ThreadPoolExecutor) -> None:
        self._client, self._destination, self._budget, self._pool = client, destination, budget, pool

    def read(self, task: Task, *, trusting: bool = True) -> Image:
        """What to publish for the task. `trusting` leaves out the children of an index that the destination has."""
        source = task.item.source.with_digest(task.found.digest)
        self._budget.take(source.registry, 1)
        top = self._client.get_manifest(source)
        if isinstance(top, Index) and len(top.children) > _MAX_CHILDREN:
            raise InvalidManifestError(
                f"{source} lists {len(top.children)} manifests, and more than {_MAX_CHILDREN} no honest image has"
            )
        wish = task.item.wish
        if isinstance(top, Manifest) and wish.platforms:
            self._check_platform(source, top, wish.platforms)
        if isinstance(top, Index) and wish.platforms:
            top = manifest.subset(top, manifest.select(top, wish.platforms))
        if wish.dockerfile:
            return self._derived(task, source, top)
        if task.recipe:
            top = records.recorded(top, _record(task))
        reading = self._without_known(task, top) if trusting and isinstance(top, Index) else top
        return Image((*list(self._documents(source, reading))[:-1], top), left_out=reading != top)

    def _derived(self, task: Task, source: Reference, top: Document) -> Image:
        notes: tuple[str, ...] = ()
        if isinstance(top, Index):
            top, notes = derived.images_only(top)
        made = derived.derive(
            list(self._documents(source, top)),
            dockerfile.parse(task.item.wish.dockerfile),
            _record(task),
            lambda blob: self._client.get_blob(source, blob),
        )
        return Image(made.documents, made=made.made, notes=(*notes, *made.notes))

    def _without_known(self, task: Task, top: Index) -> Index:
        """Only the children that the destination has not: a registry takes no manifest before all its parts."""
        ref = task.item.destination
        if task.create_repository:
            return top
        known = self._destination.present(ref.repository, [str(child.digest) for child in top.children])
        return replace(top, children=tuple(child for child in top.children if str(child.digest) not in known))

    def _documents(self, source: Reference, top: Document) -> Iterator[Document]:
        """As walk gives them, read some at a time, and refused if there is too much of it."""
        total = 0
        for count, document in enumerate(manifest.walk(top, self._fetcher(source, top))):
            if count > _MAX_CHILDREN:
                raise InvalidManifestError(
                    f"More than {_MAX_CHILDREN} manifests belong to {source}, which no honest image has"
                )
            total += document.size
            if total > _MAX_BYTES:
                raise InvalidManifestError(
                    f"The manifests of {source} have more than {_MAX_BYTES} bytes together, which no honest image has"
                )
            yield document

    def _fetcher(self, source: Reference, top: Document) -> Callable[[Descriptor], Document]:
        """Reads the next few of the top's children together, and what is further down when it is asked for."""
        waiting = {child.digest: child for child in top.children} if isinstance(top, Index) else {}
        if waiting:
            self._budget.take(source.registry, len(waiting))
        ready: dict[Digest, Document] = {}

        def get(child: Descriptor) -> Document:
            return self._client.get_manifest(source.with_digest(child.digest))

        def fetch(child: Descriptor) -> Document:
            if child.digest in waiting:
                some = list(waiting.values())[:_AT_ONCE]
                for one, document in zip(some, self._pool.map(get, some), strict=True):
                    ready[one.digest] = document
                    del waiting[one.digest]
            if child.digest in ready:
                return ready.pop(child.digest)
            self._budget.take(source.registry, 1)
            return get(child)

        return fetch

    def _check_platform(self, source: Reference, image: Manifest, wanted: Sequence[Platform]) -> None:
        """An image that is in no index says itself what it is for."""
        if image.config is None or image.config.size > _MAX_CONFIG_BYTES:
            raise PlatformNotFoundError(f"{source} does not say what platform it is for")
        with self._client.get_blob(source, image.config) as stream:
            platform = _platform(b"".join(iter(stream.read, b"")))
        if platform not in wanted:
            names = ", ".join(str(one) for one in wanted)
            raise PlatformNotFoundError(f"{source} is for {platform or 'no platform'} only, not for {names}")


def _record(task: Task) -> dict[str, str]:
    return {SOURCE_DIGEST: str(task.found.digest), RECIPE: task.recipe}


def _platform(raw: bytes) -> Platform | None:
    try:
        config: Any = json.loads(raw)
        return Platform(config["os"], config["architecture"], config.get("variant") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidPlatformError):
        return None
