# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.variables import (
    ExpansionError,
    expand,
    expand_words,
)

VARIABLES = {"ONE": "1", "TWO": "two words", "EMPTY": "", "A_B": "under", "9": "nine"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("$ONE", "1"),
        ("${ONE}", "1"),
        ("$ONE$ONE", "11"),
        ("x$ONE.y", "x1.y"),
        ("$ONEx", ""),
        ("${ONE}x", "1x"),
        ("$A_B-$NONE.", "under-."),
        ("$91", ""),
        ("$9x", "ninex"),
        ("$", "$"),
        ("a$ b", "a$ b"),
        ("$$ONE", "ONE"),
        ("\\$ONE", "$ONE"),
        ("\\\\$ONE", "\\1"),
        ("a\\ b\\", "a b"),
        ("'$ONE'", "$ONE"),
        ("'a\\b'", "a\\b"),
        ('"$ONE"', "1"),
        ('"a\\nb"', "a\\nb"),
        ('"\\$ONE \\" \\\\"', '$ONE " \\'),
        ('"it\'s" \'a "b"\'', 'it\'s a "b"'),
        ("${NONE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NONE-x}", "x"),
        ("${ONE:-x}", "1"),
        ("${ONE:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${NONE+x}", ""),
        ("${ONE:?no}${EMPTY?no}", "1"),
        ("${NONE:-${EMPTY:-$ONE}}", "1"),
        ("${NONE:-'}'}", "}"),
        ("${NONE:-\\}}", "}"),
        ("${NONE:-a b}", "a b"),
        ("${NONE:-}", ""),
        ('"${NONE:-a}"', "a"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'a", "there is a '"),
        ('"a', 'there is a "'),
        ('"a\\', 'there is a "'),
        ("${ONE", "there is no }"),
        ("${", "without the name"),
        ("${}", "without the name"),
        ("${{ONE}}", "without the name"),
        ("${:-x}", "without the name"),
        ("${ ONE}", "without the name"),
        ("${NONE:-x", "there is no }"),
        ("${NONE:-'x}", "there is a '"),
        ("${ONE#x}", "${ONE#...} is not supported"),
        ("${ONE:x}", "${ONE:x...} is not supported"),
        ("${ONE/a/b}", "is not supported"),
        ("${EMPTY:?say it}", "EMPTY: say it"),
        ("${NONE?}", "NONE: it must be set"),
    ],
)
def test_what_cannot_be_expanded(text: str, said: str) -> None:
    with pytest.raises(ExpansionError) as refused:
        expand(text, VARIABLES)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ["80"]),
        ("$TWO", ["two", "words"]),
        ('"$TWO"', ["two words"]),
        ("$TWO$ONE x", ["two", "words1", "x"]),
        ("a\\ b", ["a b"]),
        (" ${NONE} ", []),
        ("''", []),
    ],
)
def test_expand_words(text: str, expected: list[str]) -> None:
    assert expand_words(text, VARIABLES) == expected


@given(st.text(alphabet="ab$\\'\"{}:-+? 1_") | st.text())
def test_anything_is_expanded_or_refused(text: str) -> None:
    try:
        expanded = expand(text, VARIABLES)
    except ExpansionError:
        return
    if not set(text) & set("$\\'\""):
        assert expanded == text


@given(st.text())
def test_what_is_quoted_stays(text: str) -> None:
    escaped = "".join(f"\\{sign}" for sign in text)
    doubled = "".join(f"\\{sign}" if sign in '"$\\' else sign for sign in text)
    assert expand(escaped, VARIABLES) == text
    assert expand(f'"{doubled}"', VARIABLES) == text
    assert expand_words(f'"{doubled}"', VARIABLES) == ([text] if text else [])


# A text, and what a shell would make of it.
words = st.text(alphabet="abc .", max_size=5).map(lambda text: (text, text))
names = st.sampled_from(["ONE", "TWO", "EMPTY", "A_B", "NONE"])
simple = words | names.map(lambda name: (f"${{{name}}}", VARIABLES.get(name, "")))


def with_default(name: str, inner: tuple[str, str]) -> tuple[str, str]:
    return f"${{{name}:-{inner[0]}}}", VARIABLES.get(name) or inner[1]


def with_replacement(name: str, inner: tuple[str, str]) -> tuple[str, str]:
    return f"${{{name}:+{inner[0]}}}", inner[1] if VARIABLES.get(name) else ""


pieces = st.recursive(
    simple,
    lambda inner: (
        st.builds(with_default, names, inner)
        | st.builds(with_replacement, names, inner)
        | st.lists(inner, max_size=3).map(lambda parts: ("".join(p[0] for p in parts), "".join(p[1] for p in parts)))
    ),
)


@given(pieces)
def test_nested_defaults(piece: tuple[str, str]) -> None:
    text, expected = piece
    assert expand(text, VARIABLES) == expected
    assert expand(f'"{text}"', VARIABLES) == expected
