# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.globs import Glob, GlobError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.patterns import RegexError


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        # The table and the examples of the module that pull_sync replaces.
        ("*", ["latest", "v1.2.3", ""], ["a/b", "/"]),
        ("**", ["latest", "a/b", "a/b/c", ""], []),
        ("?", ["a", "."], ["", "ab", "/"]),
        ("{latest,stable}", ["latest", "stable"], ["latest-stable", "late", ""]),
        ("v1.*", ["v1.", "v1.2", "v1.2.3-rc1"], ["v1", "v10.2", "xv1.2", "v1.2/3"]),
        ("v?.?.?", ["v1.2.3", "va.b.c"], ["v1.2.34", "v1.2", "v1.2.", "1.2.3"]),
        ("v?.?", ["v1.2"], ["v1.23", "v1.2.3"]),
        ("latest", ["latest"], ["latest1", "Latest", "lates"]),
        # Wildcards across and up to separators.
        ("a/*/c", ["a/b/c", "a//c"], ["a/b/b/c", "a/c"]),
        ("a/**/c", ["a/b/c", "a/b/b/c"], ["a/c"]),
        ("***", ["a/b", ""], []),
        ("**a*b", ["a/ab", "ab", "x/y/a-b"], ["a/b", "ab/"]),
        ("*-*", ["-", "a-", "-b", "a-b-c"], ["ab"]),
        # Alternatives.
        ("1.27{,-alpine}", ["1.27", "1.27-alpine"], ["1.27-", "1.27,"]),
        ("{a,{b,c{d,}}}e", ["ae", "be", "cde", "ce"], ["e", "de", "a"]),
        ("{v*,?}.{1,2}", ["v.1", "v10.2", "x.2"], ["xx.1", "v.3"]),
        ("{}a{b}", ["ab"], ["a", "{}ab"]),
        ("{,}{,}", [""], [","]),
        # Characters without a meaning.
        ("a,b", ["a,b"], ["a", "b"]),
        ("v1.2", ["v1.2"], ["v1x2"]),
        ("[12]", ["[12]"], ["1", "2"]),
        ("(a|b)+^$", ["(a|b)+^$"], ["a", "b"]),
        # Escapes.
        (r"\*", ["*"], ["a", "\\*"]),
        (r"\{a,b\}", ["{a,b}"], ["a"]),
        (r"{a\,b,c}", ["a,b", "c"], ["a", "b"]),
        (r"\\\a", [r"\a"], ["a"]),
        ("", [""], ["a"]),
    ],
)
def test_matches(glob: str, matching: list[str], others: list[str]) -> None:
    parsed = Glob.parse(glob)
    assert [text for text in [*matching, *others] if parsed.matches(text)] == matching


@pytest.mark.parametrize(
    ("glob", "says"),
    [
        ("{a,b", "opens a brace that is not closed: add a }"),
        ("{a,{b}", "opens a brace that is not closed"),
        ("a}", "closes a brace that was not opened: leave out the }"),
        ("}{", "closes a brace that was not opened"),
        ("a\\", "ends in a \\ that has nothing to escape"),
    ],
)
def test_refused(glob: str, says: str) -> None:
    with pytest.raises(GlobError) as caught:
        Glob.parse(glob)
    assert says in str(caught.value)


def test_alternatives_are_not_multiplied_out() -> None:
    """2^30 combinations."""
    glob = Glob.parse("{a,b}" * 30)
    assert glob.matches("ab" * 15)
    assert not glob.matches("ab" * 15 + "a")


@pytest.mark.parametrize("glob", ["{" + ",".join(map(str, range(3000))) + "}", "{" * 5000 + "}" * 5000])
def test_too_large(glob: str) -> None:
    with pytest.raises(RegexError, match=r"is too large|too many groups"):
        Glob.parse(glob)


@pytest.mark.parametrize("glob", ["*a" * 40 + "b", "{a,aa,*}" * 20 + "b", "{**,*}" * 20 + "b"])
def test_ends(glob: str) -> None:
    assert not Glob.parse(glob).matches("a" * 128)


def test_literals() -> None:
    assert Glob.parse(r"a*{b,\*}?[").literals == set("ab*[")


# A second matcher, written to be read and not to be fast.


def _expanded(glob: str) -> Iterator[list[str]]:
    """The tokens of every combination of alternatives."""
    tokens: list[str] = []
    rest = glob
    while rest:
        if rest[0] == "{":
            alternatives, after = _alternatives(rest[1:])
            for alternative in alternatives:
                yield from ([*tokens, *inner, *outer] for inner in _expanded(alternative) for outer in _expanded(after))
            return
        size = 2 if rest.startswith(("\\", "**")) else 1
        tokens.append(rest[:size])
        rest = rest[size:]
    yield tokens


def _alternatives(text: str) -> tuple[list[str], str]:
    """What is between commas up to the brace that closes, and what is after it."""
    found = [""]
    depth = 0
    while text:
        size = 2 if text[0] == "\\" else 1
        token, text = text[:size], text[size:]
        if token == "}" and not depth:
            break
        depth += {"{": 1, "}": -1}.get(token, 0)
        if token == "," and not depth:
            found.append("")
        else:
            found[-1] += token
    return found, text


def _matches(tokens: list[str], text: str) -> bool:
    if not tokens:
        return not text
    token, rest = tokens[0], tokens[1:]
    if token in ("*", "**"):
        ends = [end for end in range(len(text) + 1) if token == "**" or "/" not in text[:end]]
        return any(_matches(rest, text[end:]) for end in ends)
    wanted = text[:1] not in ("", "/") if token == "?" else text[:1] == token[-1]
    return wanted and _matches(rest, text[1:])


plain = st.sampled_from(["a", "b", ".", "/", "*", "**", "?", "[", ",", r"\*", r"\,", r"\a"])
globs = st.recursive(
    st.lists(plain, max_size=4).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=6,
)
texts = st.text(alphabet="ab./[,*", max_size=6)


@given(globs, st.lists(texts, min_size=1, max_size=6))
def test_agrees_with_a_slow_matcher(glob: str, candidates: list[str]) -> None:
    parsed = Glob.parse(glob)
    combinations = list(_expanded(glob))
    expected = [any(_matches(tokens, text) for tokens in combinations) for text in candidates]
    assert [parsed.matches(text) for text in candidates] == expected


@given(st.text(max_size=20))
def test_an_escaped_text_matches_itself(text: str) -> None:
    glob = Glob.parse("".join(f"\\{character}" for character in text))
    assert glob.matches(text)
    assert not glob.matches(f"{text}x")
    assert glob.literals == set(text)
