# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Globs: patterns for tags that read like file names with wildcards.

Private to this collection: may change in any release.

A glob has to match the whole text, and case counts.

- `*`      any characters, or none, but no `/`
- `**`     any characters, or none, `/` too (so do more than two)
- `?`      exactly one character, but no `/`
- `{a,b}`  one of the alternatives: any glob each, also with braces of its own, also empty (`1.27{,-alpine}`)
- `\\`      takes the meaning from the character after it

Every other character stands for itself: `[` and `]` too, as there are no sets (`{1,2}` says what `[12]` says
elsewhere), `.` too, and a comma outside braces. Alternatives are not multiplied out and nothing is tried twice: see
patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.patterns import Regex

_TOKENS = re.compile(r"\*+|\\.?|.", re.DOTALL)
_WILDCARDS = {"*": "[^/]*", "**": r"[\s\S]*", "?": "[^/]"}


class GlobError(ValueError):
    """Why a glob is refused, and what to write instead."""


@dataclass(frozen=True)
class Glob:
    text: str
    # The characters that stand for themselves.
    literals: frozenset[str] = field(repr=False, compare=False)
    _regex: Regex = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Glob:
        """Of what cannot be parsed, raises GlobError, or RegexError if it is too large."""
        regex: list[str] = []
        literals: set[str] = set()
        depth = 0
        for token in _TOKENS.findall(text):
            if token == "\\":
                raise GlobError("ends in a \\ that has nothing to escape: leave it out")
            if token == "{":
                depth += 1
                regex.append("(?:")
            elif token == "}":
                if not depth:
                    raise GlobError(
                        "closes a brace that was not opened: leave out the }, or write \\} for the character"
                    )
                depth -= 1
                regex.append(")")
            elif token == "," and depth:
                regex.append("|")
            elif token[:2] in _WILDCARDS:
                regex.append(_WILDCARDS[token[:2]])
            else:
                literals.add(token[-1])
                regex.append(re.escape(token[-1]))
        if depth:
            raise GlobError("opens a brace that is not closed: add a }, or write \\{ for the character")
        return cls(text, frozenset(literals), Regex.parse("".join(regex)))

    def matches(self, text: str) -> bool:
        return self._regex.matches(text)
