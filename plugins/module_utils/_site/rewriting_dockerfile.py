# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image references in Dockerfiles: FROM, the ARGs before it, COPY --from, RUN --mount=from and the syntax directive.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import (
    NameOnly,
    Place,
    RewritingError,
    Whole,
)

_DIRECTIVE = re.compile(r"#[ \t]*(?P<name>syntax|escape|check)[ \t]*=[ \t]*(?P<value>\S*)[^\n]*", re.IGNORECASE)
# A word of a shell, so that a heredoc in quotes is none.
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+""")
_HEREDOC = re.compile(r"\d*<<(?P<chomp>-?)(?P<quote>['\"]?)(?P<name>[^<'\"\s]+)(?P=quote)")
_ARGUMENT = re.compile(r"(?P<name>\w+)=(?P<quote>[\"']?)(?P<value>[^\"'\s\\]*)(?P=quote)")
_FROM_ARGUMENT = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+))(?P<tail>[:@].*)?")
_ANY_ARGUMENT = re.compile(r"\$\{?(\w+)")
_CONTEXT = "it may be a build context: if it is an image, write its tag"
_MOUNTED = re.compile(r"[=,\"']from=([^,\"']+)")


@dataclass(frozen=True)
class _Span:
    """A piece of the file that is in one piece there, too."""

    text: str
    start: int

    @property
    def whole(self) -> Whole:
        return Whole(self.start, self.start + len(self.text))

    def part(self, start: int, end: int) -> _Span:
        return _Span(self.text[start:end], self.start + start)


@dataclass(frozen=True)
class _Instruction:
    """Its words, with those that have quotes left in one piece if there are no spaces in them."""

    name: str
    start: int
    words: list[_Span]

    @property
    def flags(self) -> list[_Span]:
        found = []
        for word in self.words:
            if not word.text.startswith("--"):
                break
            found.append(word)
        return found

    @property
    def arguments(self) -> list[_Span]:
        return self.words[len(self.flags) :]


def places(text: str) -> list[Place]:
    """Raises RewritingError."""
    return _Dockerfile(text).places


@dataclass
class _Dockerfile:
    """Reads from the first line to the last."""

    text: str
    places: list[Place] = field(default_factory=list)
    _arguments: dict[str, _Span] = field(default_factory=dict)
    _stages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        position, escape = self._directives()
        for instruction in _instructions(self.text, position, escape):
            self._read(instruction)

    def _directives(self) -> tuple[int, str]:
        """They are before everything else. Where they end, and the sign that escapes."""
        position, escape = (1 if self.text.startswith("\ufeff") else 0), "\\"
        while match := _DIRECTIVE.match(self.text, position):
            name, value = match["name"].lower(), _Span(match["value"], match.start("value"))
            if name == "syntax" and value.text:
                self._add(value, value.start)
            elif name == "escape" and value.text:
                escape = value.text[0]
            position = min(match.end() + 1, len(self.text))
        return position, escape

    def _read(self, instruction: _Instruction) -> None:
        if instruction.name == "ONBUILD" and instruction.words:
            name, words = instruction.words[0].text.upper(), instruction.words[1:]
            self._read(_Instruction(name, instruction.start, words))
        elif instruction.name == "ARG" and not self._stages:
            for word in instruction.words:
                if match := _ARGUMENT.fullmatch(word.text):
                    self._arguments[match["name"]] = word.part(*match.span("value"))
        elif instruction.name == "FROM" and instruction.arguments:
            self._from(instruction)
        elif instruction.name in ("ADD", "COPY", "RUN"):
            for flag in instruction.flags:
                self._flag(flag, instruction)

    def _from(self, instruction: _Instruction) -> None:
        image, *others = instruction.arguments
        image = _unquoted(image)
        self._base(image, instruction)
        is_named = len(others) > 1 and others[0].text.lower() == "as"
        self._stages.append(others[1].text.lower() if is_named else "")

    def _base(self, image: _Span, instruction: _Instruction) -> None:
        """What is built on: the default of an argument may say it, or its name."""
        match = _FROM_ARGUMENT.fullmatch(image.text)
        default = self._arguments.get(match["braced"] or match["bare"]) if match else None
        groups = tuple(f"ARG {name}" for name in _ANY_ARGUMENT.findall(image.text) if name in self._arguments)
        if match is None or default is None or not default.text:
            self._add(image, instruction.start, groups)
        elif self._is_image(default.text):
            tail = match["tail"] or ""
            end = default.start + len(default.text)
            writer = NameOnly(default.start, end) if tail else default.whole
            positions = (default.start, image.start, instruction.start)
            self.places.append(Place(default.text + tail, positions, writer, groups=groups))

    def _flag(self, flag: _Span, instruction: _Instruction) -> None:
        name, _equals, _value = flag.text.partition("=")
        if name == "--from" and instruction.name != "RUN":
            self._add_source(_unquoted(flag.part(len("--from="), len(flag.text))), instruction.start)
        elif name == "--mount" and instruction.name == "RUN":
            for match in _MOUNTED.finditer(flag.text):
                self._add_source(flag.part(*match.span(1)), instruction.start)

    def _add_source(self, image: _Span, start: int) -> None:
        """What is copied from, or mounted, may be a build context, of which the Dockerfile does not know."""
        self._add(image, start, problem="" if re.search("[/:@$]", image.text) else _CONTEXT)

    def _is_image(self, text: str) -> bool:
        is_stage = text.lower() in self._stages or (text.isdigit() and int(text) < len(self._stages))
        return bool(text) and not is_stage and text != "scratch"

    def _add(self, image: _Span, start: int, groups: tuple[str, ...] = (), problem: str = "") -> None:
        if self._is_image(image.text):
            whole = image.whole
            is_split = self.text[whole.start : whole.end] != image.text
            problem = "it goes on on another line" if is_split else problem
            self.places.append(Place(image.text, (image.start, start), whole, groups=groups, problem=problem))


def _unquoted(word: _Span) -> _Span:
    text = word.text
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return word.part(1, len(text) - 1) if is_quoted else word


# ------------------------------------------------------------------ lines


def _instructions(text: str, position: int, escape: str) -> Iterator[_Instruction]:
    lines = _lines(text, position)
    continued = re.compile(rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*$")
    number = 0
    while number < len(lines):
        joined, offsets, number = _joined(lines, number, continued)
        words = [_Span(match.group(), offsets[match.start()]) for match in re.finditer(r"\S+", joined)]
        if not words:
            continue
        name, *arguments = words
        number = _after_heredocs(joined, lines, number, text)
        yield _Instruction(name.text.upper(), name.start, arguments)


def _lines(text: str, position: int) -> list[_Span]:
    found = []
    for line in text[position:].split("\n"):
        found.append(_Span(line.removesuffix("\r"), position))
        position += len(line) + 1
    return found


def _joined(lines: list[_Span], number: int, continued: re.Pattern[str]) -> tuple[str, list[int], int]:
    """An instruction with the lines that continue it, where each of its characters stands, and the next line."""
    text, more = "", True
    offsets: list[int] = []
    while more and number < len(lines):
        line = lines[number]
        number += 1
        if line.text.lstrip().startswith("#") or (text and not line.text.strip()):
            more = bool(text)
            continue
        match = continued.search(line.text)
        end = match.start() if match else len(line.text)
        text += line.text[:end]
        offsets += range(line.start, line.start + end)
        more = match is not None
    return text, offsets, number


def _after_heredocs(instruction: str, lines: list[_Span], number: int, text: str) -> int:
    if instruction.split(maxsplit=1)[0].upper() not in ("ADD", "COPY", "ONBUILD", "RUN"):
        return number
    for heredoc in filter(None, map(_HEREDOC.fullmatch, _WORD.findall(instruction))):
        begin = number
        while number < len(lines) and _ended(lines[number].text, heredoc) != heredoc["name"]:
            number += 1
        if number == len(lines):
            line = text.count("\n", 0, lines[min(begin, len(lines) - 1)].start)
            raise RewritingError(f"the text after <<{heredoc['name']} is not ended by a line {heredoc['name']}", line)
        number += 1
    return number


def _ended(line: str, heredoc: re.Match[str]) -> str:
    return line.lstrip("\t") if heredoc["chomp"] else line
