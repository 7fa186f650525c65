# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dockerfile lines that are appended to an image: read, checked, and made into a Dockerfile for an engine.

Private to this collection: may change in any release.

They are read as Docker reads them. Refused is also what Docker takes and nobody means, such as `VOLUME ['/data']`, and
what needs more than an image: a second stage, or files from a build context, as there is none.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError

# What an engine has to run or to fetch. All others only change the configuration.
_BUILT = ("ADD", "COPY", "RUN")
_BLANK = re.compile(r"[\t\v\f\r ]+")
# What Go calls a space, which is a little less than what Python does.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_CONTINUED = re.compile(r"(?<!\\)\\[ \t]*$")
_HEREDOC = re.compile(r"\d*<<(?P<chomp>-?)(?P<quote>['\"]?)(?P<name>[^<'\"\s]+)(?P=quote)")
_URL = re.compile(r"(?:https?|git|ssh)://|git@")
# A list as Python or YAML would write it: Docker takes it for a command.
_NO_JSON = re.compile(r"\[\s*'[^']*'\s*(?:,\s*'[^']*'\s*)*\]")
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_NANOSECONDS = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": 10**9}
_NANOSECONDS |= {"m": 60 * 10**9, "h": 3600 * 10**9}
_DURATIONS = ("interval", "timeout", "start-period", "start-interval")
_HEALTHCHECK_FLAGS = (*_DURATIONS, "retries")
_BUILDKIT_FLAGS = ("checksum", "chmod", "device", "exclude", "link", "mount", "network", "parents", "security")
_PORTS = re.compile(r"(?:.*:)?(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>\w*))?", re.ASCII)
_SIGNALS = (
    "ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP|"
    r"TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN|RTMAX|RTMIN\+\d\d?|RTMAX-\d\d?"
)
_SIGNAL = re.compile(f"(?:SIG)?(?:{_SIGNALS})", re.ASCII | re.IGNORECASE)


class DockerfileError(MirrorError):
    """All that is wrong with the lines, each problem with the number of its line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"The Dockerfile lines cannot be used: {'; '.join(problems)}")
        self.problems = tuple(problems)


class _Problem(Exception):
    """What is wrong with one instruction."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined. Nothing is expanded or unquoted yet.

    `name` is in capitals, `line` where it begins, `text` all that follows the flags. `words` are the arguments, one
    where the instruction takes only one; `pairs` those of ENV and LABEL, and of ARG, with None for no value. `is_json`
    tells a list in the form ["a", "b"] from a command for the shell.
    """

    name: str
    line: int
    text: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str | None], ...] = ()
    is_json: bool = False
    heredocs: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f"{self.name} {self.text}".strip()
        return shown if len(shown) <= 60 else f"{shown[:60]}..."

    def flag(self, name: str) -> str:
        return dict(self.flags).get(name, "")


def parse(lines: Sequence[str]) -> tuple[Instruction, ...]:
    """The instructions in these lines. Raises DockerfileError with all problems."""
    found: list[Instruction] = []
    problems: list[str] = []
    for logical in _logical_lines(_physical(lines), problems):
        try:
            found.append(_instruction(logical))
        except _Problem as problem:
            problems.append(f"line {logical.number}: {problem}")
    if problems:
        raise DockerfileError(problems)
    return tuple(found)


def needs_engine(instructions: Iterable[Instruction]) -> bool:
    """Whether only an engine can build it."""
    return any(instruction.name in _BUILT for instruction in instructions)


def needs_buildkit(instructions: Iterable[Instruction]) -> str:
    """What an engine's classic builder could not do, if there is anything: the instruction with its line."""
    for one in instructions:
        if one.heredocs or any(name in _BUILDKIT_FLAGS for name, _value in one.flags):
            return f"line {one.line}: {one}"
    return ""


def copied_from(instructions: Iterable[Instruction]) -> set[str]:
    """The images that files are taken from."""
    return {one.flag("from") for one in instructions if one.name == "COPY"} - {""}


def recipe_of(lines: Sequence[str]) -> str:
    """How the lines appear in a recipe."""
    return f"dockerfile=sha256:{hashlib.sha256(_joined(lines)).hexdigest()}"


def text(base: str, lines: Sequence[str]) -> bytes:
    """The Dockerfile for an engine, the lines exactly as they are. `base` is a reference with a digest."""
    return f"FROM {base}\n".encode() + _joined(lines) + b"\n"


def duration(written: str) -> int:
    """Nanoseconds of a duration such as 1m30s. Raises ValueError."""
    nanoseconds, end = 0.0, 0
    for part in _DURATION.finditer(written):
        if part.start() != end:
            break
        end = part.end()
        nanoseconds += float(part[1]) * _NANOSECONDS[part[2]]
    if written != "0" and (not end or end != len(written)):
        raise ValueError(f"{written[:40]!r} is no duration such as 30s or 1m30s")
    if 0 < nanoseconds < 10**6 or nanoseconds >= 2**63:
        raise ValueError(f"{written[:40]!r} is not between 1ms and 292 years")
    return round(nanoseconds)


def ports(written: str) -> tuple[str, ...]:
    """The ports that an argument of EXPOSE means, such as 80, 53/udp or 8000-8010/tcp. Raises ValueError."""
    match = _PORTS.fullmatch(written)
    protocol = (match["protocol"] or "tcp").lower() if match else ""
    if match is None or protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"{written[:60]!r} is no port such as 8080, 53/udp or 8000-8010/tcp")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not first <= last <= 65535:
        raise ValueError(f"{written[:60]!r} is no port or range of ports up to 65535")
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))


def stop_signal(written: str) -> str:
    """The same, if it is a signal. Raises ValueError."""
    number = int(written) if re.fullmatch(r"\d{1,3}", written, re.ASCII) else 0
    if not number and not _SIGNAL.fullmatch(written):
        raise ValueError(f"{written[:40]!r} is no signal such as SIGTERM or 15")
    return written


def volume(written: str) -> str:
    """The same, without spaces around it, if it can be a path. Raises ValueError."""
    if not written.strip(_SPACES):
        raise ValueError("a volume without a path")
    return written.strip(_SPACES)


# ------------------------------------------------------------------ lines


@dataclass(frozen=True)
class _Line:
    """The text of one instruction, and where it begins. A problem is one of its heredocs."""

    number: int
    text: str
    heredocs: tuple[str, ...] = ()


def _joined(lines: Sequence[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", errors="surrogatepass")


def _physical(lines: Sequence[str]) -> list[str]:
    """One entry for each line, should an entry have several."""
    return [line.removesuffix("\r") for entry in lines for line in entry.split("\n")]


def _logical_lines(lines: list[str], problems: list[str]) -> Iterator[_Line]:
    position = 0
    while position < len(lines):
        number = position + 1
        words, position = _continued(lines, position)
        if not words:
            continue
        names: list[str] = []
        for match in _heredocs(words):
            name, end = match["name"], _end_of(match, lines, position)
            if end is None:
                problems.append(f"line {number}: the text after <<{name} is not ended by a line {name}")
                return
            position = end
            names.append(name)
        yield _Line(number, words, tuple(names))


def _continued(lines: list[str], position: int) -> tuple[str, int]:
    """The line there, with those that continue it; and where the next one is. Comments are left out."""
    line = lines[position].lstrip(_SPACES)
    position += 1
    if line.startswith("#"):
        return "", position
    whole, more = _uncontinued(line)
    while more and position < len(lines):
        line = lines[position]
        position += 1
        if line.lstrip(_SPACES)[:1] not in ("", "#"):
            line, more = _uncontinued(line)
            whole += line
    return whole.strip(_SPACES), position


def _uncontinued(line: str) -> tuple[str, bool]:
    match = _CONTINUED.search(line)
    return (line[: match.start()], True) if match else (line, False)


def _heredocs(line: str) -> list[re.Match[str]]:
    name, arguments = _split(line)
    if name == "ONBUILD":
        name, arguments = _split(arguments)
    if name not in _BUILT:
        return []
    return [match for match in map(_HEREDOC.fullmatch, _words(arguments)) if match]


def _end_of(heredoc: re.Match[str], lines: list[str], position: int) -> int | None:
    """Where the lines after a heredoc begin."""
    for number in range(position, len(lines)):
        line = lines[number].lstrip("\t") if heredoc["chomp"] else lines[number]
        if line == heredoc["name"]:
            return number + 1
    return None


def _split(line: str) -> tuple[str, str]:
    """The first word in capitals, and the others."""
    name, *arguments = _BLANK.split(line, maxsplit=1)
    return name.upper(), arguments[0].strip(_SPACES) if arguments else ""


# ------------------------------------------------------------------ instructions


def _instruction(line: _Line) -> Instruction:
    if "\0" in line.text or not _is_unicode(line.text):
        raise _Problem("it has characters that are no text")
    name, arguments = _split(line.text)
    reader = _READERS.get(name)
    if reader is None:
        raise _Problem(_unknown("instruction", name, _READERS))
    flags, arguments = _flags(arguments)
    return reader(Instruction(name, line.number, arguments, flags, heredocs=line.heredocs))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown {what} {name[:40]}" + (f", did you mean {near[0]}?" if near else "")


def _flags(arguments: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """The options at the beginning, such as --from=image, and what follows them."""
    flags = []
    while arguments.startswith("--"):
        word, arguments = _first_word(arguments)
        if word == "--":
            break
        name, _equals, value = word[2:].partition("=")
        flags.append((name, value))
    return tuple(flags), arguments


def _first_word(arguments: str) -> tuple[str, str]:
    """The first word without its quotes, and the others."""
    word, quote, position = "", "", 0
    while position < len(arguments):
        sign = arguments[position]
        if sign == "\\" and position + 1 < len(arguments):
            position += 1
            word += arguments[position]
        elif sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
        elif not quote and sign in _SPACES:
            break
        else:
            word += sign
        position += 1
    return word, arguments[position:].strip(_SPACES)


def _words(arguments: str) -> list[str]:
    """Words between spaces that are neither quoted nor escaped. Quotes and escapes stay."""
    words, word, quote, escaped = [], "", "", False
    for sign in arguments:
        if not quote and not escaped and sign in _SPACES:
            words += [word] if word else []
            word = ""
            continue
        word += sign
        if escaped:
            escaped = False
        elif sign == "\\" and quote != "'":
            escaped = True
        elif sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
    # Nothing is left to escape.
    word = word[:-1] if escaped else word
    return [*words, word] if word else words


def _json_list(arguments: str) -> tuple[str, ...] | None:
    """The texts of a JSON list; None if it is something else."""
    if not arguments.startswith("["):
        return None
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(entry, str) and _is_unicode(entry) for entry in found):
        raise _Problem("a list in [] may have only texts, in double quotes")
    return tuple(found)


def _no_flags(given: Instruction) -> None:
    if given.flags:
        raise _Problem(f"{given.name} has no option --{given.flags[0][0][:40]}")


def _needs_words(given: Instruction) -> None:
    if not given.text:
        raise _Problem(f"{given.name} needs an argument")


def _checked(words: Iterable[str], check: Callable[[str], object]) -> None:
    """Find mistakes early, where there is nothing to expand."""
    for word in words:
        if not re.search(r"[$\\'\"]", word):
            try:
                check(word)
            except ValueError as error:
                raise _Problem(str(error)) from error


def _read_pairs(given: Instruction) -> Instruction:
    """ENV and LABEL: name=value any number of times, or one name and after a space all of its value."""
    _no_flags(given)
    _needs_words(given)
    words = _words(given.text)
    if words and "=" not in words[0]:
        name, *value = _BLANK.split(given.text, maxsplit=1)
        if not value:
            raise _Problem(f"{given.name} needs a name and a value: {given.name} {name[:40]}=value")
        return replace(given, pairs=((name, value[0]),))
    return replace(given, pairs=tuple(_pair(given.name, word) for word in words))


def _pair(instruction: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise _Problem(f"{word[:40]!r} has no =: write name=value, and quotes around a value with spaces")
    if not name:
        raise _Problem(f"{instruction} needs a name before =")
    return name, value


def _read_arg(given: Instruction) -> Instruction:
    _no_flags(given)
    _needs_words(given)
    words = _words(given.text)
    return replace(given, pairs=tuple(_pair("ARG", word) if "=" in word else (word, None) for word in words))


def _read_one(given: Instruction) -> Instruction:
    _no_flags(given)
    _needs_words(given)
    if given.name == "STOPSIGNAL":
        _checked([given.text], stop_signal)
    return replace(given, words=(given.text,))


def _read_expose(given: Instruction) -> Instruction:
    _no_flags(given)
    _needs_words(given)
    words = tuple(_BLANK.split(given.text))
    _checked(words, ports)
    return replace(given, words=words)


def _read_volume(given: Instruction) -> Instruction:
    _no_flags(given)
    listed = _json_list(given.text)
    if listed is None and given.text.startswith("["):
        raise _Problem('this is no list: write VOLUME ["/path"], with double quotes')
    words = tuple(filter(None, _BLANK.split(given.text))) if listed is None else listed
    if not words:
        raise _Problem("VOLUME needs an argument")
    _checked(words, volume)
    return replace(given, words=words, is_json=listed is not None)


def _read_command(given: Instruction) -> Instruction:
    """CMD and ENTRYPOINT."""
    _no_flags(given)
    if not given.text:
        raise _Problem(f"{given.name} needs a command: write {given.name} [] for none")
    return _command(given, given.text)


def _command(given: Instruction, command: str) -> Instruction:
    listed = _json_list(command)
    if listed is None and _NO_JSON.fullmatch(command):
        raise _Problem(f'this is no list: write {given.name} ["program", "argument"], with double quotes')
    return replace(given, words=(command,) if listed is None else listed, is_json=listed is not None)


def _read_shell(given: Instruction) -> Instruction:
    _no_flags(given)
    listed = _json_list(given.text)
    if not listed:
        raise _Problem('SHELL needs a list: SHELL ["/bin/sh", "-c"]')
    return replace(given, words=listed, is_json=True)


def _read_healthcheck(given: Instruction) -> Instruction:
    kind, command = _split(given.text)
    if kind == "NONE" and not given.flags and not command:
        return replace(given, words=("NONE",))
    if kind == "NONE":
        raise _Problem("HEALTHCHECK NONE takes no options and no arguments")
    if kind != "CMD" or not command:
        raise _Problem("HEALTHCHECK needs CMD and a command, or NONE")
    for name, value in given.flags:
        if name not in _HEALTHCHECK_FLAGS:
            raise _Problem(_unknown("option", f"--{name}", [f"--{flag}" for flag in _HEALTHCHECK_FLAGS]))
        if name in _DURATIONS:
            _checked_flag(name, value)
        elif not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            raise _Problem(f"--{name} needs a number: --{name}=3")
    return _command(given, command)


def _checked_flag(name: str, value: str) -> None:
    try:
        duration(value)
    except ValueError as error:
        raise _Problem(f"--{name}: {error}") from error


def _read_onbuild(given: Instruction) -> Instruction:
    _no_flags(given)
    _needs_words(given)
    name, _arguments = _split(given.text)
    if name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise _Problem(f"ONBUILD {name} is not allowed")
    if name not in _READERS:
        raise _Problem(_unknown("instruction", name, _READERS))
    if name not in _BUILT:
        _instruction(_Line(given.line, given.text))
    if given.heredocs:
        raise _Problem("ONBUILD with a heredoc is not supported")
    return replace(given, words=(given.text,))


def _read_run(given: Instruction) -> Instruction:
    if not given.text:
        raise _Problem("RUN needs a command")
    return _command(given, given.text)


def _read_copy(given: Instruction) -> Instruction:
    copy = _read_paths(given)
    source = copy.flag("from")
    if source.isdigit():
        raise _Problem(f"--from={source[:40]}: there are no build stages: name an image")
    if not source:
        _no_context(copy, lambda path: False, "take it from an image with COPY --from=IMAGE")
    return copy


def _read_add(given: Instruction) -> Instruction:
    add = _read_paths(given)
    _no_context(add, lambda path: bool(_URL.match(path)) or path.startswith("$"), "ADD can only fetch URLs here")
    return add


def _read_paths(given: Instruction) -> Instruction:
    listed = _json_list(given.text)
    words = tuple(_BLANK.split(given.text)) if listed is None else listed
    if len(words) < 2:
        raise _Problem(f"{given.name} needs a source and a destination")
    return replace(given, words=words, is_json=listed is not None)


def _no_context(given: Instruction, comes_from_elsewhere: Callable[[str], bool], instead: str) -> None:
    for path in given.words[:-1]:
        if not comes_from_elsewhere(path) and not _HEREDOC.fullmatch(path):
            raise _Problem(f"there is no build context to take {path[:60]!r} from: {instead}")


def _refuse_from(given: Instruction) -> NoReturn:
    raise _Problem(
        "FROM has no place here, as the lines are appended to the image that is mirrored: leave it out, and take files "
        "from another image with COPY --from=IMAGE"
    )


_READERS: Mapping[str, Callable[[Instruction], Instruction]] = {
    "ADD": _read_add,
    "ARG": _read_arg,
    "CMD": _read_command,
    "COPY": _read_copy,
    "ENTRYPOINT": _read_command,
    "ENV": _read_pairs,
    "EXPOSE": _read_expose,
    "FROM": _refuse_from,
    "HEALTHCHECK": _read_healthcheck,
    "LABEL": _read_pairs,
    "MAINTAINER": _read_one,
    "ONBUILD": _read_onbuild,
    "RUN": _read_run,
    "SHELL": _read_shell,
    "STOPSIGNAL": _read_one,
    "USER": _read_one,
    "VOLUME": _read_volume,
    "WORKDIR": _read_one,
}
