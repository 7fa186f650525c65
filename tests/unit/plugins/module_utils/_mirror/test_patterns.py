# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import patterns
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.patterns import Regex, RegexError

ATOMS = [
    "a",
    "B",
    "1",
    ".",
    r"\.",
    r"\d",
    r"\w",
    r"\W",
    r"\S",
    "[ab]",
    "[^a]",
    "[]1]",
    "[^]1]",
    r"[\]a-c]",
    "-",
    "{",
    "}",
]
REPEATS = ["*", "+", "?", "{2}", "{0}", "{1,}", "{,2}", "{1,2}", "*?", "??", "{0,1}?"]


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.tuples(st.sampled_from(["(", "(?:"]), inner).map(lambda parts: f"{''.join(parts)})")
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(groups, st.sampled_from(REPEATS)).map("".join),
        groups,
    )


atoms = st.tuples(st.sampled_from(ATOMS), st.sampled_from(["", *REPEATS])).map("".join)
anchors = st.sampled_from(["^", "$", r"\A", r"\Z", "()", ""])
regexes = st.recursive(st.one_of(atoms, atoms, atoms, anchors), _joined, max_leaves=8)
texts = st.text(alphabet="abB1.-]{}", min_size=1, max_size=7)


@given(st.sampled_from(["", "(?i)"]), regexes, st.lists(texts, min_size=1, max_size=8))
def test_means_what_python_means(flags: str, pattern: str, candidates: list[str]) -> None:
    regex = Regex.parse(flags + pattern)
    expected = [bool(re.fullmatch(flags + pattern, text)) for text in candidates]
    assert [regex.matches(text) for text in candidates] == expected


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (r"v\d+\.\d+", ["v1.2", "v10.22"], ["1.2", "v1.2.3", "v1.", "xv1.2"]),
        (r"^v1\..*$", ["v1.", "v1.27"], ["v2.1", "av1.1"]),
        (r"^(a|b$)", ["a", "b"], ["ab", "ba"]),
        (r"a$b|a^b", [], ["ab", "a", "b"]),
        (r"(?P<major>\d+)(?:-(alpine|slim))?", ["1", "1-alpine", "22-slim"], ["1-", "-slim", "1-alpineslim"]),
        (r"(?i)RC[a-c]", ["rca", "RcB"], ["rcd", "rc"]),
        (r"a{2,3}", ["aa", "aaa"], ["a", "aaaa"]),
        (r"a{,1}b{2,}c{1}", ["bbc", "abbbc"], ["abc", "aabbc"]),
        (r"a{}|b{x}|c{1,x}", ["a{}", "b{x}", "c{1,x}"], ["a", "b", "c"]),
        (r"a{0}b", ["b"], ["ab"]),
        (r"[]x]\\", ["]\\", "x\\"], ["]", "y\\"]),
        (r"(|a)()b", ["b", "ab"], ["", "a"]),
        (r"(a*)*", ["", "a", "aaa"], ["b"]),
    ],
)
def test_matches_whole_text(pattern: str, matching: list[str], others: list[str]) -> None:
    regex = Regex.parse(pattern)
    assert [text for text in [*matching, *others] if regex.matches(text)] == matching


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(a", "is not a regular expression: missing )"),
        ("*a", "is not a regular expression: nothing to repeat"),
        ("[a", "is not a regular expression: unterminated character set"),
        ("a{2,1}", "is not a regular expression: min repeat greater than max repeat"),
        ("a{99999999999}", "the repetition number is too large: repeat less often"),
        ("(" * 5000 + ")" * 5000, "too many groups inside groups"),
        ("(?=a)a", "lookahead is not supported"),
        ("(?!a).*", "lookahead is not supported: put what must not match under exclude"),
        (".*(?<!-rc)", "lookbehind is not supported: put what must not match under exclude"),
        (".*(?<=-rc)", "lookbehind is not supported"),
        ("(?#note)a", "(?# is not supported: use (?:...), or (?i) at the beginning"),
        ("(?s)a", "(?s is not supported"),
        ("(?i:a)", "(?i is not supported"),
        ("(?P<n>a)(?P=n)", "(?P is not supported"),
        (r"(a)\1", r"\1 refers back to a group, which is not supported"),
        (r"\bv", r"\b is not supported: write out the characters"),
        (r"\x41", r"\x is not supported"),
        ("(?:a{100}){100}", "is too large (over 5000 places"),
        ("((((a{0}){4000}){4000}){4000})", "is too large"),
        ("(((){4000}){4000}){4000}", "is too large"),
        ("((^){4000}){4000}", "is too large"),
    ],
)
def test_refused(pattern: str, says: str) -> None:
    with pytest.raises(RegexError) as caught:
        Regex.parse(pattern)
    assert says in str(caught.value)


@pytest.mark.parametrize("pattern", ["a++b", "(?>a)b"])
def test_refused_in_every_python(pattern: str) -> None:
    """Before 3.11 Python does not know them, since then this collection does not."""
    with pytest.raises(RegexError, match=r"not supported|not a regular expression"):
        Regex.parse(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*b", "a*a*a*a*a*a*a*a*a*a*b", "(.*.*.*)*b", "(a|aa)+b"])
def test_ends_where_python_does_not(pattern: str) -> None:
    regex = Regex.parse(pattern)
    assert not regex.matches("a" * 128)
    assert regex.matches("a" * 127 + "b")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern with 2^15 sets of states, one text for each."""
    monkeypatch.setattr(patterns, "MAX_REMEMBERED", 1000)
    pattern = "[ab]*a[ab]{14}"
    regex = Regex.parse(pattern)
    for number in range(500):
        text = f"{number * 61:015b}".replace("0", "a").replace("1", "b")
        assert regex.matches(text) == bool(re.fullmatch(pattern, text))
        assert len(regex._steps) <= 1000 / len(regex._states) + 1


def test_equal_by_text() -> None:
    assert Regex.parse("a|b") == Regex.parse("a|b")
    assert Regex.parse("a|b") != Regex.parse("b|a")
    assert len({Regex.parse("a"), Regex.parse("a"), Regex.parse("b")}) == 2
