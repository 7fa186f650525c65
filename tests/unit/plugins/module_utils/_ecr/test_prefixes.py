# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import (
    is_under,
    longest_prefix,
    normal_prefix,
    prefix_problem,
    repeated,
)

LENGTHS = range(2, 31)

parts = st.from_regex(r"[a-z0-9]{1,4}([._-][a-z0-9]{1,3})?", fullmatch=True)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("prefix", ["ab", "docker-hub", "a.b/c__d/e--f", "ROOT", "root", "1/2", "a" * 30])
def test_valid(prefix: str) -> None:
    assert prefix_problem(prefix, LENGTHS) is None


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("", "must have 2 to 30 characters, not 0"),
        ("a", "must have 2 to 30 characters, not 1"),
        ("a" * 31, "must have 2 to 30 characters, not 31"),
        ("Docker-Hub", "must be in lower case: docker-hub"),
        ("Root", "must be in lower case: root, or ROOT"),
        ("-ab", "not '-ab'"),
        ("ab-", "not 'ab-'"),
        ("a___b", "not 'a___b'"),
        ("a//b", "not 'a//b'"),
        ("/ab", "not '/ab'"),
        ("a b", "not 'a b'"),
        ("ROOT/a", "must be in lower case: root/a"),
        ("ab\n", "not 'ab\\n'"),
    ],
)
def test_invalid(prefix: str, says: str) -> None:
    problem = prefix_problem(prefix, LENGTHS)
    assert problem
    assert says in problem


@given(names)
def test_a_slash_at_the_end_makes_no_difference(name: str) -> None:
    assert normal_prefix(f"{name}/") == normal_prefix(name) == name


@pytest.mark.parametrize(
    ("name", "prefix", "under"),
    [
        ("team/a", "team", True),
        ("team", "team", True),
        ("team-b", "team", False),
        ("team-b/a", "team", False),
        ("a/team/b", "team", False),
        ("team/a/b", "team/a", True),
        ("anything", "ROOT", True),
        ("ROOT", "ROOT", True),
        ("ROOT", "team", False),
    ],
)
def test_is_under(name: str, prefix: str, under: bool) -> None:
    assert is_under(name, prefix) is under


def test_repeated() -> None:
    assert repeated(["a", "b", "a", "c", "a", "b"]) == [2, 4, 5]


@pytest.mark.parametrize(
    ("prefixes", "repository", "longest"),
    [
        ([], "a/b", None),
        (["ROOT"], "a", "ROOT"),
        (["ROOT", "a"], "a/b", "a"),
        (["ROOT", "a"], "a", "ROOT"),  # a repository under the prefix has a slash after it
        (["a", "a/b"], "a/b/c", "a/b"),
        (["a/b", "a"], "a/bc/d", "a"),
        (["a"], "ab/c", None),
    ],
)
def test_longest_prefix(prefixes: list[str], repository: str, longest: str | None) -> None:
    assert longest_prefix(prefixes, repository) == longest


@given(st.lists(names), names)
def test_the_longest_prefix_covers_and_none_longer_does(prefixes: list[str], repository: str) -> None:
    found = longest_prefix(prefixes, repository)
    covering = [prefix for prefix in prefixes if repository.startswith(f"{prefix}/")]
    assert (found is None) == (not covering)
    assert all(len(prefix) <= len(found or "") for prefix in covering)
