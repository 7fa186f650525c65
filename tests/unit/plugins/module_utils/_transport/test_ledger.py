# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Traffic
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.ledger import Home, Ledger, Move, Ticket

BASE, TOP, OTHER = (Descriptor("layer", Digest.of(name), size) for name, size in ((b"b", 100), (b"t", 7), (b"o", 5)))
PATIENCE = 20.0


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(mounts=True)


def ticket(ledger: Ledger, repository: str, *blobs: Descriptor, ask: bool = False) -> Ticket:
    return ledger.ticket(repository, blobs, ask=ask)


def now(ticket: Ticket) -> list[tuple[Descriptor, str]]:
    """What can be done at this moment: the blob, and where to mount it from. Only for tickets that need not wait."""
    return [(move.claim.blob, move.mount_from) for move in ticket.moves([])]


def upload(ledger: Ledger, ticket: Ticket) -> None:
    for move in ticket.moves(ticket.claims):
        ledger.uploaded(move.claim)


def publish(ledger: Ledger, repository: str, *blobs: Descriptor) -> Ticket:
    """An image that is all there."""
    done = ticket(ledger, repository, *blobs)
    upload(ledger, done)
    done.named(done.claims)
    return done


def idle(ticket: Ticket) -> bool:
    """Whether there is nothing to do for it but wait."""
    return ticket.moves([]) == [] and not all(claim.outcome for claim in ticket.claims.values())


# ------------------------------------------------------------------ whose turn it is


def test_the_first_uploads_everything_at_once(ledger: Ledger) -> None:
    first = ticket(ledger, "one", BASE, TOP)
    assert now(first) == [(BASE, ""), (TOP, "")]
    assert now(first) == []


def test_others_wait_until_a_manifest_names_the_blob_and_then_mount_it(ledger: Ledger) -> None:
    first, second = ticket(ledger, "one", BASE), ticket(ledger, "two", BASE)
    assert idle(second)
    upload(ledger, first)
    assert idle(second)
    first.named(first.claims)
    assert now(second) == [(BASE, "one")]


@pytest.mark.parametrize("mounts", [True, False])
def test_the_same_repository_only_waits_for_the_upload(mounts: bool) -> None:
    ledger = Ledger(mounts=mounts)
    first, second = ticket(ledger, "one", BASE), ticket(ledger, "one", BASE)
    assert idle(second)
    upload(ledger, first)
    assert second.moves(second.claims) == []
    assert second.traffic == Traffic(reused=100)


def test_whoever_is_next_takes_over_from_one_that_failed(ledger: Ledger) -> None:
    first, second, third = (ticket(ledger, name, BASE) for name in ("one", "two", "three"))
    first.failed(first.moves(first.claims)[0].claim, ValueError("no"))
    with pytest.raises(ValueError, match="no"), first:
        first.moves(first.claims)
    assert idle(third)
    assert now(second) == [(BASE, "")]


def test_an_image_that_ends_without_a_manifest_gives_nothing_to_mount(ledger: Ledger) -> None:
    first, second = ticket(ledger, "one", BASE), ticket(ledger, "two", BASE)
    with first:
        upload(ledger, first)
    assert now(second) == [(BASE, "")]


def test_a_refused_mount_keeps_others_waiting_for_the_upload(ledger: Ledger) -> None:
    publish(ledger, "one", BASE)
    second = ticket(ledger, "two", BASE)
    move = second.moves(second.claims)[0]
    ledger.refused(move)
    ledger.uploaded(move.claim)
    assert second.traffic == Traffic(moved=100)


def test_a_registry_that_never_mounts_is_found_out(ledger: Ledger) -> None:
    blobs = [Descriptor("layer", Digest.of(bytes([number])), 1) for number in range(3)]
    publish(ledger, "one", *blobs, BASE)
    second = ticket(ledger, "two", *blobs)
    for move in second.moves(second.claims):
        assert move.mount_from == "one"
        ledger.refused(move)
    assert now(ticket(ledger, "three", BASE)) == [(BASE, "")]
    assert not idle(ticket(ledger, "four", BASE))


def test_one_mount_that_was_granted_is_enough_to_go_on_asking(ledger: Ledger) -> None:
    blobs = [Descriptor("layer", Digest.of(bytes([number])), 1) for number in range(9)]
    publish(ledger, "one", *blobs)
    second = ticket(ledger, "two", *blobs)
    granted, *refused = second.moves(second.claims)
    ledger.mounted(granted)
    for move in refused:
        ledger.refused(move)
    assert now(ticket(ledger, "three", blobs[0])) == [(blobs[0], "one")]


def test_what_was_there_before_may_be_no_more_than_a_leftover(ledger: Ledger) -> None:
    ledger.learn("old", {BASE.digest: Home.FOUND})
    first, second = ticket(ledger, "one", BASE), ticket(ledger, "two", BASE)
    move = first.moves(first.claims)[0]
    assert move.mount_from == "old"
    ledger.refused(move)
    assert idle(second)
    ledger.uploaded(move.claim)
    first.named(first.claims)
    assert now(second) == [(BASE, "one")]


def test_without_mounts_everybody_uploads(ledger: Ledger) -> None:
    ledger = Ledger(mounts=False)
    first, second = ticket(ledger, "one", BASE), ticket(ledger, "two", BASE)
    assert now(first) == now(second) == [(BASE, "")]


@pytest.mark.parametrize(
    ("known", "ask", "mount_from"),
    [(None, True, "one"), (None, False, ""), (Home.ABSENT, True, ""), (Home.ABSENT, False, "")],
)
def test_the_registry_is_asked_by_a_mount_from_the_repository_itself(
    ledger: Ledger, known: Home | None, ask: bool, mount_from: str
) -> None:
    if known is not None:
        ledger.learn("one", {BASE.digest: known})
    assert now(ticket(ledger, "one", BASE, ask=ask)) == [(BASE, mount_from)]


def test_the_answer_that_it_is_there_already(ledger: Ledger) -> None:
    first = ticket(ledger, "one", BASE, ask=True)
    ledger.mounted(first.moves(first.claims)[0])
    assert first.traffic == Traffic(reused=100)


def test_refusing_to_mount_from_the_repository_itself_says_nothing_about_mounts(ledger: Ledger) -> None:
    blobs = [Descriptor("layer", Digest.of(bytes([number])), 1) for number in range(5)]
    first = ticket(ledger, "one", *blobs, ask=True)
    for move in first.moves(first.claims):
        ledger.refused(move)
        ledger.uploaded(move.claim)
    first.named(first.claims)
    assert now(ticket(ledger, "two", blobs[0])) == [(blobs[0], "one")]


def test_a_blob_that_the_registry_misses_after_all_is_uploaded(ledger: Ledger) -> None:
    ledger.learn("one", {BASE.digest: Home.FOUND})
    first = ticket(ledger, "one", BASE, TOP)
    upload(ledger, first)
    first.insist(first.claims)
    assert now(first) == [(BASE, "")]


def test_what_is_learnt_while_it_is_being_brought_does_not_count(ledger: Ledger) -> None:
    first = ticket(ledger, "one", BASE)
    ledger.learn("one", {BASE.digest: Home.FOUND})
    assert now(first) == [(BASE, "")]
    assert ledger.unknown("one", [BASE.digest]) == [BASE.digest]


def test_leaving_waits_for_work_that_was_begun(ledger: Ledger) -> None:
    first = ticket(ledger, "one", BASE, TOP)
    base, top = first.moves(first.claims)
    left = threading.Event()

    def leave() -> None:
        with first:
            first.failed(base.claim, ValueError())
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    second = ticket(ledger, "one", TOP)
    assert idle(second)
    assert not left.is_set()
    ledger.uploaded(top.claim)
    assert left.wait(PATIENCE)
    thread.join()
    assert second.moves(second.claims) == []


# ------------------------------------------------------------------ what it will cost


def test_the_plan_counts_each_blob_once_in_the_order_of_names(ledger: Ledger) -> None:
    images = {"c/x:1": "c/x", "a/x:2": "a/x", "a/x:1": "a/x", "b/x:1": "b/x"}
    plans = {name: ledger.plan(name, repository, [BASE]) for name, repository in images.items()}
    assert {name: traffic() for name, traffic in plans.items()} == {
        "a/x:1": Traffic(moved=100),
        "a/x:2": Traffic(reused=100),
        "b/x:1": Traffic(mounted=100),
        "c/x:1": Traffic(mounted=100),
    }


@pytest.mark.parametrize(("mounts", "expected"), [(True, Traffic(mounted=100)), (False, Traffic(moved=100))])
def test_the_plan_counts_on_what_other_repositories_have(mounts: bool, expected: Traffic) -> None:
    ledger = Ledger(mounts=mounts)
    ledger.learn("other", {BASE.digest: Home.FOUND})
    assert ledger.plan("one:1", "one", [BASE])() == expected


# ------------------------------------------------------------------ many at once


@dataclass
class Registry:
    """Mounts only what a manifest names, as ECR does, and tolerates one writer of a blob a repository."""

    mounts: bool
    failing: set[tuple[str, Digest]]
    lock: threading.Lock = field(default_factory=threading.Lock)
    there: set[tuple[str, Digest]] = field(default_factory=set)
    named: set[tuple[str, Digest]] = field(default_factory=set)
    writing: set[tuple[str, Digest]] = field(default_factory=set)
    uploads: Counter[Digest] = field(default_factory=Counter)
    clashes: list[tuple[str, Digest]] = field(default_factory=list)

    def write(self, ledger: Ledger, move: Move) -> None:
        place = move.claim.ticket.repository, move.claim.blob.digest
        with self.lock:
            if place in self.writing:
                self.clashes.append(place)
            self.writing.add(place)
            origin = move.mount_from, place[1]
            mounted = bool(move.mount_from) and self.mounts and origin in self.named
            fails = place in self.failing
            self.failing.discard(place)
        threading.Event().wait(0)
        with self.lock:
            self.writing.discard(place)
            if fails:
                raise OSError(f"{place}")
            self.there.add(place)
            self.uploads[place[1]] += not mounted
        if mounted:
            ledger.mounted(move)
            return
        if move.mount_from:
            ledger.refused(move)
        ledger.uploaded(move.claim)


def copy(ledger: Ledger, registry: Registry, repository: str, blobs: list[Descriptor]) -> Traffic | None:
    """As a transport does it, one blob after the other."""
    with ledger.ticket(repository, blobs, ask=False) as ticket:
        try:
            while moves := ticket.moves(ticket.claims):
                for move in moves:
                    registry.write(ledger, move)
        except OSError:
            for claim in ticket.claims.values():
                ticket.over(claim)
            return None
        with registry.lock:
            registry.named |= {(repository, digest) for digest in ticket.claims}
        ticket.named(ticket.claims)
        return ticket.traffic


def run(works: list[Callable[[], None]]) -> Iterator[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        yield thread


IMAGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True)),
    min_size=1,
    max_size=6,
)


@given(
    images=IMAGES,
    mounts=st.sampled_from([(True, True), (True, False), (False, False)]),
    failing=st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 4))),
)
def test_all_come_to_an_end_whatever_fails_and_each_blob_crosses_once(
    images: list[tuple[str, list[int]]], mounts: tuple[bool, bool], failing: set[tuple[str, int]]
) -> None:
    """`mounts`: whether the registry is said to mount, and whether it does."""
    blobs = [Descriptor("layer", Digest.of(bytes([number])), 10**number) for number in range(5)]
    ledger = Ledger(mounts=mounts[0])
    registry = Registry(mounts[1], {(name, blobs[number].digest) for name, number in failing})
    wanted = [(name, [blobs[number] for number in numbers]) for name, numbers in images]
    plans = [ledger.plan(f"{name}:{place}", name, parts) for place, (name, parts) in enumerate(wanted)]
    planned = [traffic() for traffic in plans]
    results: list[Traffic | None] = [None] * len(wanted)

    def work(place: int) -> Callable[[], None]:
        def copy_one() -> None:
            results[place] = copy(ledger, registry, *wanted[place])

        return copy_one

    stuck = [thread for thread in run([work(place) for place in range(len(wanted))]) if thread.is_alive()]
    assert not stuck
    assert not registry.clashes
    done = [result for result in results if result]
    if not failing:
        assert len(done) == len(wanted)
        if mounts[0] == mounts[1]:
            assert total(done) == total(planned)
        if mounts == (True, True):
            assert set(registry.uploads.values()) == {1}
    for (name, parts), result in zip(wanted, results, strict=True):
        assert result is None or {(name, blob.digest) for blob in parts} <= registry.there


def total(traffic: list[Traffic]) -> tuple[int, int, int]:
    return (
        sum(one.moved for one in traffic),
        sum(one.reused for one in traffic),
        sum(one.mounted for one in traffic),
    )


# ------------------------------------------------------------------ what is expected


@pytest.mark.parametrize(("mounts", "other_repository"), [(True, 7 + 5), (False, 100 + 7 + 5)])
def test_each_ticket_expects_to_move_what_nobody_else_brings(mounts: bool, other_repository: int) -> None:
    ledger = Ledger(mounts=mounts)
    ledger.learn("a", {OTHER.digest: Home.FOUND})
    first = ticket(ledger, "a", BASE, OTHER)
    assert first.expected == 100
    assert ticket(ledger, "a", BASE, TOP).expected == 7
    again = Ledger(mounts=mounts)
    ticket(again, "a", BASE)
    assert ticket(again, "b", BASE, TOP, OTHER).expected == other_repository
