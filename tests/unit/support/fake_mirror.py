# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a mirror run deals with, in memory: registries to copy from, one to copy to, and ways to copy.

They keep the rules of the real ones. A manifest is taken only if what it names is there, an immutable tag is written
once, pulls are counted, and a tag goes to what was pushed under it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Copied,
    MirrorError,
    PartlyKnownError,
    Present,
    RepositoryMissingError,
    Task,
    Traffic,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.run import Settings, mirror
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wishes import parse
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound, OciError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import records

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
LAYER_BYTES = 1000


def image(name: str, *layers: str, subject: Document | None = None, **more: Any) -> Manifest:
    """An image of which `name` is the configuration."""
    document = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": _listed(name.encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [_listed(layer.encode(), "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers or "l"],
        **({"subject": _entry(subject)} if subject else {}),
        **more,
    }
    found = manifest.parse(json.dumps(document).encode())
    assert isinstance(found, Manifest)
    return found


def index(**children: Manifest) -> Index:
    """By platform, with an underscore for the slash."""
    entries = []
    for platform, child in children.items():
        os, architecture = platform.split("_")
        entries.append({**_entry(child), "platform": {"os": os, "architecture": architecture}})
    document = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries}
    found = manifest.parse(json.dumps(document).encode())
    assert isinstance(found, Index)
    return found


def _listed(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": LAYER_BYTES}


def _entry(document: Document) -> dict[str, Any]:
    return {"mediaType": document.media_type, "digest": str(document.digest), "size": document.size}


class FakeSource:
    """Any number of registries. `failing` has the error for a reference, or for a verb and a reference."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tags: dict[str, dict[str, Digest]] = {}
        self.documents: dict[tuple[str, Digest], Document] = {}
        self.limits: dict[str, RateLimit] = {}
        self.failing: dict[str, OciError] = {}
        self.asked: list[tuple[str, str]] = []
        self.expected: list[str] = []
        # Where a test wants to see how many are asking at a time.
        self.meeting: threading.Barrier | None = None

    def add(self, text: str, document: Document, *children: Document) -> Document:
        """Put an image there, with the children of an index."""
        ref = Reference.parse(text)
        for one in (document, *children):
            self.documents[ref.name, one.digest] = one
        tags = self.tags.setdefault(ref.name, {})
        if ref.tag:
            tags[ref.tag] = document.digest
        return document

    def count(self, verb: str) -> int:
        return sum(asked == verb for asked, _what in self.asked)

    def questions(self) -> Counter[str]:
        return Counter(verb for verb, _what in self.asked)

    def expect(self, references: Iterable[Reference], *, push: bool = False) -> None:
        self.expected += [ref.name for ref in references]

    def head_manifest(self, ref: Reference) -> Descriptor:
        if self.meeting:
            self.meeting.wait(10)
        return self._answer("HEAD", ref).descriptor

    def get_manifest(self, ref: Reference) -> Document:
        document = self._answer("GET", ref)
        with self._lock:
            limit = self.limits.get(ref.registry)
            if limit:
                self.limits[ref.registry] = replace(limit, remaining=limit.remaining - 1)
        return document

    def list_tags(self, ref: Reference) -> Iterable[str]:
        self._note("LIST", ref.name)
        if ref.name not in self.tags:
            raise self._missing(ref.name)
        yield from list(self.tags[ref.name])

    def referrers(self, ref: Reference, digest: Digest) -> Sequence[Descriptor]:
        self._note("REFERRERS", f"{ref.name}@{digest}")
        found = [document for (name, _digest), document in self.documents.items() if name == ref.name]
        return [one.descriptor for one in found if one.subject and one.subject.digest == digest]

    def rate_limit(self, registry: str) -> RateLimit | None:
        return self.limits.get(registry)

    def _answer(self, verb: str, ref: Reference) -> Document:
        self._note(verb, str(ref))
        digest = ref.digest or self.tags.get(ref.name, {}).get(ref.identifier)
        if digest is None or (ref.name, digest) not in self.documents:
            raise self._missing(str(ref))
        return self.documents[ref.name, digest]

    def _note(self, verb: str, what: str) -> None:
        with self._lock:
            self.asked.append((verb, what))
        error = self.failing.get(what) or self.failing.get(f"{verb} {what}")
        if error:
            raise error

    def _missing(self, what: str) -> NotFound:
        return NotFound(f"read the manifest of {what}", "the registry does not have it", status=404)


class FakeDestination:
    """The one registry that is copied to. A repository of `new_immutable` is made with immutable tags."""

    def __init__(self, *repositories: str) -> None:
        self._lock = threading.Lock()
        self.tags: dict[str, dict[str, Digest]] = {name: {} for name in repositories}
        self.documents: dict[tuple[str, Digest], Document] = {}
        self.blobs: set[tuple[str, Digest]] = set()
        self.immutable: set[str] = set()
        self.looked_up: list[str] = []
        self.created: list[str] = []
        self.batches: list[tuple[str, int]] = []
        self.failing: dict[str, MirrorError] = {}

    @property
    def registry(self) -> str:
        return REGISTRY

    def look_up(self, repositories: Iterable[str]) -> None:
        self.looked_up += repositories

    def exists(self, repository: str) -> bool:
        return repository in self.tags

    def is_immutable(self, repository: str, tag: str) -> bool:
        return repository in self.immutable

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        with self._lock:
            self.batches.append((repository, len(identifiers)))
        if repository in self.failing:
            raise self.failing[repository]
        found = {identifier: self._find(repository, identifier) for identifier in identifiers}
        known = {identifier: _described(document) for identifier, document in found.items() if document}
        failed = {one: self.failing[f"{repository}:{one}"] for one in found if f"{repository}:{one}" in self.failing}
        if failed:
            raise PartlyKnownError(known, failed)
        return known

    def missing_blobs(self, repository: str, blobs: Sequence[Digest]) -> set[Digest] | None:
        return {blob for blob in blobs if (repository, blob) not in self.blobs}

    def create(self, repository: str) -> bool:
        with self._lock:
            self.created.append(repository)
        if repository in self.failing:
            raise self.failing[repository]
        is_new = repository not in self.tags
        self.tags.setdefault(repository, {})
        return is_new

    def may_mount(self) -> bool:
        return True

    def put(self, ref: Reference, document: Document) -> None:
        """Refuses what a registry refuses."""
        with self._lock:
            if ref.repository not in self.tags:
                raise RepositoryMissingError(f"the repository {ref.repository} does not exist")
            parts = document.blobs if isinstance(document, Manifest) else ()
            assert all((ref.repository, blob.digest) in self.blobs for blob in parts), "incomplete image"
            children = document.children if isinstance(document, Index) else ()
            assert all((ref.repository, child.digest) in self.documents for child in children), "incomplete index"
            if ref.tag:
                old = self.tags[ref.repository].get(ref.tag)
                if old and ref.repository in self.immutable:
                    raise MirrorError(f"the tag {ref.tag} is immutable")
                self.tags[ref.repository][ref.tag] = document.digest
            self.documents[ref.repository, document.digest] = document

    def put_whole(self, text: str, document: Document, *children: Manifest) -> None:
        """As if somebody had pushed it before."""
        ref = Reference.parse(f"{REGISTRY}/{text}")
        for one in (*children, document):
            self.blobs |= {(ref.repository, blob.digest) for blob in getattr(one, "blobs", ())}
            self.put(ref if one is document else ref.with_digest(one.digest), one)

    def digest_of(self, repository: str, tag: str) -> Digest | None:
        return self.tags.get(repository, {}).get(tag)

    def _find(self, repository: str, identifier: str) -> Document | None:
        digest = Digest.parse(identifier) if ":" in identifier else self.tags[repository].get(identifier)
        return self.documents.get((repository, digest)) if digest else None


def _described(document: Document) -> Present:
    if isinstance(document, Manifest):
        config = document.config.digest if document.config else None
        return Present(document.digest, document.media_type, document.annotations, config)
    children = tuple(child.digest for child in document.children)
    return Present(document.digest, document.media_type, document.annotations, children=children)


@dataclass(frozen=True)
class FakePrepared:
    task: Task
    documents: tuple[Document, ...]
    traffic: Traffic | None
    notes: tuple[str, ...] = ()


class FakeDirect:
    """Registry to registry. `failing` has the error for a destination, once its blobs are there."""

    def __init__(self, source: FakeSource, destination: FakeDestination, budget: PullBudget) -> None:
        self.source, self.destination, self.budget = source, destination, budget
        self.failing: dict[str, Exception] = {}
        self.prepared: list[str] = []
        self.executed: list[str] = []
        # Where a test wants to see how many copy at a time.
        self.meeting: threading.Barrier | None = None
        self._moved: set[Digest] = set()
        self._lock = threading.Lock()

    def prepare(self, task: Task, *, check_mode: bool) -> FakePrepared:
        with self._lock:
            self.prepared.append(str(task.item.destination))
        if check_mode and self.source.rate_limit(task.item.source.registry):
            return FakePrepared(task, (), None, ("not looked into",))
        documents = tuple(self._documents(task))
        return FakePrepared(task, documents, self._move(task, documents, check_mode=check_mode))

    def execute(self, prepared: FakePrepared) -> Copied:
        task, to = prepared.task, prepared.task.item.destination
        with self._lock:
            self.executed.append(str(to))
        if self.meeting:
            self.meeting.wait(10)
        if str(to) in self.failing:
            raise self.failing[str(to)]
        top = prepared.documents[-1]
        if task.recipe:
            top = self._recorded(top, task)
        for document in prepared.documents[:-1]:
            self.destination.put(to.with_digest(document.digest), document)
        self.destination.put(to, top)
        return Copied(top.digest, prepared.traffic or Traffic(), prepared.notes)

    def close(self) -> None:
        """There is nothing to close."""

    def _documents(self, task: Task) -> Iterable[Document]:
        """Children first."""
        source, wish = task.item.source, task.item.wish
        self.budget.take(source.registry, 1)
        top = self.source.get_manifest(source.with_digest(task.found.digest))
        if isinstance(top, Index) and wish.platforms:
            top = manifest.subset(top, manifest.select(top, wish.platforms))
        if isinstance(top, Index):
            self.budget.take(source.registry, len(top.children))
            for child in top.children:
                yield self.source.get_manifest(source.with_digest(child.digest))
        yield top

    def _move(self, task: Task, documents: Iterable[Document], *, check_mode: bool) -> Traffic:
        traffic, repository = Traffic(), task.item.destination.repository
        with self._lock:
            for blob in [blob for one in documents if isinstance(one, Manifest) for blob in one.blobs]:
                if (repository, blob.digest) in self.destination.blobs:
                    traffic.reused += blob.size
                elif blob.digest in self._moved:
                    traffic.mounted += blob.size
                else:
                    traffic.moved += blob.size
                self._moved.add(blob.digest)
                if not check_mode:
                    self.destination.blobs.add((repository, blob.digest))
        return traffic

    def _recorded(self, top: Document, task: Task) -> Document:
        return records.recorded(top, {SOURCE_DIGEST: str(task.found.digest), RECIPE: task.recipe})


def _unlimited(registry: str) -> RateLimit | None:
    return None


class FakeEngine(FakeDirect):
    """Like an engine: one image of an index, compressed anew.

    What it does not build has no record where the tag can be written only once, as if somebody had pushed it. It pulls
    without asking the budget.
    """

    def __init__(self, source: FakeSource, destination: FakeDestination) -> None:
        super().__init__(source, destination, PullBudget(_unlimited))

    def _documents(self, task: Task) -> Iterable[Document]:
        found = next(iter(super()._documents(task)), None)
        assert isinstance(found, Manifest)
        yield records.recorded(found, {"compressed": "anew"})

    def _recorded(self, top: Document, task: Task) -> Document:
        is_bare = task.immutable and not task.item.wish.dockerfile
        return top if is_bare else super()._recorded(top, task)


class World:
    """Everything that a run needs, and a run."""

    def __init__(self, *repositories: str, reserve: int = 0) -> None:
        self.source = FakeSource()
        self.destination = FakeDestination(*repositories)
        self.reserve = reserve
        self.renew()

    def renew(self) -> None:
        """What lasts for one run."""
        self.budget = PullBudget(self.source.rate_limit, self.reserve)
        self.direct = FakeDirect(self.source, self.destination, self.budget)
        self.engine = FakeEngine(self.source, self.destination)
        self.source.asked.clear()
        self.destination.batches.clear()
        self.destination.created.clear()

    def wishes(self, *images: Any, **defaults: Any) -> list[Wish]:
        return parse(list(images), {"transport": "direct", **defaults})

    def run(self, *images: Any, settings: Mapping[str, Any] | None = None, **defaults: Any) -> Report:
        transports = {"direct": self.direct, "docker": self.engine}
        wishes = self.wishes(*images, **defaults)
        return mirror(wishes, self.source, self.destination, transports, self.budget, Settings(**(settings or {})))

    def again(self, *images: Any, settings: Mapping[str, Any] | None = None, **defaults: Any) -> Report:
        """Another run."""
        self.renew()
        return self.run(*images, settings=settings, **defaults)
