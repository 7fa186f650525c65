# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Regular expressions that cannot hang: matching takes time in proportion to the text, whatever the pattern.

Private to this collection: may change in any release.

The language is that of Python's `re`, and a pattern has to match the whole text. Python itself tries one way after the
other, and with a pattern such as `(a+)+b` there are more ways through a tag of 40 characters than a run has seconds:
that tags are short is no protection. Here all ways are followed at once (Thompson's construction), so that neither a
careless pattern nor the tags of a hostile registry can stop a run.

What cannot be matched that way is refused, as the registry tools written in Go refuse it: lookahead and lookbehind,
backreferences, atomic groups and possessive repetition. So are word boundaries, comments, flags other than `(?i)` at
the beginning, and characters by number (`\\x2e`), which tags do not need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

# A state is a place in the pattern: about one a character, times the repetition counts around it.
MAX_STATES = 5_000
# How many states the steps that are remembered may have together, so that memory stays bounded.
MAX_REMEMBERED = 500_000

_MATCHED = 0
# Steps without a character: into the pattern, and off its end.
_START = "start"
_END = "end"
_COUNTS = re.compile(r"\{(?P<least>[0-9]*)(?P<more>,(?P<most>[0-9]*))?\}")
_SET = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_GROUP = re.compile(r"\((?!\?)|\(\?:|\(\?P<\w+>")
_IGNORE_CASE = "(?i)"
_ANCHORS = {"^": "^", "$": "$", "\\A": "^", "\\Z": "$"}
_SIMPLE_ESCAPES = "dDwWsSafnrtv"
_WAYS_OUT = {
    "(?=": "lookahead is not supported",
    "(?!": "lookahead is not supported: put what must not match under exclude",
    "(?<": "lookbehind is not supported: put what must not match under exclude",
    "(?>": "atomic groups are not supported: write (?:...), which is as fast here",
}

States = frozenset[int]


class RegexError(ValueError):
    """Why a pattern is refused, and what to write instead."""


@dataclass
class _State:
    """A place in the pattern, where one goes from there, and what is needed to go."""

    targets: list[int]
    character: re.Pattern[str] | None = None
    anchor: str = ""

    @property
    def waits(self) -> bool:
        """Whether it is left only by a character, or at the end of the text."""
        return self.character is not None or self.anchor == "$"


# A part of a pattern: makes the states for it in front of the given one, and says which comes first.
_Part = Callable[[int], int]


@dataclass(frozen=True)
class Regex:
    """A pattern, equal to another if the text is."""

    text: str
    _states: Sequence[_State] = field(repr=False, compare=False)
    _steps: dict[tuple[States, str], States] = field(repr=False, compare=False, default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Regex:
        try:
            re.compile(text)
            parser = _Parser(text)
            parser.parse()
        except re.error as error:
            raise RegexError(f"is not a regular expression: {error}") from error
        except OverflowError as error:
            raise RegexError(f"is not a regular expression: {error}: repeat less often") from error
        except RecursionError as error:
            raise RegexError("has too many groups inside groups: write them side by side") from error
        return cls(text, parser.states)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches all of the text."""
        reached = self._following(frozenset(), _START)
        for character in text:
            reached = self._following(reached, character)
            if not reached:
                return False
        return _MATCHED in self._following(reached, _END)

    def _following(self, reached: States, character: str) -> States:
        step = reached, character
        following = self._steps.get(step)
        if following is None:
            following = self._step(reached, character)
            if len(self._steps) * len(self._states) > MAX_REMEMBERED:
                self._steps.clear()
            self._steps[step] = following
        return following

    def _step(self, reached: States, character: str) -> States:
        if character == _START:
            return self._from([len(self._states) - 1], anchor="^")
        if character == _END:
            return self._from(reached, anchor="$")
        states = [self._states[number] for number in reached]
        return self._from(
            target
            for state in states
            if state.character is not None and state.character.fullmatch(character)
            for target in state.targets
        )

    def _from(self, numbers: Iterable[int], anchor: str = "") -> States:
        """The states that can be reached from these without a character, and that something waits at."""
        seen: set[int] = set()
        pending = list(numbers)
        while pending:
            number = pending.pop()
            if number not in seen:
                seen.add(number)
                state = self._states[number]
                if state.character is None and state.anchor in ("", anchor):
                    pending.extend(state.targets)
        return frozenset(number for number in seen if number == _MATCHED or self._states[number].waits)


class _Parser:
    """Reads a pattern that Python has accepted."""

    def __init__(self, text: str) -> None:
        self.states = [_State([])]
        self._text = text
        self._at = 0
        self._flags = 0
        self._characters: dict[str, re.Pattern[str]] = {}

    def parse(self) -> None:
        """Make the states of the whole pattern, of which the last made is the first of the pattern."""
        if self._skip(_IGNORE_CASE):
            self._flags = re.IGNORECASE
        self._add(_State([self._alternatives()(_MATCHED)]))

    def _alternatives(self) -> _Part:
        parts = [self._sequence()]
        while self._skip("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else self._any_of(parts)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._item()))
        return self._all_of(parts)

    def _item(self) -> _Part:
        if self._text[self._at] == "(":
            return self._group()
        if self._text[self._at] == "[":
            return self._one(self._take(_SET))
        word = self._text[self._at : self._at + (2 if self._text[self._at] == "\\" else 1)]
        self._at += len(word)
        if word in _ANCHORS:
            return self._anchor(_ANCHORS[word])
        if len(word) == 2 and word[1].isalnum() and word[1] not in _SIMPLE_ESCAPES:
            kind = "refers back to a group, which is not supported" if word[1].isdigit() else "is not supported"
            raise RegexError(f"{word} {kind}: write out the characters that may stand there")
        return self._one(word if word != "{" else r"\{")

    def _group(self) -> _Part:
        if not self._take(_GROUP):
            opening = self._text[self._at : self._at + 3]
            raise RegexError(
                _WAYS_OUT.get(opening, f"{opening} is not supported: use (?:...), or (?i) at the beginning")
            )
        inside = self._alternatives()
        self._skip(")")
        return inside

    def _repeated(self, part: _Part) -> _Part:
        counts = self._counts()
        if counts is None:
            return part
        if self._skip("+"):
            raise RegexError("possessive repetition (a + after another) is not supported: leave out the last +")
        self._skip("?")  # lazy or not makes no difference to whether the whole text matches
        return self._times(part, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        for sign, counts in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self._skip(sign):
                return counts
        found = _COUNTS.match(self._text, self._at)
        if found is None or found.group() == "{}":
            return None
        self._at = found.end()
        least = int(found["least"] or 0)
        if not found["more"]:
            return least, least
        return least, int(found["most"]) if found["most"] else None

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _take(self, expected: re.Pattern[str]) -> str:
        found = expected.match(self._text, self._at)
        taken = found.group() if found else ""
        self._at += len(taken)
        return taken

    def _one(self, text: str) -> _Part:
        """One character. Python says which, so that sets and classes mean what they mean there."""
        if text not in self._characters:
            self._characters[text] = re.compile(text, self._flags)
        character = self._characters[text]
        return lambda following: self._add(_State([following], character=character))

    def _anchor(self, anchor: str) -> _Part:
        return lambda following: self._add(_State([following], anchor=anchor))

    def _any_of(self, parts: Sequence[_Part]) -> _Part:
        return lambda following: self._add(_State([part(following) for part in parts]))

    def _all_of(self, parts: Sequence[_Part]) -> _Part:
        def build(following: int) -> int:
            # Each part makes a state, nothing at all does too: so repeating it comes to the limit, not to no end.
            first = following if parts else self._add(_State([following]))
            for part in reversed(parts):
                first = part(first)
            return first

        return build

    def _times(self, part: _Part, least: int, most: int | None) -> _Part:
        def build(following: int) -> int:
            first = following
            if most is None:
                first = self._add(_State([following]))
                self.states[first].targets.append(part(first))
            for _optional in range((most or least) - least):
                first = self._add(_State([part(first), following]))
            for _required in range(least):
                first = part(first)
            return first

        return self._all_of([]) if most == 0 else build

    def _add(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise RegexError(
                f"is too large (over {MAX_STATES} places once repetitions are written out): "
                "use fewer alternatives or smaller counts, or several patterns"
            )
        self.states.append(state)
        return len(self.states) - 1
