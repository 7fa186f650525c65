# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image references in files, and how they become addresses in one's own ECR: what to write where. Touches no file.

Private to this collection: may change in any release.

Those who read a kind of file give places, in which references stand. What covers a reference is asked of a function.
What changes are spans of the text, so that everything between them stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

REWRITTEN, OWN, KEPT, UNCOVERED, UNRESOLVED = STATES = ("rewritten", "own", "kept", "uncovered", "unresolved")

# What nobody calls an image: an address for it is one for every image of the repository.
_ANY_TAG = "any_tag.of-this_repository"
_ANY_DIGEST = f"sha256:{'0' * 64}"
_KEEP = re.compile(r"(?:#|/\*).*?\bstevedore:\s*keep\b")
# A line of its own. A directive of a Dockerfile is more.
_COMMENT = re.compile(r"\s*(?:#(?!\s*syntax\s*=)|\{\{-?\s*/\*)")
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$\([^()]*\)|\$\w+|\{\{.*?\}\}|\{%.*?%\}")
# Of Amazon EC2, such as in the resources of Karpenter.
_MACHINE = re.compile(r"ami-[0-9a-f]+")
_LITERAL = re.compile(r"[^\s${}]+")


class RewritingError(Exception):
    """Why a file cannot be read as what it is, with the line if there is one."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)


class NoTextError(RewritingError):
    """A file has something else than text in it, so that there is nothing to correct."""


class NotWritableError(Exception):
    """Why an address cannot be written where a reference stands."""


@dataclass(frozen=True, order=True)
class Edit:
    """Another text for a part of a file."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Change:
    """What to write: registry and repository, then tag and digest with their signs. Often only the first changes."""

    name: str
    tail: str
    keeps_tail: bool

    @property
    def registry(self) -> str:
        return self.name.partition("/")[0]

    @property
    def repository(self) -> str:
        return self.name.partition("/")[2]


class Writer(Protocol):
    def edits(self, change: Change) -> list[Edit]:
        """Raises NotWritableError."""


@dataclass(frozen=True)
class Whole:
    """A reference that stands in one piece."""

    start: int
    end: int

    def edits(self, change: Change) -> list[Edit]:
        return [Edit(self.start, self.end, change.name + change.tail)]


@dataclass(frozen=True)
class NameOnly:
    """A reference whose tag stands elsewhere."""

    start: int
    end: int

    def edits(self, change: Change) -> list[Edit]:
        if not change.keeps_tail:
            raise NotWritableError(f"it would need another tag, as it becomes {change.name}{change.tail}")
        return [Edit(self.start, self.end, change.name)]


@dataclass(frozen=True)
class Place:
    """A reference in a file.

    text: as it is written, put together if it stands in parts. May have variables in it.
    positions: where its parts stand; the first tells the line. A comment on the line of any of them can keep it.
    tag_elsewhere: whether the tag is only known to whoever uses the file.
    groups: references of the same group share a part of the text, and change together or not at all.
    problem: why it cannot be read. kept: why it is to stay.
    """

    text: str
    positions: tuple[int, ...]
    writer: Writer
    tag_elsewhere: bool = False
    groups: tuple[str, ...] = ()
    problem: str = ""
    kept: str = ""


@dataclass(frozen=True)
class Finding:
    """What becomes of a reference. `address` only where it is rewritten, `reason` only where it is not."""

    line: int
    reference: str
    state: str
    address: str = ""
    reason: str = ""
    edits: tuple[Edit, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aim:
    """Where references are to lead. `cover` tells the address of an image, or None if there is none."""

    registry: str
    cover: Callable[[str], str | None]
    _whole: dict[tuple[str, str], str | None] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "registry", Reference(self.registry, "any/name").registry)

    def whole_repository(self, name: str, joint: str) -> str | None:
        """The repository for all tags, or for all digests, of another one."""
        if (name, joint) not in self._whole:
            tail = joint + (_ANY_DIGEST if joint == "@" else _ANY_TAG)
            address = self.cover(name + tail)
            matches = address is not None and address.endswith(tail)
            self._whole[name, joint] = address.removesuffix(tail) if address is not None and matches else None
        return self._whole[name, joint]


def decide(places: Iterable[Place], text: str, aim: Aim) -> list[Finding]:
    """What becomes of each reference, in the order of the file."""
    lines = _Lines(text)
    found = [_decide(place, lines, aim) for place in sorted(places, key=lambda place: place.positions[0])]
    return _agreed(found)


def spliced(text: str, findings: Iterable[Finding]) -> str:
    """The text with what changes."""
    pieces, end = [], 0
    for edit in sorted({edit for finding in findings for edit in finding.edits}):
        if edit.start < end:
            raise RewritingError(f"two references are in one place, at character {edit.start}")
        pieces += [text[end : edit.start], edit.text]
        end = edit.end
    return "".join([*pieces, text[end:]])


def tail_of(image: Reference) -> str:
    """Tag and digest, as they are written after a name."""
    return str(image).removeprefix(image.name)


def line_starts(text: str) -> list[int]:
    """What positions can be searched in for the number of a line."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


# ------------------------------------------------------------------ one reference


class _Lines:
    """Where lines begin, and which have a comment that keeps what is there."""

    def __init__(self, text: str) -> None:
        self._starts = line_starts(text)
        self._kept = set(_kept_lines(text.split("\n")))

    def number(self, position: int) -> int:
        return bisect_right(self._starts, position)

    def keep(self, positions: Iterable[int]) -> bool:
        return any(self.number(position) in self._kept for position in positions)


def _kept_lines(lines: Sequence[str]) -> Iterable[int]:
    """A comment is for its line, and if it has one of its own, for the next that is more than a comment."""
    for number, line in enumerate(lines, start=1):
        if _KEEP.search(line):
            yield number
            following = number
            while _COMMENT.match(lines[following - 1]) and following < len(lines):
                following += 1
                yield following


def _decide(place: Place, lines: _Lines, aim: Aim) -> Finding:
    finding = Finding(lines.number(place.positions[0]), place.text, UNRESOLVED, groups=place.groups)
    if lines.keep(place.positions):
        return replace(finding, state=KEPT, reason="a comment says so")
    if place.kept:
        return replace(finding, state=KEPT, reason=place.kept)
    if place.problem:
        return replace(finding, reason=place.problem)
    try:
        return _led(finding, place, aim)
    except NotWritableError as problem:
        return replace(finding, reason=str(problem))
    except InvalidReferenceError as problem:
        return replace(finding, reason=str(problem))


def _led(finding: Finding, place: Place, aim: Aim) -> Finding:
    if _MACHINE.fullmatch(place.text):
        raise NotWritableError("it is the image of a machine")
    name, tail = _without_variables(place.text)
    old = Reference.parse(name)
    if old.registry == aim.registry:
        return replace(finding, state=OWN)
    if tail or place.tag_elsewhere:
        repository = aim.whole_repository(name, tail[:1] or ":")
        if repository is None:
            return replace(finding, state=UNCOVERED, reason="its tag is chosen elsewhere, and not every tag is covered")
        change = Change(repository, tail, keeps_tail=True)
    else:
        address = aim.cover(name)
        if address is None:
            reason = "nothing covers it by this digest" if old.digest else "nothing covers it"
            return replace(finding, state=UNCOVERED, reason=reason)
        new = Reference.parse(address)
        change = Change(new.name, tail_of(new), keeps_tail=tail_of(new) == tail_of(old))
    edits = tuple(place.writer.edits(change))
    return replace(finding, state=REWRITTEN, address=change.name + change.tail, edits=edits)


def _without_variables(text: str) -> tuple[str, str]:
    """What is literal of a reference, and the tag or digest with its sign if variables are in it."""
    literal = _LITERAL.match(text)
    if literal and literal.end() == len(text):
        return text, ""
    head = literal.group() if literal else ""
    # The sign is the one after the last slash. Before it is the port of a registry.
    cut = re.search(r"[:@][^/]*$", head)
    tail = text[cut.start() :] if cut else ""
    if not cut or not _VARIABLE.search(tail) or "/" in _VARIABLE.sub("", tail):
        shows_variable = _VARIABLE.search(text)
        raise NotWritableError("its name has variables in it" if shows_variable else "it is no image reference")
    return head[: cut.start()], tail


# ------------------------------------------------------------------ references that share a text


def _agreed(findings: list[Finding]) -> list[Finding]:
    """Of those that share a part of the text, all or none. What is held back can hold back others."""
    while True:
        blocked = {group: why for group, mine in _groups(findings).items() if (why := _blocked(group, mine))}
        agreed = [_unless_blocked(finding, blocked) for finding in findings]
        if agreed == findings:
            return agreed
        findings = agreed


def _groups(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        for group in finding.groups:
            found.setdefault(group, []).append(finding)
    return found


def _blocked(group: str, findings: Sequence[Finding]) -> str:
    """Why nothing of a group can change."""
    texts: dict[tuple[int, int], str] = {}
    for finding in findings:
        if finding.state != REWRITTEN:
            return f"{group} is for {finding.reference} too, which is not rewritten"
        for edit in finding.edits:
            if texts.setdefault((edit.start, edit.end), edit.text) != edit.text:
                return f"{group} is for several references that would need it to be different"
    return ""


def _unless_blocked(finding: Finding, blocked: dict[str, str]) -> Finding:
    why = next((blocked[group] for group in finding.groups if group in blocked), "")
    if not why or finding.state != REWRITTEN:
        return finding
    return replace(finding, state=UNRESOLVED, address="", edits=(), reason=why)
