# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
from functools import cmp_to_key

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.semver import Range, RangeError, Version


def version(tag: str) -> Version:
    parsed = Version.parse(tag)
    assert parsed is not None, f"{tag} is a version"
    return parsed


# Versions


@pytest.mark.parametrize(
    ("tag", "numbers", "is_release"),
    [
        ("1.2.3", (1, 2, 3), True),
        ("v1.2.3", (1, 2, 3), True),
        ("1", (1, 0, 0), True),
        ("v1.2", (1, 2, 0), True),
        ("22.04", (22, 4, 0), True),
        ("20240115", (20240115, 0, 0), True),
        ("1.27.3-alpine", (1, 27, 3), False),
        ("1.27-alpine3.19", (1, 27, 0), False),
        ("3-slim-bookworm", (3, 0, 0), False),
        ("1.0.0--", (1, 0, 0), False),
        ("1.0.0-0", (1, 0, 0), False),
        ("9" * 128, (int("9" * 128), 0, 0), True),
    ],
)
def test_version(tag: str, numbers: tuple[int, int, int], is_release: bool) -> None:
    assert version(tag).numbers == numbers
    assert version(tag).is_release == is_release


@pytest.mark.parametrize(
    "tag",
    [
        *["latest", "", "v", "1.", ".1", "1..2", "-1", "1.2.3.4", "1.2.x", "1.2.3_4", "1.2.3alpine", "1.2.3-"],
        *["1.2.3-a..b", "1.2.3+5", "V1", "vv1", "1.2.3-ä", "٣.1", "1\n", " 1", "9" * 129, "9" * 5000],
    ],
)
def test_not_a_version(tag: str) -> None:
    assert Version.parse(tag) is None


@pytest.mark.parametrize(
    "ascending",
    [
        # The examples of the specification.
        ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
        [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ],
        ["1.9", "1.10-alpine", "v1.10", "1.10.1", "2-rc", "2"],
        ["1-9", "1-10", "1--", "1-A", "1-a", "1-a.0", "1-a.b", "1-ab"],
    ],
)
def test_order(ascending: list[str]) -> None:
    for first, second in itertools.combinations(map(version, ascending), 2):
        assert first < second


@pytest.mark.parametrize("tags", [["1", "v1", "1.0", "1.0.0", "v01.0"], ["1.2-rc.1", "v1.2.0-rc.1", "1.2-rc.01"]])
def test_equal(tags: list[str]) -> None:
    assert len({version(tag) for tag in tags}) == 1


def _compared_by_the_specification(first: str, second: str) -> int:
    """Section 11 of SemVer 2.0.0, sentence by sentence."""
    (core_a, _dash_a, pre_a), (core_b, _dash_b, pre_b) = first.partition("-"), second.partition("-")
    for a, b in zip(core_a.split("."), core_b.split("."), strict=True):
        if int(a) != int(b):
            return int(a) - int(b)
    if not pre_a or not pre_b:
        return bool(pre_b) - bool(pre_a)
    for a, b in zip(pre_a.split("."), pre_b.split("."), strict=False):
        if a.isdigit() and b.isdigit():
            if int(a) != int(b):
                return int(a) - int(b)
        elif a.isdigit() or b.isdigit():
            return -1 if a.isdigit() else 1
        elif a != b:
            return -1 if a.encode() < b.encode() else 1
    return len(pre_a.split(".")) - len(pre_b.split("."))


numbers = st.integers(0, 12).map(str)
identifiers = st.one_of(numbers, st.from_regex(r"[0-9A-Za-z-]{0,2}[A-Za-z-]", fullmatch=True))
suffixes = st.lists(identifiers, max_size=3).map(lambda parts: "-" * bool(parts) + ".".join(parts))
full_versions = st.tuples(st.lists(numbers, min_size=3, max_size=3).map(".".join), suffixes).map("".join)


@given(st.lists(full_versions, min_size=2, max_size=6))
def test_order_is_that_of_the_specification(tags: list[str]) -> None:
    for first, second in itertools.product(tags, tags):
        expected = _compared_by_the_specification(first, second)
        assert (version(first) > version(second)) == (expected > 0)
        assert (version(first) == version(second)) == (expected == 0)
    by_specification = sorted(tags, key=cmp_to_key(_compared_by_the_specification))
    assert sorted(map(version, tags)) == [version(tag) for tag in by_specification]


# Ranges

TAGS = [
    "0.0.3",
    "0.2.3",
    "0.3",
    "1",
    "1.2",
    "1.2.3",
    "1.2.9",
    "1.3.0",
    "1.4.0",
    "1.4.7",
    "1.5",
    "v1.9.9",
    "2.0.0",
    "3.1",
]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("*", TAGS),
        ("x", TAGS),
        (">=1.2 <2", ["1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        (">=1.2,<2", ["1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        (" >= 1.2 , < 2 ", ["1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        ("^1.4", ["1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        ("^v1.4.7", ["1.4.7", "1.5", "v1.9.9"]),
        ("^0.2.1", ["0.2.3"]),
        ("^0.0.3", ["0.0.3"]),
        ("^0.0", ["0.0.3"]),
        ("^0", ["0.0.3", "0.2.3", "0.3"]),
        ("^*", TAGS),
        ("~1.4.2", ["1.4.7"]),
        ("~1.4", ["1.4.0", "1.4.7"]),
        ("~1", ["1", "1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        ("1.x", ["1", "1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9"]),
        ("1.2.*", ["1.2", "1.2.3", "1.2.9"]),
        ("1.2", ["1.2", "1.2.3", "1.2.9"]),
        ("=1.2", ["1.2", "1.2.3", "1.2.9"]),
        ("1.2.0", ["1.2"]),
        ("1.2 - 1.4", ["1.2", "1.2.3", "1.2.9", "1.3.0", "1.4.0", "1.4.7"]),
        ("1.2.3 - 1.4.0", ["1.2.3", "1.2.9", "1.3.0", "1.4.0"]),
        ("1.2 - 1.4 !=1.3 <1.4.1", ["1.2", "1.2.3", "1.2.9", "1.4.0"]),
        (">1.2", ["1.3.0", "1.4.0", "1.4.7", "1.5", "v1.9.9", "2.0.0", "3.1"]),
        (">1.2.3 <=1.4", ["1.2.9", "1.3.0", "1.4.0", "1.4.7"]),
        ("<=1.2.3 >=1.2.3", ["1.2.3"]),
        ("<0.2", ["0.0.3"]),
        ("!=1.x !=0", ["2.0.0", "3.1"]),
        ("~0.2 || 3", ["0.2.3", "3.1"]),
        ("~0.2||3||3", ["0.2.3", "3.1"]),
        (">=*", TAGS),
    ],
)
def test_range(text: str, inside: list[str]) -> None:
    assert [tag for tag in TAGS if Range.parse(text).has(version(tag), prereleases=False)] == inside


PRERELEASES = [
    "1.2.0-alpine",
    "1.2.3-alpine",
    "1.4.0-beta",
    "1.4.0-rc.1",
    "1.4.0-rc.2",
    "1.4-rc.3",
    "1.5.0-rc.1",
    "2.0.0-rc.1",
]


@pytest.mark.parametrize(
    ("text", "without_asking", "asked_for"),
    [
        ("*", [], PRERELEASES),
        ("1.2", [], ["1.2.0-alpine", "1.2.3-alpine"]),
        (">=1.2.0 <1.3", [], ["1.2.3-alpine"]),
        (">1.2", [], PRERELEASES[2:]),
        ("<2", [], PRERELEASES[:-1]),
        ("<2.0.0", [], PRERELEASES),
        ("^1.4", [], PRERELEASES[2:-1]),
        (">=1.4.0-rc.1", ["1.4.0-rc.1", "1.4.0-rc.2", "1.4-rc.3"], PRERELEASES[3:]),
        ("^1.4-rc.2", ["1.4.0-rc.2", "1.4-rc.3"], ["1.4.0-rc.2", "1.4-rc.3", "1.5.0-rc.1"]),
        ("~1.4.0-rc.2", ["1.4.0-rc.2", "1.4-rc.3"], ["1.4.0-rc.2", "1.4-rc.3"]),
        ("1.2.3-a - 1.4.0-rc.1", ["1.2.3-alpine", "1.4.0-beta", "1.4.0-rc.1"], PRERELEASES[1:4]),
        ("1.4.0-rc.1", ["1.4.0-rc.1"], ["1.4.0-rc.1"]),
        ("<1.2.3 || 1.4.0-rc.1", ["1.4.0-rc.1"], ["1.2.0-alpine", "1.2.3-alpine", "1.4.0-rc.1"]),
        ("!=1.4.0-rc.1", [], [tag for tag in PRERELEASES if tag != "1.4.0-rc.1"]),
    ],
)
def test_prereleases(text: str, without_asking: list[str], asked_for: list[str]) -> None:
    parsed = Range.parse(text)
    assert [tag for tag in PRERELEASES if parsed.has(version(tag), prereleases=False)] == without_asking
    assert [tag for tag in PRERELEASES if parsed.has(version(tag), prereleases=True)] == asked_for


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a range has no condition: write * for all versions"),
        ("1 ||", "a range has no condition"),
        ("latest", "'latest' is not a version such as"),
        (">=", "'' is not a version such as"),
        ("1.2.3+5", "'1.2.3+5' is not a version"),
        ("1.2.3.4", "'1.2.3.4' is not a version"),
        ("9" * 5000, "is not a version"),
        ("1 - ", "'-' is not a version"),
        (">1 - 2", "'>1' is not a version"),
        ("1.x.3", "'1.x.3' goes on after a wildcard: end it there"),
        ("*.1", "'*.1' goes on after a wildcard"),
        ("1.x-rc", "'1.x-rc' goes on after a wildcard"),
        ("=>1", "'=>' in '=>1' is not one of = != < <= > >= ^ ~"),
        ("~> 1", "'~>' in '~>1' is not one of"),
        (">2 <1", "no version can meet '>2 <1', as all conditions must be met: write || between those"),
        ("1.2.3, 1.2.4", "no version can meet '1.2.3, 1.2.4'"),
        ("1.5 - 1.2", "no version can meet"),
        (">1.2 <1.3", "no version can meet"),
        ("<0", "no version can meet"),
        (">*", "no version can meet"),
        ("<*", "no version can meet"),
        ("!=*", "no version can meet"),
        ("1.2 !=1.2", "no version can meet"),
        (">=1.2 <1.4 !=1.3 !=1.2", "no version can meet"),
        ("1 || >2 <1", "no version can meet '>2 <1'"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(RangeError) as caught:
        Range.parse(text)
    assert says in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(RangeError) as caught:
        Range.parse("a || 1 || >2 <1")
    assert "'a' is not a version" in str(caught.value)
    assert "no version can meet '>2 <1'" in str(caught.value)


def test_equal_by_text() -> None:
    assert Range.parse("^1") == Range.parse("^1")
    assert Range.parse("^1") != Range.parse("1.x")


few = st.integers(0, 2).map(str)
borders = st.one_of(
    st.lists(few, min_size=1, max_size=3).map(".".join),
    st.lists(few, min_size=3, max_size=3).map(lambda parts: f"{'.'.join(parts)}-b"),
)
conditions = st.one_of(
    st.tuples(st.sampled_from(["", "=", "!=", "!=", "<", "<=", ">", ">=", "^", "~"]), borders).map("".join),
    st.tuples(borders, borders).map(" - ".join),
)
# Something between any two edges that such conditions can have.
GRID = [
    version(f"{major}.{minor}.{patch}{suffix}")
    for major, minor, patch in itertools.product(range(4), repeat=3)
    for suffix in ("-a", "-b", "-c", "")
]


def _inside(text: str) -> set[Version]:
    try:
        parsed = Range.parse(text)
    except RangeError:
        return set()
    return {one for one in GRID if parsed.has(one, prereleases=True)}


@given(st.lists(conditions, min_size=1, max_size=4))
def test_a_range_is_what_all_its_conditions_have_in_common(several: list[str]) -> None:
    """And it is refused if that is nothing."""
    common = set.intersection(*map(_inside, several))
    assert _inside(" ".join(several)) == common
    if not common:
        with pytest.raises(RangeError, match="no version can meet"):
            Range.parse(", ".join(several))


@given(conditions, conditions)
def test_two_ranges_have_what_either_has(first: str, second: str) -> None:
    assume(_inside(first) and _inside(second))
    assert _inside(f"{first} || {second}") == _inside(first) | _inside(second)


@given(borders)
def test_operators_are_opposites(border: str) -> None:
    everything = set(GRID)
    assert _inside(f"<{border}") == everything - _inside(f">={border}")
    assert _inside(f">{border}") == everything - _inside(f"<={border}")
    assert _inside(f"!={border}") == everything - _inside(f"={border}")
    assert _inside(f"={border}") == _inside(f"{border} - {border}") == _inside(f"<={border}") & _inside(f">={border}")
    assert _inside(f"~{border}") <= _inside(f">={border}")
    assert _inside(f"={border}") <= _inside(f"^{border}") <= _inside(f">={border}")
