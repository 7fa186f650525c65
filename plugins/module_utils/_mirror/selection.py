# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tags of a repository are meant.

Private to this collection: may change in any release.

A selection is a dictionary. A key that is missing or null asks for nothing.

- `globs`, `regex`, `semver`: a tag that matches any one of them is a candidate, and every tag is if there are none.
  See globs, patterns and semver for what they understand; all of them have to match the whole tag.
- `prereleases` (false): whether `semver` takes prereleases that it does not name. Variants such as `1.27.3-alpine` are
  prereleases to SemVer. It concerns `semver` and nothing else: what a glob matches is a candidate, whatever it is.
- `exclude`: `globs`, `regex` and `semver` again. A tag that matches any one of them is out, whatever else it matches.
  Here `semver` goes by the order of versions alone, and prereleases are in it like all others. So the alpine images
  since 1.27 are `globs: ["*-alpine"]` with `exclude: {semver: "<1.27"}`.
- `newest`: of the candidates that are not excluded, only so many, the highest first. Registries do not say when a tag
  was pushed, so that newest means highest in the order of `sort`.
- `sort`: `semver` is the order of versions; a tag that is none is after all others, and not among the newest. `natural`
  compares numbers in tags as numbers, the rest as text (`9` is before `10`, but also `1.0` before `1.0-rc1`). Not
  given, it is semver if every candidate is a version, natural otherwise. Tags that are equal in one order (`1.2` and
  `v1.2.0`) are in natural order among themselves.
- `part`: of what is selected, only the tags that fall to one part of several, by the hash of their names. Whatever tags
  there are, each falls to one part, so that several runs can share one repository: `{index: 0, of: 4}`.
- `digest_tags` (false): whether tags that are named after a digest are looked at, such as cosign's
  `sha256-<64 digits>.sig`, `.att` and `.sbom`, and the `sha256-<64 digits>` of OCI referrers. They belong to another
  image and travel with it; nothing else selects them.

What a registry gives as a tag and no registry may accept as one is never selected. The order in which tags come makes
no difference, nor do repetitions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.globs import Glob, GlobError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.patterns import Regex, RegexError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.semver import Range, RangeError, Version

SORTS = ("semver", "natural")
MATCHER_KEYS = ("globs", "regex", "semver")
KEYS = (*MATCHER_KEYS, "exclude", "newest", "sort", "prereleases", "part", "digest_tags")

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]")
_DIGEST_TAG = re.compile(r"sha(256|384|512)-[0-9a-f]{64,128}(\..*)?")
_NUMBER_OR_TEXT = re.compile(r"([0-9]+)|[^0-9]+")

T = TypeVar("T")
NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]


class SelectionError(ValueError):
    """Everything that is wrong with a selection: for each problem the field, what is wrong and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Selected:
    tag: str
    why: str


@dataclass(frozen=True)
class Rejected:
    tag: str
    why: str


@dataclass(frozen=True)
class Explanation:
    """Every tag once, the selected ones highest first."""

    selected: tuple[Selected, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class Matchers:
    """Ways to match a tag, of which one is enough."""

    globs: tuple[Glob, ...] = ()
    regexes: tuple[Regex, ...] = ()
    range: Range | None = None

    def match(self, tag: str, *, prereleases: bool) -> str | None:
        """What matches the tag, in words."""
        for glob in self.globs:
            if glob.matches(tag):
                return f"the glob {glob.text!r}"
        for regex in self.regexes:
            if regex.matches(tag):
                return f"the regex {regex.text!r}"
        version = Version.parse(tag) if self.range else None
        if self.range and version and self.range.has(version, prereleases=prereleases):
            return f"the semver range {self.range.text!r}"
        return None

    def __bool__(self) -> bool:
        return bool(self.globs or self.regexes or self.range)


@dataclass(frozen=True)
class Part:
    """One of several that tags are shared out to."""

    index: int
    of: int

    def has(self, tag: str) -> bool:
        return int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8], "big") % self.of == self.index


@dataclass(frozen=True)
class Selection:
    include: Matchers = Matchers()
    exclude: Matchers = Matchers()
    newest: int | None = None
    sort: str | None = None
    prereleases: bool = False
    part: Part | None = None
    digest_tags: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Selection:
        """Raises SelectionError with all problems."""
        return _Reader().selection(options)

    def select(self, tags: Iterable[str]) -> list[Selected]:
        """The tags that are meant, highest first, with the reason for each."""
        return list(self.explain(tags).selected)

    def explain(self, tags: Iterable[str]) -> Explanation:
        """What happens to each tag, and why."""
        candidates: list[Selected] = []
        rejected: list[Rejected] = []
        for tag in _highest_first(tags):
            included, why = self._verdict(tag)
            if included:
                candidates.append(Selected(tag, why))
            else:
                rejected.append(Rejected(tag, why))
        versions = {candidate.tag: Version.parse(candidate.tag) for candidate in candidates}
        sort = self.sort or ("semver" if all(versions.values()) else "natural")
        if sort == "semver":
            # The empty tuple is before all versions. What is equal stays in natural order.
            candidates.sort(key=lambda candidate: versions[candidate.tag] or (), reverse=True)
        if self.newest is not None:
            ranked = [candidate for candidate in candidates if sort == "natural" or versions[candidate.tag]]
            rank = f"among the newest {self.newest} of {len(ranked)} in {sort} order"
            rejected += [Rejected(one.tag, f"not {rank}") for one in ranked[self.newest :]]
            # In semver order, what is no version comes after all that is ranked.
            rejected += [Rejected(one.tag, f"not a version, so not {rank}") for one in candidates[len(ranked) :]]
            candidates = [Selected(one.tag, f"{one.why}, {rank}") for one in ranked[: self.newest]]
        if self.part is not None:
            where = f"in part {self.part.index} of {self.part.of}"
            rejected += [Rejected(one.tag, f"not {where}") for one in candidates if not self.part.has(one.tag)]
            candidates = [Selected(one.tag, f"{one.why}, {where}") for one in candidates if self.part.has(one.tag)]
        return Explanation(tuple(candidates), tuple(rejected))

    def _verdict(self, tag: str) -> tuple[bool, str]:
        """Whether a tag is a candidate, and why it is or is not."""
        if not _TAG.fullmatch(tag):
            return False, "not a tag that a registry may have (128 characters of A-Z a-z 0-9 _ . - and no . or - first)"
        if not self.digest_tags and _DIGEST_TAG.fullmatch(tag):
            return False, "named after the digest of another image, with which it travels (digest_tags is false)"
        matched = self.include.match(tag, prereleases=self.prereleases)
        if self.include and not matched:
            if Matchers(range=self.include.range).match(tag, prereleases=True):
                return False, "in the semver range but for being a prerelease (prereleases is false)"
            return False, "matches nothing that is selected"
        excluded_by = self.exclude.match(tag, prereleases=True)
        if excluded_by:
            return False, f"excluded by {excluded_by}"
        return True, f"matches {matched}" if matched else "every tag is selected"


def natural_key(tag: str) -> NaturalKey:
    """By which tags are in natural order: numbers as numbers and before text, and no two tags equal."""
    parts = _NUMBER_OR_TEXT.finditer(tag)
    return tuple((0, int(part[1]), "") if part[1] else (1, 0, part[0]) for part in parts), tag


def _highest_first(tags: Iterable[str]) -> list[str]:
    # Python reads no numbers of thousands of digits: what is too long for a tag goes last, as text.
    distinct = set(tags)
    valid = {tag for tag in distinct if _TAG.fullmatch(tag)}
    return [*sorted(valid, key=natural_key, reverse=True), *sorted(distinct - valid)]


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


class _Reader:
    """Reads a selection, and goes on after a problem."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def selection(self, options: Mapping[str, Any]) -> Selection:
        self._known_keys(options, KEYS, "")
        excluded = self._value(options, "exclude", dict, "a dictionary with globs, regex or semver") or {}
        self._known_keys(excluded, MATCHER_KEYS, "exclude.")
        newest = self._value(options, "newest", int, "a whole number of at least 1")
        if newest is not None and newest < 1:
            self._problems.append(f"newest: {newest} would select nothing: give at least 1, or leave it out for all")
        sort = options.get("sort")
        if sort not in (None, *SORTS):
            self._problems.append(f"sort: {sort!r} is not one of {', '.join(SORTS)}")
        selection = Selection(
            include=self._matchers(options, ""),
            exclude=self._matchers(excluded, "exclude."),
            newest=newest,
            sort=sort,
            prereleases=self._value(options, "prereleases", bool, "true or false") or False,
            part=self._part(options),
            digest_tags=self._value(options, "digest_tags", bool, "true or false") or False,
        )
        if self._problems:
            raise SelectionError(self._problems)
        return selection

    def _part(self, options: Mapping[str, Any]) -> Part | None:
        given = self._value(options, "part", dict, "a dictionary with index and of")
        if given is None:
            return None
        if set(given) == {"index", "of"} and all(_is_whole(number) for number in given.values()):
            part = Part(given["index"], given["of"])
            if 0 <= part.index < part.of:
                return part
        self._problems.append(f"part: must have of, and an index from 0 up to it, not {given!r}")
        return None

    def _known_keys(self, options: Mapping[str, Any], known: Sequence[str], where: str) -> None:
        unknown = [str(key) for key in options if key not in known]
        self._problems += [f"{where}{key}: unknown, use one of {', '.join(known)}" for key in unknown]

    def _value(self, options: Mapping[str, Any], key: str, kind: type[T], expected: str) -> T | None:
        value = options.get(key)
        # To Python, true is a number too.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        if value is not None:
            self._problems.append(f"{key}: must be {expected}, not {value!r}")
        return None

    def _matchers(self, options: Mapping[str, Any], where: str) -> Matchers:
        return Matchers(
            globs=self._patterns(options, "globs", where, _tag_glob),
            regexes=self._patterns(options, "regex", where, Regex.parse),
            range=self._pattern(options.get("semver"), f"{where}semver", Range.parse),
        )

    def _patterns(self, options: Mapping[str, Any], key: str, where: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        value = options.get(key)
        if not isinstance(value, (list, tuple)):
            parsed = [self._pattern(value, f"{where}{key}", parse)]
        elif value:
            parsed = [
                self._pattern("" if one is None else one, f"{where}{key}[{index}]", parse)
                for index, one in enumerate(value)
            ]
        else:
            self._problems.append(f"{where}{key}: an empty list: give a pattern, or leave it out")
            parsed = []
        return tuple(one for one in parsed if one is not None)

    def _pattern(self, value: Any, field: str, parse: Callable[[str], T]) -> T | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self._problems.append(f"{field}: must be text, not {value!r}: put it in quotes")
        elif not value.strip():
            self._problems.append(f"{field}: empty, which matches no tag: give a pattern, or leave it out")
        else:
            try:
                return parse(value)
            except (GlobError, RegexError, RangeError) as error:
                self._problems.append(f"{field}: {value!r}: {error}")
        return None


def _tag_glob(text: str) -> Glob:
    """A glob that can match a tag."""
    glob = Glob.parse(text)
    impossible = sorted(filter(_NOT_IN_TAGS.match, glob.literals))
    if impossible:
        way_out = "write {1,2} for [12]" if {"[", "]"} & {*impossible} else "leave it out"
        raise GlobError(f"can match no tag, as none has {' or '.join(map(repr, impossible))}: {way_out}")
    return glob
