# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables in Dockerfile lines: $name and ${name} replaced, quotes and escapes taken away, as Docker does it.

Private to this collection: may change in any release.

Of the forms with a default, `${name:-word}`, `${name:+word}` and `${name:?word}`, and those without the colon, there
are all. Those that cut or replace a part of the value, which Docker learnt late, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SPECIAL = "@*#?-$!0"
_END = ""


class ExpansionError(ValueError):
    """Why a text cannot be expanded."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text as one word."""
    return "".join(piece.text for piece in _Expansion(text, variables).pieces(_END))


def expand_words(text: str, variables: Mapping[str, str]) -> list[str]:
    """The words of the text: also a value that a variable has may be several."""
    words, word = [], ""
    for piece in _Expansion(text, variables).pieces(_END):
        for sign in piece.text:
            if piece.quoted or not sign.isspace():
                word += sign
            elif word:
                words.append(word)
                word = ""
    return [*words, word] if word else words


@dataclass(frozen=True)
class _Piece:
    text: str
    quoted: bool = False


class _Expansion:
    """Reads a text from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text, self._variables, self._position = text, variables, 0

    def pieces(self, stop: str) -> list[_Piece]:
        """Everything up to the sign that stops it, or to the end."""
        found = []
        while (sign := self._peek()) != stop:
            if sign == _END:
                raise ExpansionError(f"there is no {stop} after ${{")
            if sign == "'":
                found.append(_Piece(self._single_quoted(), quoted=True))
            elif sign == '"':
                found.append(_Piece(self._double_quoted(), quoted=True))
            elif sign == "$":
                found.append(_Piece(self._variable()))
            elif sign == "\\":
                self._next()
                found.append(_Piece(self._next(), quoted=True))
            else:
                found.append(_Piece(self._next()))
        self._next()
        return found

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        sign = self._peek()
        self._position += len(sign)
        return sign

    def _single_quoted(self) -> str:
        begin = self._position + 1
        end = self._text.find("'", begin)
        if end < 0:
            raise ExpansionError("there is a ' without a second one")
        self._position = end + 1
        return self._text[begin:end]

    def _double_quoted(self) -> str:
        self._next()
        found = ""
        while (sign := self._peek()) != '"':
            if sign == _END:
                raise ExpansionError('there is a " without a second one')
            if sign == "$":
                found += self._variable()
                continue
            self._next()
            # Only these can be escaped here; before others the \ is itself.
            found += self._next() if sign == "\\" and self._peek() in ('"', "$", "\\") else sign
        self._next()
        return found

    def _variable(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._next()
        name = self._name() if self._peek() not in ("{", "}", ":") else ""
        if not name:
            raise ExpansionError("there is a ${ without the name of a variable")
        sign = self._next()
        if sign == "}":
            return self._variables.get(name, "")
        return self._with_default(name, sign)

    def _with_default(self, name: str, sign: str) -> str:
        colon = ":" if sign == ":" else ""
        operator = self._next() if colon else sign
        if operator == _END:
            raise ExpansionError("there is no } after ${")
        if operator not in ("-", "+", "?"):
            raise ExpansionError(f"${{{name[:40]}{colon}{operator}...}} is not supported")
        word = "".join(piece.text for piece in self.pieces("}"))
        value = self._variables.get(name)
        usable = bool(value) if colon else value is not None
        if operator == "+":
            return word if usable else ""
        if operator == "?" and not usable:
            raise ExpansionError(f"{name[:40]}: {word or 'it must be set'}")
        return (value or "") if usable else word

    def _name(self) -> str:
        begin = self._position
        first = self._peek()
        if first.isdigit():
            while self._peek().isdigit():
                self._next()
        elif first and first in _SPECIAL:
            self._next()
        else:
            while (sign := self._peek()).isalnum() or sign == "_":
                self._next()
        return self._text[begin : self._position]
