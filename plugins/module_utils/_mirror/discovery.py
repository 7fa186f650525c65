# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is on both sides of everything that is wished for, and what that comes to.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import ITEM_ERRORS, Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Destination,
    Item,
    MirrorError,
    PartlyKnownError,
    Present,
    Source,
    UnavailableError,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import (
    Conditions,
    Decision,
    decide,
    may_be_proven_by_config,
    proven_by_config,
    renamed,
    wants_new_tag,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import Unreachable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

# What Amazon ECR tells in one answer.
_BATCH = 100
_DIGEST_TAG = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\..*)?")


class Discovery:
    """`pool` has a thread for each request that may be under way."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        budget: PullBudget,
        pool: Executor,
        *,
        create_repositories: bool,
        skip_missing: bool,
        check_mode: bool,
    ) -> None:
        self._source, self._destination, self._budget, self._pool = source, destination, budget, pool
        self._create_repositories, self._check_mode = create_repositories, check_mode
        self._skip_missing = skip_missing
        self._heads = Heads(source)
        # Of the repositories that were listed, the tags that are named after a digest.
        self.digest_tags: dict[str, frozenset[str]] = {}

    def findings(self, wishes: Sequence[Wish]) -> list[Finding]:
        """One for each tag, with a decision, in the order of the wishes."""
        self._destination.look_up(dict.fromkeys(wish.repository for wish in wishes))
        self._source.expect({wish.source: None for wish in wishes})
        found = [finding for group in self._expanded(wishes) for finding in group]
        self.judge([finding for finding in found if finding.decision is None])
        return found

    def judge(self, findings: Sequence[Finding]) -> None:
        """Look at both sides, and decide."""
        presents = self._ask_destination(findings)
        self._ask_source(finding for finding in findings if finding.found is None)
        self._answer(findings, presents)
        self._heads.forget()
        for finding in findings:
            self._prove(finding)
        moved = [finding for finding in findings if self._rename(finding)]
        if moved:
            self._answer(moved, self._ask_destination(moved))
            for finding in moved:
                self._prove(finding)
        for finding in findings:
            if finding.found is not None and finding.decision is None:
                finding.decision = decide(finding.item, finding.found, finding.present, finding.conditions)

    # ------------------------------------------------------------------ which tags

    def _expanded(self, wishes: Sequence[Wish]) -> Iterator[list[Finding]]:
        """The findings of each wish. No tag of the destination is in two of them."""
        repositories = {wish.source.name: wish.source for wish in wishes if wish.selection}
        lists = {name: self._pool.submit(self._list, source) for name, source in repositories.items()}
        taken: dict[Reference, Item] = {}
        for wish in wishes:
            yield list(_distinct(self._of(wish, lists), taken))

    def _list(self, source: Reference) -> list[str]:
        tags = list(self._source.list_tags(source))
        self.digest_tags[source.name] = frozenset(filter(_DIGEST_TAG.fullmatch, tags))
        return tags

    def _of(self, wish: Wish, lists: Mapping[str, Future[list[str]]]) -> Iterator[Finding]:
        to = Reference(self._destination.registry, wish.repository)
        for name, identifier in wish.tags.items():
            yield Finding(Item(wish, _identified(wish.source, identifier), _identified(to, name)))
        if wish.selection is None:
            return
        nothing = Finding(Item(wish, wish.source, to))
        try:
            selected = wish.selection.select(lists[wish.source.name].result())
        except ITEM_ERRORS as error:
            nothing.fail(error)
            yield nothing
            return
        for one in selected:
            yield Finding(Item(wish, wish.source.with_tag(one.tag), to.with_tag(one.tag)))
        if not selected:
            self._no_match(nothing)
            yield nothing

    def _no_match(self, nothing: Finding) -> None:
        why = f"no tag of {nothing.item.source.name} is selected"
        if nothing.item.wish.require_match:
            nothing.fail(MirrorError(f"{why}, and require_match is set: check select, or leave out require_match"))
        else:
            nothing.decision = Decision("skip", why)

    # ------------------------------------------------------------------ both sides

    def _ask_source(self, findings: Iterable[Finding]) -> None:
        """All of them now; the answers are there when judged."""
        for finding in findings:
            self._heads.ask(self._pool, finding.item.source)

    def _ask_destination(self, findings: Sequence[Finding]) -> dict[tuple[str, str], Future[Mapping[str, Present]]]:
        """The answer that each repository and tag or digest will be in."""
        wanted: dict[str, dict[str, None]] = {}
        for finding in findings:
            to = finding.item.destination
            wanted.setdefault(to.repository, {})[to.identifier] = None
        answers = {}
        for repository, identifiers in wanted.items():
            if not self._destination.exists(repository):
                continue
            for batch in _batches(list(identifiers)):
                answer = self._pool.submit(self._destination.present, repository, batch)
                answers.update(dict.fromkeys(((repository, identifier) for identifier in batch), answer))
        return answers

    def _answer(
        self, findings: Sequence[Finding], presents: Mapping[tuple[str, str], Future[Mapping[str, Present]]]
    ) -> None:
        for finding in findings:
            to = finding.item.destination
            answer = presents.get((to.repository, to.identifier))
            try:
                if finding.found is None:
                    finding.found = self._heads.answer(finding.item.source)
                finding.present = _present(answer, to.identifier) if answer else None
                finding.conditions = Conditions(
                    exists=answer is not None,
                    immutable=to.tag is not None and self._destination.is_immutable(to.repository, to.tag),
                    may_create=self._create_repositories,
                    may_skip=self._skip_missing,
                )
            except UnavailableError:
                raise
            except ITEM_ERRORS as error:
                finding.fail(error)

    # ------------------------------------------------------------------ what that comes to

    def _rename(self, finding: Finding) -> bool:
        item, found = finding.item, finding.found
        if found is None or finding.decision or not wants_new_tag(item, found, finding.present, finding.conditions):
            return False
        finding.item = renamed(item, found)
        finding.note(f"{item.destination.tag} is immutable and stays what it is, so this is a new tag")
        return True

    def _prove(self, finding: Finding) -> None:
        """Decide what only the configuration can settle: an engine's image that could get no record."""
        item, found, present = finding.item, finding.found, finding.present
        if found is None or present is None or finding.decision:
            return
        if not may_be_proven_by_config(item, found, present, finding.conditions):
            return
        if self._check_mode and self._budget.meters(item.source.registry):
            finding.note("whether it is made of the source would cost pulls to find out")
            return
        try:
            finding.decision = proven_by_config(present, self._configs(finding, found))
        except ITEM_ERRORS as error:
            finding.fail(error)

    def _configs(self, finding: Finding, found: Descriptor) -> Iterator[Digest]:
        """The configurations that an engine may have taken over, read one after the other, and once."""
        if finding.configs:
            # All: it is asked again only where none of them was it.
            yield from finding.configs
            return
        for config in self._read_configs(finding.item, found):
            finding.configs += (config,)
            yield config

    def _read_configs(self, item: Item, found: Descriptor) -> Iterator[Digest]:
        self._budget.take(item.source.registry, 1)
        document = self._source.get_manifest(item.source.with_digest(found.digest))
        if isinstance(document, Manifest):
            if document.config:
                yield document.config.digest
            return
        for child in document.children:
            if child.platform in (item.wish.platforms or document.platforms):
                yield from self._read_configs(item, child)


class Heads:
    """What the source says to HEAD, asked once for each tag however many want to know."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._answers: dict[Reference, Future[Descriptor]] = {}
        # Registries that answered once, and those of which it is known that they do not.
        self._reached: set[str] = set()
        self._unreachable: dict[str, Unreachable] = {}

    def ask(self, pool: Executor, ref: Reference) -> None:
        if ref not in self._answers:
            self._answers[ref] = pool.submit(self._head, ref)

    def answer(self, ref: Reference) -> Descriptor:
        return self._answers[ref].result()

    def forget(self) -> None:
        self._answers.clear()

    def _head(self, ref: Reference) -> Descriptor:
        """A registry that never answered is not waited for again and again."""
        gone = self._unreachable.get(ref.registry)
        if gone and ref.registry not in self._reached:
            raise gone
        try:
            found = self._source.head_manifest(ref)
        except Unreachable as error:
            self._unreachable.setdefault(ref.registry, error)
            raise
        self._reached.add(ref.registry)
        return found


def _identified(repository: Reference, identifier: str) -> Reference:
    is_digest = ":" in identifier
    return repository.with_digest(Digest.parse(identifier)) if is_digest else repository.with_tag(identifier)


def _present(answer: Future[Mapping[str, Present]], identifier: str) -> Present | None:
    try:
        return answer.result().get(identifier)
    except PartlyKnownError as error:
        if identifier in error.failed:
            raise error.failed[identifier] from error
        return error.found.get(identifier)


def _distinct(findings: Iterable[Finding], taken: dict[Reference, Item]) -> Iterator[Finding]:
    """Without what is wished for in the same way before, and with a refusal of what contradicts that."""
    for finding in findings:
        first = taken.setdefault(finding.item.destination, finding.item)
        if first is not finding.item and finding.decision is None:
            if _same(first, finding.item):
                continue
            finding.decision = Decision(
                "refuse",
                f"{finding.item.destination} is also to be {first.source}, or that in another way: "
                "narrow one of the selections, or give one another repository",
            )
        yield finding


def _same(one: Item, other: Item) -> bool:
    def manner(wish: Wish) -> tuple[object, ...]:
        return wish.platforms, wish.transport, wish.on_moved_tag, wish.referrers, wish.dockerfile

    return one.source == other.source and manner(one.wish) == manner(other.wish)


def _batches(identifiers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(identifiers), _BATCH):
        yield identifiers[start : start + _BATCH]
