# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From registry to registry: what is missing is streamed through, the rest is mounted or left alone.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Budget,
    Copied,
    Destination,
    Prepared,
    RepositoryMissingError,
    Task,
    Traffic,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.blob import Readable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import RegistryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.ledger import Home, Ledger, Move, Ticket
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.referrer_tags import ReferrerTags
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.source_images import (
    Image,
    SourceImages,
    blobs_of,
)

# How registries call it that parts of a manifest are not there. ECR uses the second for layers; the last is what the
# distribution project's registry says while somebody else is writing one of them.
_PARTS_MISSING = ("MANIFEST_BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "DIGEST_INVALID")
_READERS = 8
# In bytes: no more than what the registry has read by the time that another thread is awake.
_SMALL = 100_000


@dataclass
class DirectPrepared:
    """What is to be copied. Images share blobs, so read the `traffic` of a plan when all of it is prepared."""

    task: Task
    notes: Sequence[str] = ()
    plan: Callable[[], Traffic] | None = None
    image: Image | None = field(default=None, repr=False)

    @property
    def traffic(self) -> Traffic | None:
        return self.plan() if self.plan else None


class Watch(Protocol):
    """Is told by many threads at once. It may raise a MirrorError to stop what it is told of."""

    def expected(self, count: int) -> None:
        """An image was begun, and so many bytes of it are to be moved."""

    def moved(self, count: int) -> None:
        """So many bytes were."""


class Unwatched:
    def expected(self, count: int) -> None:
        pass

    def moved(self, count: int) -> None:
        pass


class DirectTransport:
    """`blob_workers` blobs are brought at a time, for all images together."""

    def __init__(
        self,
        client: Client,
        destination: Destination,
        *,
        blob_workers: int,
        budget: Budget,
        watch: Watch | None = None,
    ) -> None:
        self._client, self._destination = client, destination
        self._watch: Watch = watch or Unwatched()
        self._ledger = Ledger(mounts=destination.may_mount())
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="manifest")
        self._workers = ThreadPoolExecutor(blob_workers, thread_name_prefix="blob")
        self._images = SourceImages(client, destination, budget, self._readers)
        self._referrer_tags = ReferrerTags(client)

    def close(self) -> None:
        for pool in (self._readers, self._workers):
            pool.shutdown(cancel_futures=True)

    def prepare(self, task: Task, *, check_mode: bool) -> DirectPrepared:
        """Reads the manifests and asks what is there already; in check mode no pull is spent on it."""
        source, to = task.item.source, task.item.destination
        if check_mode and self._client.rate_limit(source.registry) is not None:
            return DirectPrepared(task, [f"not looked into, because {source.registry} counts that as a pull"])
        image = self._images.read(task)
        if check_mode:
            self._look_up(task, image.blobs, closely=True)
            return DirectPrepared(task, image.notes, self._ledger.plan(str(to), to.repository, image.blobs))
        return DirectPrepared(task, image.notes, image=image)

    def execute(self, prepared: Prepared) -> Copied:
        """Publishes the image, its tag last."""
        task = prepared.task
        kept = prepared.image if isinstance(prepared, DirectPrepared) else None
        image = kept or self._images.read(task)
        try:
            try:
                return self._copy(task, image)
            except _ChildrenMissingError:
                return self._copy(task, self._images.read(task, trusting=False))
        except RegistryError as error:
            to = task.item.destination
            gone = error.code == "NAME_UNKNOWN" and error.repository == to.repository
            if not gone or error.registry != to.registry:
                raise
            raise RepositoryMissingError(
                f"The repository {to.name} was removed while {to} was copied ({error.message}). "
                "Find out who removes it, then run again."
            ) from error

    def _look_up(self, task: Task, blobs: Iterable[Descriptor], *, closely: bool) -> None:
        """Find out which blobs are in the repository; if not `closely` then as far as that costs less than to begin."""
        to = task.item.destination
        if task.item.source.registry == to.registry:
            found = {blob.digest: Home.FOUND for blob in blobs}
            self._ledger.learn(task.item.source.repository, found)
        unknown = self._ledger.unknown(to.repository, (blob.digest for blob in blobs))
        if not unknown:
            return
        missing = set(unknown) if task.create_repository else self._destination.missing_blobs(to.repository, unknown)
        if missing is None and closely:
            there = self._readers.map(lambda digest: self._client.head_blob(to, digest), unknown)
            missing = {digest for digest, is_there in zip(unknown, there, strict=True) if not is_there}
        if missing is not None:
            homes = {digest: Home.ABSENT if digest in missing else Home.FOUND for digest in unknown}
            self._ledger.learn(to.repository, homes)

    def _copy(self, task: Task, image: Image) -> Copied:
        repository = task.item.destination.repository
        self._look_up(task, image.blobs, closely=False)
        with self._ledger.ticket(repository, image.blobs, ask=True) as ticket:
            self._watch.expected(ticket.expected)
            for document in image.documents:
                self._bring(task, image, ticket, document)
                try:
                    self._publish(task, image, document)
                except RegistryError as error:
                    if error.code not in _PARTS_MISSING:
                        raise
                    self._insist(image, ticket, document, error)
                    self._bring(task, image, ticket, document)
                    self._publish(task, image, document)
                ticket.named(blob.digest for blob in blobs_of(document))
            return Copied(image.top.digest, ticket.traffic, image.notes)

    def _insist(self, image: Image, ticket: Ticket, document: Document, error: RegistryError) -> None:
        """The destination misses what it said it had: it will get it, once."""
        if isinstance(document, Index):
            if image.left_out:
                raise _ChildrenMissingError from error
            raise error
        ticket.insist(blob.digest for blob in blobs_of(document))

    def _bring(self, task: Task, image: Image, ticket: Ticket, document: Document) -> None:
        """Return when all blobs of the document are there; those of others are brought meanwhile."""
        wanted = [blob.digest for blob in blobs_of(document)]
        while True:
            moves = ticket.moves(wanted)
            if not moves:
                return
            # A small one is done sooner than handed over; one only, for there is no order among them.
            own = next((move for move in moves if move.claim.blob.size < _SMALL), None)
            for move in moves:
                if move is not own:
                    job = self._workers.submit(self._move, task, image, move)
                    job.add_done_callback(lambda job, move=move: _tell(job, ticket, move))  # type: ignore[misc]
            if own:
                try:
                    self._move(task, image, own)
                finally:
                    ticket.over(own.claim)

    def _move(self, task: Task, image: Image, move: Move) -> None:
        source, to, blob = task.item.source, task.item.destination, move.claim.blob

        def content() -> Readable:
            made = image.made.get(blob.digest)
            return _Watched(self._client.get_blob(source, blob) if made is None else io.BytesIO(made), self._watch)

        session = None
        if move.mount_from:
            session = self._client.mount_blob(to, blob.digest, move.mount_from)
            if session is None:
                self._ledger.mounted(move)
                return
            self._ledger.refused(move)
        self._client.upload_blob(to, blob, content, session)
        self._ledger.uploaded(move.claim)

    def _publish(self, task: Task, image: Image, document: Document) -> None:
        to = task.item.destination
        ref = to if document is image.top else to.with_digest(document.digest)
        try:
            pushed = self._client.put_manifest(ref, document.raw, document.media_type)
        except RegistryError as error:
            # Somebody else, or we with an answer that got lost, may have written the very same.
            if error.code != "TAG_INVALID" or not self._is_published(ref, document):
                raise
            return
        if document.subject and not pushed.lists_referrer:
            self._referrer_tags.add(ref, document.subject, document)

    def _is_published(self, ref: Reference, document: Document) -> bool:
        present = self._destination.present(ref.repository, [ref.identifier]).get(ref.identifier)
        return present is not None and present.digest == document.digest


class _Watched:
    """Content, of which each piece is told."""

    def __init__(self, content: Readable, watch: Watch) -> None:
        self._content, self._watch = content, watch

    def read(self, amount: int, /) -> bytes:
        piece = self._content.read(amount)
        self._watch.moved(len(piece))
        return piece

    def close(self) -> None:
        self._content.close()


class _ChildrenMissingError(Exception):
    """The destination misses manifests that an index lists, though it had said that they were there."""


def _tell(job: Future[None], ticket: Ticket, move: Move) -> None:
    """Whatever became of it, nobody may wait for it any more."""
    error = CancelledError() if job.cancelled() else job.exception()
    if error is not None:
        ticket.failed(move.claim, error)
