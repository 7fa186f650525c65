# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where in the destination each blob is, and whose turn it is to bring it to where it is not.

Each blob crosses the wire once, however many images and repositories share it: who comes first uploads it, and the
others wait until a manifest names it there, for only then ECR lets it be mounted. Nobody ever waits for somebody who
came later, so there is no waiting in a circle; and one at a time writes a blob to a repository, for registries have
been seen to stumble over two.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import TracebackType

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Traffic
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor

# A registry that has refused so many mounts, and granted none, is not waited for any more.
_REFUSALS = 3


class Home(IntEnum):
    """What is known of a blob in one repository. From FOUND on it may be mounted from there."""

    ABSENT = 0
    HERE = 1
    FOUND = 2
    NAMED = 3


class Outcome(Enum):
    """How a blob got to where it is wanted."""

    MOVED = "moved"
    REUSED = "reused"
    MOUNTED = "mounted"


@dataclass(eq=False)
class Claim:
    """That one image wants one blob in its repository."""

    ticket: Ticket
    blob: Descriptor
    outcome: Outcome | None = None
    at_work: bool = False
    insist: bool = False


@dataclass(frozen=True)
class Move:
    """Something to be done now: mount the blob from there, and upload it if that is refused or nothing is said.

    The repository itself is what a registry is asked about that does not tell otherwise what it has.
    """

    claim: Claim
    mount_from: str = ""


@dataclass(slots=True)
class _Blob:
    homes: dict[str, Home] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    planned: dict[str, str] = field(default_factory=dict)

    def home_to_mount_from(self) -> str:
        """The surest one."""
        best = max(self.homes, key=lambda name: self.homes[name], default="")
        return best if best and self.homes[best] >= Home.FOUND else ""


class Ledger:
    """One for a run, for all its threads."""

    def __init__(self, *, mounts: bool) -> None:
        self._lock = threading.Lock()
        self._mounts = mounts
        self._granted, self._refused = False, 0
        self._blobs: dict[Digest, _Blob] = {}

    # ------------------------------------------------------------------ what is where

    def unknown(self, repository: str, digests: Iterable[Digest]) -> list[Digest]:
        """Those of which nothing is known in the repository."""
        with self._lock:
            return [digest for digest in digests if repository not in self._blob(digest).homes]

    def learn(self, repository: str, homes: Mapping[Digest, Home]) -> None:
        """What the registry says of blobs that nobody is bringing there."""
        with self._lock:
            for digest, home in homes.items():
                if not any(claim.ticket.repository == repository for claim in self._blob(digest).claims):
                    self._settle_home(digest, repository, home)

    # ------------------------------------------------------------------ what it will cost

    def plan(self, name: str, repository: str, blobs: Iterable[Descriptor]) -> Callable[[], Traffic]:
        """Say that the image will want these blobs. What is returned tells its share of the traffic.

        To be called when all images have been planned: it is as if they were copied in the order of their names.
        """
        with self._lock:
            wanted = [(self._blob(blob.digest), blob.size) for blob in blobs]
            for blob, _size in wanted:
                blob.planned[repository] = min(name, blob.planned.get(repository, name))

        def traffic() -> Traffic:
            with self._lock:
                return _total((self._expected(name, repository, blob), size) for blob, size in wanted)

        return traffic

    def _expected(self, name: str, repository: str, blob: _Blob) -> Outcome:
        if blob.homes.get(repository, Home.ABSENT) or blob.planned.get(repository, name) < name:
            return Outcome.REUSED
        if self._mounts and (blob.home_to_mount_from() or min(blob.planned.values(), default=name) < name):
            return Outcome.MOUNTED
        return Outcome.MOVED

    # ------------------------------------------------------------------ whose turn it is

    def ticket(self, repository: str, blobs: Iterable[Descriptor], *, ask: bool) -> Ticket:
        """Queue for all blobs of an image at once. `ask` where only an upload shows whether a blob is there."""
        ticket = Ticket(self, repository, ask=ask)
        with self._lock:
            for blob in blobs:
                if blob.digest not in ticket.claims:
                    claim = Claim(ticket, blob)
                    ticket.claims[blob.digest] = claim
                    self._blob(blob.digest).claims.append(claim)
        return ticket

    def mounted(self, move: Move) -> None:
        """The registry had the blob, or took it from there."""
        own = move.mount_from == move.claim.ticket.repository
        with self._lock:
            if own:
                self._done(move.claim, Outcome.REUSED, Home.FOUND)
            else:
                self._granted = True
                self._done(move.claim, Outcome.MOUNTED, Home.HERE)

    def refused(self, move: Move) -> None:
        """The registry wants an upload. That it never mounts is shown by those only that it had no reason to refuse."""
        if move.mount_from == move.claim.ticket.repository:
            return
        with self._lock:
            homes = self._blob(move.claim.blob.digest).homes
            if homes.get(move.mount_from) is not Home.NAMED:
                homes[move.mount_from] = Home.HERE
                return
            self._refused += 1
            if self._refused >= _REFUSALS and not self._granted:
                self._mounts = False
                self._wake_all()

    def uploaded(self, claim: Claim) -> None:
        with self._lock:
            self._done(claim, Outcome.MOVED, Home.HERE)

    # ------------------------------------------------------------------ inside, with the lock held

    def _blob(self, digest: Digest) -> _Blob:
        blob = self._blobs.get(digest)
        if blob is None:
            blob = self._blobs[digest] = _Blob()
        return blob

    def _next_step(self, claim: Claim) -> Move | None:
        """What to do about a claim now, None if there is to wait or nothing to do."""
        if claim.outcome or claim.at_work:
            return None
        blob, repository = self._blob(claim.blob.digest), claim.ticket.repository
        earlier = blob.claims[: blob.claims.index(claim)]
        if not claim.insist and blob.homes.get(repository, Home.ABSENT):
            claim.outcome = Outcome.REUSED
            return None
        if any(other.ticket.repository == repository and not other.outcome for other in earlier):
            return None
        if claim.insist:
            return Move(claim)
        if self._mounts:
            home = blob.home_to_mount_from()
            if home:
                return Move(claim, home)
            if earlier:
                return None
        asking = claim.ticket.ask and repository not in blob.homes
        return Move(claim, repository if asking else "")

    def _is_to_move(self, claim: Claim) -> bool:
        """Whether nobody brings the blob there for this image, as far as is known now."""
        blob, repository = self._blob(claim.blob.digest), claim.ticket.repository
        earlier = blob.claims[: blob.claims.index(claim)]
        if blob.homes.get(repository, Home.ABSENT) or any(other.ticket.repository == repository for other in earlier):
            return False
        return not (self._mounts and (earlier or blob.home_to_mount_from()))

    def _done(self, claim: Claim, outcome: Outcome, home: Home) -> None:
        claim.outcome, claim.at_work = outcome, False
        self._settle_home(claim.blob.digest, claim.ticket.repository, home)

    def _settle_home(self, digest: Digest, repository: str, home: Home) -> None:
        homes = self._blob(digest).homes
        homes[repository] = max(home, homes.get(repository, home))
        self._wake(digest)

    def _drop(self, claim: Claim) -> None:
        claims = self._blob(claim.blob.digest).claims
        if claim in claims:
            claims.remove(claim)
            self._wake(claim.blob.digest)
        claim.at_work = False

    def _wake(self, digest: Digest) -> None:
        for claim in self._blob(digest).claims:
            claim.ticket.changed.notify()

    def _wake_all(self) -> None:
        for digest in self._blobs:
            self._wake(digest)


class Ticket:
    """One image's place in the queues for its blobs; used by one thread. Leaving it lets others have their turn."""

    def __init__(self, ledger: Ledger, repository: str, *, ask: bool) -> None:
        self._ledger, self.repository, self.ask = ledger, repository, ask
        self.claims: dict[Digest, Claim] = {}
        self.changed = threading.Condition(ledger._lock)
        self._error: BaseException | None = None

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives up what has not been begun; waits for what has, because nobody else may write meanwhile."""
        with self._ledger._lock:
            while self.claims:
                for claim in [claim for claim in self.claims.values() if not claim.at_work]:
                    self._ledger._drop(self.claims.pop(claim.blob.digest))
                if self.claims:
                    self.changed.wait()

    def moves(self, wanted: Iterable[Digest]) -> list[Move]:
        """What can be done now for any of the blobs; waits if there is nothing. Empty when all wanted are there."""
        needed = [self.claims[digest] for digest in wanted]
        with self._ledger._lock:
            while True:
                if self._error:
                    raise self._error
                steps = [self._ledger._next_step(claim) for claim in self.claims.values()]
                moves = [step for step in steps if step]
                for move in moves:
                    move.claim.at_work = True
                if moves or all(claim.outcome for claim in needed):
                    return moves
                self.changed.wait()

    def failed(self, claim: Claim, error: BaseException) -> None:
        """Any thread may say so; the one that waits will hear it."""
        with self._ledger._lock:
            self._error = self._error or error
            self._ledger._drop(claim)
            self.changed.notify()

    def over(self, claim: Claim) -> None:
        """Work on it has ended, well or not."""
        with self._ledger._lock:
            if not claim.outcome:
                self._ledger._drop(claim)

    def named(self, digests: Iterable[Digest]) -> None:
        """A manifest with these blobs has been published."""
        with self._ledger._lock:
            for digest in digests:
                self._ledger._settle_home(digest, self.repository, Home.NAMED)

    def insist(self, digests: Iterable[Digest]) -> None:
        """The registry misses them after all: what was not uploaded has to be."""
        with self._ledger._lock:
            for digest in digests:
                claim = self.claims[digest]
                if claim.outcome is not Outcome.MOVED:
                    self._ledger._blob(digest).homes.pop(self.repository, None)
                    claim.outcome, claim.insist = None, True

    @property
    def expected(self) -> int:
        """Bytes that are to be moved, as far as is known now."""
        with self._ledger._lock:
            return sum(claim.blob.size for claim in self.claims.values() if self._ledger._is_to_move(claim))

    @property
    def traffic(self) -> Traffic:
        """What has been done so far."""
        return _total((claim.outcome, claim.blob.size) for claim in self.claims.values() if claim.outcome)


def _total(blobs: Iterable[tuple[Outcome, int]]) -> Traffic:
    sums: Counter[Outcome] = Counter()
    for outcome, size in blobs:
        sums[outcome] += size
    return Traffic(sums[Outcome.MOVED], sums[Outcome.REUSED], sums[Outcome.MOUNTED])
