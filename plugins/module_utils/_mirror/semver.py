# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions as image tags write them, and ranges of them.

Private to this collection: may change in any release.

**A version** is one to three numbers joined by dots, after an optional `v`, and before an optional suffix of a `-` and
letters, digits, `-` and `.`: `1.27.3`, `v2`, `22.04`, `1.27-alpine`. Missing numbers count as 0 and zeros in front do
not count, so `1.27`, `v1.27.0` and `1.027` are equal. Nothing else is a version: not `latest`, `1.2.3.4`, `1.2.x`,
`1.2.3_4` or `1.2.3alpine`. Any single number is one, also a date or a build number: `20240115` is above `>=1`, but not
in `>=1 <1000`. Build metadata (`+5`) cannot be in a tag.

**The order** is that of SemVer 2.0.0: by number, then a version with a suffix is before the one without, then the
dotted parts of the suffix in turn: numbers by value and before words, words by ASCII, fewer before more.

**A suffix is a prerelease**, as SemVer knows no variants: `1.27.3-alpine` comes before `1.27.3`, as `1.27.3-rc.1` does.

**A range** is one or more conditions, separated by spaces or commas, that must all be met; `||` separates ranges of
which one is enough. Conditions are:

- `>=1.2.3`, `>1.2.3`, `<1.2.3`, `<=1.2.3`, `=1.2.3` (or just `1.2.3`), `!=1.2.3`: by the order above
- `^1.2.3`: from there, as long as the first number that is not 0 stays (`<2`; `^0.2.3`: `<0.3`; `^0.0.3`:
  `<0.0.4`; of zeros alone, the last one: `^0.0`: `<0.1`)
- `~1.2.3`: from there, as long as the first two numbers stay (`<1.3`; `~1`: `<2`)
- `1.2.3 - 1.4.0`, with spaces around the hyphen: from the first to the second, both included
- `*`: all

A number that is missing, or given as `x`, `X` or `*`, stands for any: `1.2`, `1.2.x` and `=1.2` are all of 1.2;
`<=1.2` and `1.1 - 1.2` reach to the end of 1.2, `>1.2` starts at 1.3, `!=1.2` leaves out all of it. All of 1.2 includes
the prereleases of 1.2.0 and leaves out those of 1.3.0; so `<2` is without `2.0.0-rc.1`, but `<2.0.0` has it.

**Prereleases are in a range** only if asked for (`prereleases`), or if one of the conditions (other than `!=`) names a
prerelease with the same three numbers: `>=1.4.0-rc.1` has `1.4.0-rc.2` and `1.5.0`, but not `1.5.0-rc.1`.

A range that no version can meet, such as `>2 <1`, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# No tag is longer.
MAX_CHARACTERS = 128

_SUFFIX = r"(?:-(?P<suffix>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_SUFFIX}")
_BORDER = re.compile(rf"v?([0-9]+|[xX*])(?:\.([0-9]+|[xX*]))?(?:\.([0-9]+|[xX*]))?{_SUFFIX}")
_SPACED_OPERATOR = re.compile(r"([<>=!^~])\s+")

Numbers = tuple[int, ...]
# The dotted parts of a suffix, such that comparing the tuples is comparing as SemVer does.
Suffix = tuple[tuple[int, int, str], ...]


class RangeError(ValueError):
    """Why a range is refused, and what to write instead."""


class Version(NamedTuple):
    """A version, such that comparing the tuples is comparing as SemVer does."""

    numbers: Numbers
    is_release: bool
    suffix: Suffix = ()

    @classmethod
    def parse(cls, tag: str) -> Version | None:
        found = _VERSION.fullmatch(tag) if len(tag) <= MAX_CHARACTERS else None
        if found is None:
            return None
        return cls(
            tuple(int(number or 0) for number in found.groups()[:3]), not found["suffix"], _suffix(found["suffix"])
        )


def _suffix(text: str | None) -> Suffix:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in (text or "").split(".") if text)


# A place just before a version (-1) or just after it (1), where the version itself is at 0.
_Edge = tuple[Version, int]


def _before_all_of(numbers: Numbers) -> _Edge:
    """Before the first prerelease of the first version that begins with these numbers."""
    return Version(_padded(numbers), is_release=False), -1


def _padded(numbers: Numbers) -> Numbers:
    return (*numbers, 0, 0, 0)[:3]


_BEGINNING = _before_all_of(())
_END = _before_all_of((10**MAX_CHARACTERS,))


@dataclass(frozen=True)
class _Condition:
    """The versions between two edges, or all others."""

    low: _Edge
    high: _Edge
    negated: bool = False
    # The numbers of the prereleases that it names.
    named: tuple[Numbers, ...] = ()

    def is_met_by(self, version: Version) -> bool:
        return (self.low < (version, 0) < self.high) != self.negated


@dataclass(frozen=True)
class Range:
    text: str
    _alternatives: tuple[tuple[_Condition, ...], ...] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Range:
        """Raises RangeError with everything that is wrong."""
        alternatives: list[tuple[_Condition, ...]] = []
        problems: list[str] = []
        for part in text.split("||"):
            try:
                alternatives.append(_conditions(part))
            except RangeError as error:
                problems.append(str(error))
        if problems:
            raise RangeError("; ".join(problems))
        return cls(text, tuple(alternatives))

    def has(self, version: Version, *, prereleases: bool) -> bool:
        """Whether a version is in the range; whether a prerelease can be without being named."""
        return any(
            all(condition.is_met_by(version) for condition in conditions)
            and (version.is_release or prereleases or _is_named(version, conditions))
            for conditions in self._alternatives
        )


def _is_named(version: Version, conditions: Sequence[_Condition]) -> bool:
    return any(version.numbers in condition.named for condition in conditions)


def _conditions(text: str) -> tuple[_Condition, ...]:
    words = _SPACED_OPERATOR.sub(r"\1", text).replace(",", " ").split()
    if not words:
        raise RangeError("a range has no condition: write * for all versions")
    conditions = tuple(_parsed(words))
    if _is_contradiction(conditions):
        raise RangeError(
            f"no version can meet {text.strip()!r}, as all conditions must be met: "
            "write || between those of which one is enough"
        )
    return conditions


def _parsed(words: Sequence[str]) -> Iterator[_Condition]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if len(rest) > 1 and rest[0] == "-":
            first, last = _Border.parse(word), _Border.parse(rest[1])
            del rest[:2]
            yield _Condition(first.low, last.high, named=first.named + last.named)
        else:
            yield _condition(word)


def _is_contradiction(conditions: Sequence[_Condition]) -> bool:
    """Whether nothing is left between the edges that are the narrowest, less what is negated."""
    wanted = [condition for condition in conditions if not condition.negated]
    low = max((condition.low for condition in wanted), default=_BEGINNING)
    high = min((condition.high for condition in wanted), default=_END)
    for hole in sorted((condition.low, condition.high) for condition in conditions if condition.negated):
        if hole[0] <= low:
            low = max(low, hole[1])
    return low >= high


@dataclass(frozen=True)
class _Border:
    """A version in a range, of which maybe only the first numbers are known. With a suffix, all are."""

    known: Numbers
    suffix: str | None

    @classmethod
    def parse(cls, text: str) -> _Border:
        found = _BORDER.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
        if found is None:
            raise RangeError(f"{text!r} is not a version such as 1.2.3, 1.2, 1.x or 1.2.3-rc.1")
        given = [number for number in found.groups()[:3] if number]
        known = [number for number in given if number.isdigit()]
        if given[: len(known)] != known or (found["suffix"] and len(known) < len(given)):
            raise RangeError(f"{text!r} goes on after a wildcard: end it there")
        numbers = tuple(int(number) for number in known)
        return cls(_padded(numbers) if found["suffix"] else numbers, found["suffix"])

    @property
    def named(self) -> tuple[Numbers, ...]:
        return (self.known,) if self.suffix else ()

    @property
    def low(self) -> _Edge:
        return (self._version, -1) if len(self.known) == 3 else _before_all_of(self.known)

    @property
    def high(self) -> _Edge:
        return (self._version, 1) if len(self.known) == 3 else self.end_of(len(self.known))

    @property
    def _version(self) -> Version:
        return Version(self.known, not self.suffix, _suffix(self.suffix))

    def end_of(self, count: int) -> _Edge:
        """Where the first numbers change."""
        kept = self.known[:count]
        return _before_all_of((*kept[:-1], kept[-1] + 1)) if kept else _END


def _condition(word: str) -> _Condition:
    operator = word[: len(word) - len(word.lstrip("<>=!^~"))]
    border = _Border.parse(word.removeprefix(operator))
    edges = {
        "": (border.low, border.high),
        "=": (border.low, border.high),
        "!=": (border.low, border.high),
        "<": (_BEGINNING, border.low),
        "<=": (_BEGINNING, border.high),
        ">": (border.high, _END),
        ">=": (border.low, _END),
        "^": (border.low, border.end_of(_kept_by_caret(border.known))),
        "~": (border.low, border.end_of(2)),
    }
    if operator not in edges:
        raise RangeError(f"{operator!r} in {word!r} is not one of {' '.join(edges).strip()}")
    if operator == "!=":
        return _Condition(*edges[operator], negated=True)
    return _Condition(*edges[operator], named=border.named)


def _kept_by_caret(numbers: Numbers) -> int:
    return next((place for place, number in enumerate(numbers, start=1) if number), len(numbers))
