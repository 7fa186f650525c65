# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By way of a Docker Engine, which pulls, builds what has to be built, and pushes.

Private to this collection: may change in any release.

How an image is published. An engine can only push under a tag, and what it pushes has no record of its source. So it
pushes under a tag that nobody else knows. What arrived is read back, gets its record (and OCI's format, see
records.py), and is written under the tag that was wished for. Then the temporary tag goes. This way
- the wished-for tag is written once, which an immutable one needs, and never stands for anything that is not recorded;
- tags of the engine that people use are not touched;
- several platforms can be pushed one by one, and be listed in an index of our own.
The image under the temporary tag is another than the published one, as their bytes differ, so it goes with its tag:
ECR removes an image with its last tag, immutable or not. That takes ecr:BatchDeleteImage. Without it the copy is
complete all the same, and a note says which tag was left; so many are left as images are copied, because a name used
again could not be written in an immutable repository, and two runs would take it away from each other.
An image that was in the repository before, and that the engine now pushes once more, is spared as far as it can be
known: what the tag stood for, and the source's own digest. Somebody may have deployed it by digest.

An image is pulled by digest: a failed pull cannot lead to an old local image being pushed. Where a platform is wished
for, the digest is that of its child in the index, for one digest can name only one image in an engine.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile, model
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Copied,
    MirrorError,
    Prepared,
    Task,
    Traffic,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidManifestError,
    OciError,
    PlatformNotFoundError,
    RegistryError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import records
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import (
    Engine,
    EngineError,
    LocalImage,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.local_images import LocalImages

# How temporary tags begin.
TEMPORARY = "stevedore-temporary-"
# An engine has limits of its own for the layers that it moves at a time; this is for images, in each direction.
_AT_ONCE = 4
_MOUNTED, _REUSED = "Mounted from", "Layer already exists"


class TagRemovingDestination(model.Destination, Protocol):
    """A destination that can also take a tag away."""

    def discard(self, repository: str, tag: str) -> None:
        """Remove a tag, and the image if it has no other. That there is none is fine.

        Raises MirrorError or OciError, saying what to allow.
        """


@dataclass(frozen=True)
class DockerPrepared:
    """Only the engine knows what it would move, and it is not asked before it has to be."""

    task: Task
    traffic: Traffic | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Pushed:
    """What the engine has pushed, as the registry has it."""

    temporary: Reference
    document: Document
    image: LocalImage
    traffic: Traffic


class _Leftovers(ExitStack):
    """What is to be removed in the end, and for the user what could not be."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.spared: set[Reference] = set()


@dataclass
class _Made:
    """What is published for one image of the source, in one repository and one way; nothing yet at first."""

    documents: tuple[Document, ...] = ()
    identity: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class DockerTransport:
    """`credentials` are those for a registry, asked for each pull and push; the engine keeps none of them.

    Without `keep_local` the engine has in the end the images and tags that it had before. With it, also what was pulled
    or built; that gets the destination's name, where it is an image of one platform. `heed` is as an Engine's.
    """

    def __init__(
        self,
        client: Client,
        destination: TagRemovingDestination,
        *,
        credentials: Callable[[str], Credentials | None],
        docker_host: str = "",
        keep_local: bool = False,
        heed: Callable[[], None] | None = None,
    ) -> None:
        self._client, self._destination, self._credentials = client, destination, credentials
        self._keep_local = keep_local
        self._engine = Engine(docker_host, heed=heed)
        self._images = LocalImages(self._engine, credentials, keep=keep_local)
        self._pulls, self._pushes = threading.Semaphore(_AT_ONCE), threading.Semaphore(_AT_ONCE)
        self._layers = _LayersInTransit()
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str, str], _Made] = {}

    def close(self) -> None:
        """Removes from the engine what is not to be kept, too."""
        self._images.close()
        self._engine.close()

    def prepare(self, task: Task, *, check_mode: bool) -> DockerPrepared:
        unusual = dockerfile.needs_buildkit(dockerfile.parse(task.item.wish.dockerfile))
        if unusual:
            raise EngineError(
                f"These Dockerfile lines are built without BuildKit, which {unusual!r} needs: write them without it"
            )
        return DockerPrepared(task)

    def execute(self, prepared: Prepared) -> Copied:
        task = prepared.task
        to = task.item.destination
        with self._lock:
            made = self._made.setdefault((to.repository, str(task.found.digest), task.recipe), _Made())
        # Several tags of one image are the rule: it is pulled and pushed for the first one only.
        with made.lock, _Leftovers() as leftovers:
            if made.documents:
                documents, identity, traffic = made.documents, made.identity, _all_reused(made.documents)
                digest = self._publish(task, documents)
            else:
                before = self._digests_before(task)
                pushed = [self._push(task, source, leftovers) for source in self._sources(task)]
                documents, identity, traffic = _recorded(task, pushed), pushed[0].image.identity, _together(pushed)
                digest = self._publish(task, documents)
                self._spare([one for one in pushed if one.document.digest in before], documents[-1], leftovers)
            made.documents, made.identity = documents, identity
            if self._keep_local and len(documents) == 1:
                self._engine.tag(identity, to.name, to.tag or "")
        return Copied(digest, traffic, tuple(leftovers.notes))

    def _digests_before(self, task: Task) -> set[Digest]:
        """What was in the repository before, of what an engine might push again."""
        to, found = task.item.destination, str(task.found.digest)
        return {present.digest for present in self._destination.present(to.repository, [to.identifier, found]).values()}

    def _spare(self, pushed: Iterable[_Pushed], top: Document, leftovers: _Leftovers) -> None:
        """Images that somebody may use by digest must not go with their temporary tag: it is given to another one."""
        for one in pushed:
            try:
                self._client.put_manifest(one.temporary, top.raw, top.media_type)
            except OciError as error:
                leftovers.spared.add(one.temporary)
                leftovers.notes.append(f"the temporary tag {one.temporary.tag} is left for the image's sake: {error}")

    def _sources(self, task: Task) -> list[Reference]:
        """What the engine is to pull: one image for each platform."""
        wish, source = task.item.wish, task.item.source.with_digest(task.found.digest)
        if not wish.platforms or not task.found.is_index:
            return [source]
        index = self._client.get_manifest(source)
        if not isinstance(index, Index):
            raise InvalidManifestError(
                f"{source}: its registry says that it is an index, and its content is none: choose no platforms"
            )
        by_platform = {child.platform: child.digest for child in reversed(manifest.select(index, wish.platforms))}
        return [source.with_digest(by_platform[platform]) for platform in wish.platforms]

    def _push(self, task: Task, source: Reference, leftovers: _Leftovers) -> _Pushed:
        """Have the engine bring one image, under a temporary tag that goes in the end, on both sides."""
        wish, to = task.item.wish, task.item.destination
        temporary = to.with_tag(f"{TEMPORARY}{uuid.uuid4().hex[:16]}")
        with self._pulls:
            image = leftovers.enter_context(self._images.pulled(source, temporary))
        leftovers.callback(self._forget, temporary, image.identity, leftovers)
        if wish.platforms and not task.found.is_index and image.platform not in wish.platforms:
            names = ", ".join(map(str, wish.platforms))
            raise PlatformNotFoundError(f"{source} is for {image.platform or 'no platform'} only, not for {names}")
        if wish.dockerfile:
            image = self._built(task, source, temporary)
            leftovers.callback(self._forget, temporary, image.identity, leftovers)
        leftovers.callback(self._discard, temporary, leftovers)
        with self._layers.turn(image.layers if self._destination.may_mount() else ()), self._pushes:
            outcomes = self._engine.push(to.name, temporary.tag or "", self._credentials(to.registry))
        document = self._client.get_manifest(temporary)
        return _Pushed(temporary, document, image, _traffic(document, image, outcomes))

    def _built(self, task: Task, base: Reference, name: Reference) -> LocalImage:
        lines = task.item.wish.dockerfile
        self._engine.build(dockerfile.text(str(base), lines), str(name), _record(task), logins=self._logins(lines))
        image = self._engine.image(str(name))
        if image is None:
            raise EngineError(f"Docker Engine has built {name}, and somebody else has removed it: try again")
        return image

    def _logins(self, lines: Sequence[str]) -> dict[str, Credentials]:
        """For what the lines copy from; what they are built upon is in the engine."""
        registries = {Reference.parse(name).registry for name in dockerfile.copied_from(dockerfile.parse(lines))}
        found = {registry: self._credentials(registry) for registry in registries}
        return {registry: credentials for registry, credentials in found.items() if credentials}

    def _discard(self, temporary: Reference, leftovers: _Leftovers) -> None:
        if temporary in leftovers.spared:
            return
        try:
            self._destination.discard(temporary.repository, temporary.tag or "")
        except (MirrorError, OciError) as error:
            leftovers.notes.append(f"the temporary tag {temporary.tag} is left in {temporary.repository}: {error}")

    def _forget(self, temporary: Reference, identity: str, leftovers: _Leftovers) -> None:
        try:
            self._images.forget(temporary, identity)
        except EngineError as error:
            leftovers.notes.append(f"a name of a local image was lost: {error}")

    def _publish(self, task: Task, documents: Sequence[Document]) -> Digest:
        """The digest that is under the tag then."""
        to, top = task.item.destination, documents[-1]
        for child in documents[:-1]:
            self._client.put_manifest(to.with_digest(child.digest), child.raw, child.media_type)
        try:
            return self._client.put_manifest(to, top.raw, top.media_type).digest
        except RegistryError as error:
            # Another run may have written it at the same time.
            there = self._published(task) if error.code == "TAG_INVALID" else None
            if there is None:
                raise
            return there

    def _published(self, task: Task) -> Digest | None:
        """What is under the tag, if it was made of the same in the same way."""
        to = task.item.destination
        present = self._destination.present(to.repository, [to.identifier]).get(to.identifier)
        same = present is not None and (present.source_digest, present.recipe) == (str(task.found.digest), task.recipe)
        return present.digest if present and same else None


class _LayersInTransit:
    """Has a layer pushed to one repository first: the registry mounts it into others, if it is there in time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._moving: set[str] = set()
        self._there: set[str] = set()

    @contextmanager
    def turn(self, layers: Iterable[str]) -> Iterator[None]:
        wanted = set(layers)
        with self._changed:
            self._changed.wait_for(lambda: not (wanted & self._moving))
            new = wanted - self._there
            self._moving |= new
        try:
            yield
            with self._changed:
                self._there |= new
        finally:
            with self._changed:
                self._moving -= new
                self._changed.notify_all()


def _record(task: Task) -> dict[str, str]:
    return {SOURCE_DIGEST: str(task.found.digest), RECIPE: task.recipe}


def _recorded(task: Task, pushed: Sequence[_Pushed]) -> tuple[Document, ...]:
    """What to publish for these images: one as it is, several in an index."""
    documents = tuple(records.recorded(one.document, _record(task)) for one in pushed)
    if len(documents) == 1:
        return documents
    entries = [
        {"mediaType": one.media_type, "digest": str(one.digest), "size": one.size, "platform": _entry(platform)}
        for one, platform in zip(documents, task.item.wish.platforms, strict=True)
    ]
    index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries, "annotations": _record(task)}
    return (*documents, records.made(index))


def _entry(platform: Platform) -> dict[str, str]:
    found = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {name: value for name, value in found.items() if value}


def _traffic(document: Document, image: LocalImage, outcomes: Mapping[str, str]) -> Traffic:
    """Bytes by what the engine said of each layer, which it names by what its identity begins with."""
    traffic, seen = Traffic(), set[Digest]()
    if isinstance(document, Manifest):
        for layer, blob in zip(image.layers, document.layers, strict=False):
            outcome = outcomes.get(layer.partition(":")[2][:12]) or outcomes.get(blob.digest.encoded[:12], "")
            if blob.digest in seen:
                continue
            seen.add(blob.digest)
            if outcome.startswith(_MOUNTED):
                traffic.mounted += blob.size
            elif outcome == _REUSED:
                traffic.reused += blob.size
            else:
                traffic.moved += blob.size
        traffic.moved += document.config.size if document.config else 0
    return traffic


def _together(pushed: Iterable[_Pushed]) -> Traffic:
    total = Traffic()
    for one in pushed:
        total.moved += one.traffic.moved
        total.reused += one.traffic.reused
        total.mounted += one.traffic.mounted
    return total


def _all_reused(documents: Iterable[Document]) -> Traffic:
    blobs = {blob.digest: blob.size for one in documents if isinstance(one, Manifest) for blob in one.blobs}
    return Traffic(reused=sum(blobs.values()))
