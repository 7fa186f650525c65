# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import (
    Rejected,
    Selected,
    Selection,
    SelectionError,
    natural_key,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.semver import Version

DIGEST = "sha256-" + "0123456789abcdef" * 4


def selected(options: dict[str, Any], tags: list[str]) -> list[str]:
    return [one.tag for one in Selection.parse(options).select(tags)]


def reasons(options: dict[str, Any], tags: list[str]) -> dict[str, str]:
    explanation = Selection.parse(options).explain(tags)
    return {one.tag: one.why for one in (*explanation.selected, *explanation.rejected)}


@pytest.mark.parametrize(
    ("options", "tags", "expected"),
    [
        # The four examples of the module that pull_sync replaces.
        ({}, ["latest", "v1.0", "sha-abc"], ["v1.0", "sha-abc", "latest"]),
        ({"globs": ["v1.*"]}, ["v1.0", "v1.2.3", "v10.0", "v2.0", "latest"], ["v1.2.3", "v1.0"]),
        ({"globs": ["{latest,stable}"]}, ["latest", "stable", "edge", "latest-arm64"], ["stable", "latest"]),
        ({"globs": ["v?.?.?", "v?.?"]}, ["v1.2.3", "v1.2.34", "v1.2", "v1.23", "1.2"], ["v1.2.3", "v1.2"]),
        ({"globs": ["v1.*", "latest"]}, ["v1.0", "latest", "v2.0"], ["v1.0", "latest"]),
        ({"globs": ["**"]}, ["latest", "v1.0"], ["v1.0", "latest"]),
        # One text for a list of one.
        ({"globs": "v*", "exclude": {"globs": "*-rc?"}}, ["v1", "v1-rc1", "1"], ["v1"]),
        # Any of the ways to match is enough.
        (
            {"globs": ["edge"], "regex": [r"\d{8}", "nightly.*"], "semver": "^1.4"},
            ["edge", "20240115", "2024011", "nightly-1", "1.5.0", "1.3.0", "x1.5.0"],
            ["nightly-1", "edge", "20240115", "1.5.0"],
        ),
        # A regex has to match all of the tag.
        ({"regex": r"v\d+"}, ["v1", "v1.2", "xv1"], ["v1"]),
        # Prereleases concern semver alone.
        ({"semver": ">=1"}, ["1.0.0", "1.1.0-rc.1", "1.1.0-alpine"], ["1.0.0"]),
        (
            {"semver": ">=1", "prereleases": True},
            ["1.0.0", "1.1.0-rc.1", "1.1.0-alpine"],
            ["1.1.0-rc.1", "1.1.0-alpine", "1.0.0"],
        ),
        ({"semver": ">=1.1.0-b"}, ["1.0.0", "1.1.0-rc.1", "1.1.0-alpine", "1.2.0-rc.1"], ["1.1.0-rc.1"]),
        ({"globs": ["*-alpine"], "semver": ">=2"}, ["1.1.0-alpine", "2.0", "2.0-rc"], ["2.0", "1.1.0-alpine"]),
        # Excluding wins, and knows prereleases.
        ({"exclude": {"globs": ["*-rc*"], "regex": "^latest$"}}, ["1", "1-rc1", "latest", "latest1"], ["latest1", "1"]),
        (
            {"globs": ["*-alpine"], "exclude": {"semver": "<1.27 || 1.28.1-alpine"}},
            ["1.26.9-alpine", "1.27-alpine", "1.28.1-alpine", "1.28.0-alpine", "1.28.0", "x-alpine"],
            ["x-alpine", "1.28.0-alpine", "1.27-alpine"],
        ),
        # The newest are counted after the excluded are gone.
        (
            {"newest": 2, "exclude": {"globs": ["*.10*"]}},
            ["1.9.0", "1.10.0", "1.9.1", "1.8.12"],
            ["1.9.1", "1.9.0"],
        ),
        ({"newest": 9}, ["1", "3", "2"], ["3", "2", "1"]),
        # Versions are in the order of versions, if that is what all are.
        ({"newest": 2}, ["1.2.0-rc.1", "1.2.0", "1.1.0"], ["1.2.0", "1.2.0-rc.1"]),
        ({"newest": 2}, ["1.2.0-rc.1", "1.2.0", "1.1.0", "0_1"], ["1.2.0-rc.1", "1.2.0"]),
        ({"newest": 2, "sort": "natural"}, ["1.2.0-rc.1", "1.2.0", "1.1.0"], ["1.2.0-rc.1", "1.2.0"]),
        ({"newest": 2, "sort": "semver"}, ["1.2.0-rc.1", "1.2.0", "1.1.0", "latest"], ["1.2.0", "1.2.0-rc.1"]),
        ({"newest": 3, "sort": "semver"}, ["1.0", "latest", "edge"], ["1.0"]),
        ({"sort": "semver"}, ["1.0", "latest", "1.0-rc", "edge"], ["1.0", "1.0-rc", "latest", "edge"]),
        # Equal versions are in natural order.
        ({"newest": 3}, ["1.2", "v1.2.0", "1.2.0", "1.1"], ["v1.2.0", "1.2.0", "1.2"]),
        # Numbers as numbers.
        ({"newest": 2}, ["build-9", "build-10", "build-8"], ["build-10", "build-9"]),
        ({"newest": 1}, ["2024-01-15_9", "2024-01-15_10", "2023-12-31_99"], ["2024-01-15_10"]),
        # Nulls ask for nothing, as options that an Ansible user did not give.
        (
            {"globs": None, "regex": None, "semver": None, "newest": None, "sort": None, "prereleases": None}
            | {"exclude": {"globs": None, "regex": None, "semver": None}, "digest_tags": None},
            ["1", DIGEST],
            ["1"],
        ),
        ({"exclude": None}, ["1"], ["1"]),
        ({"exclude": {}}, ["1"], ["1"]),
        ({"globs": ["v*"]}, [], []),
        ({"newest": 1}, ["latest", "latest"], ["latest"]),
    ],
)
def test_select(options: dict[str, Any], tags: list[str], expected: list[str]) -> None:
    assert selected(options, tags) == expected


@pytest.mark.parametrize(
    "tag", [DIGEST, f"{DIGEST}.sig", f"{DIGEST}.att", f"{DIGEST}.sbom", DIGEST.replace("256", "512")]
)
@pytest.mark.parametrize("options", [{}, {"globs": ["sha*"]}, {"regex": ".*"}, {"newest": 5}])
def test_digest_tags_only_if_asked_for(options: dict[str, Any], tag: str) -> None:
    assert selected(options, [tag]) == []
    assert "named after the digest of another image" in reasons(options, [tag])[tag]
    assert selected({**options, "digest_tags": True}, [tag]) == [tag]


@pytest.mark.parametrize("tag", ["sha256-0123abcd", f"x{DIGEST}", f"{DIGEST}-amd64", DIGEST.upper(), "sha-" + "0" * 40])
def test_what_looks_like_a_digest_tag(tag: str) -> None:
    assert selected({}, [tag]) == [tag]


@pytest.mark.parametrize("tag", ["", "a/b", "../etc", ".a", "-a", "a b", "a\n", "ä", "a" * 129, "9" * 5000])
def test_what_is_no_tag_is_never_selected(tag: str) -> None:
    options = {"globs": ["**"], "regex": r"[\s\S]*", "semver": "*", "newest": 5, "digest_tags": True}
    assert selected(options, [tag, "1"]) == ["1"]
    assert "not a tag that a registry may have" in reasons(options, [tag])[tag]


def test_the_longest_tag() -> None:
    assert selected({"globs": ["a*"]}, ["a" * 128]) == ["a" * 128]


def test_every_tag_has_a_reason() -> None:
    options = {
        "globs": ["v*", "edge"],
        "regex": r"\d+",
        "semver": "<9",
        "exclude": {"globs": ["v1.*"], "regex": "v2.*", "semver": "5 - 6"},
    }
    tags = ["edge", "v9", "10", "3.1", "3.2-rc", "v1.2", "v2.2", "v5", "nightly", "9.1", DIGEST, "a/b"]
    assert reasons(options, tags) == {
        "edge": "matches the glob 'edge'",
        "v9": "matches the glob 'v*'",
        "10": r"matches the regex '\\d+'",
        "3.1": "matches the semver range '<9'",
        "3.2-rc": "in the semver range but for being a prerelease (prereleases is false)",
        "v1.2": "excluded by the glob 'v1.*'",
        "v2.2": "excluded by the regex 'v2.*'",
        "v5": "excluded by the semver range '5 - 6'",
        "nightly": "matches nothing that is selected",
        "9.1": "matches nothing that is selected",
        DIGEST: "named after the digest of another image, with which it travels (digest_tags is false)",
        "a/b": "not a tag that a registry may have (128 characters of A-Z a-z 0-9 _ . - and no . or - first)",
    }


def test_reasons_of_the_newest() -> None:
    selection = Selection.parse({"newest": 1, "sort": "semver"})
    explanation = selection.explain(["1.0", "1.1", "latest"])
    assert explanation.selected == (Selected("1.1", "every tag is selected, among the newest 1 of 2 in semver order"),)
    assert explanation.rejected == (
        Rejected("1.0", "not among the newest 1 of 2 in semver order"),
        Rejected("latest", "not a version, so not among the newest 1 of 2 in semver order"),
    )


def test_reason_names_the_order_that_was_chosen() -> None:
    assert reasons({"newest": 1}, ["a2", "a10"])["a10"].endswith("among the newest 1 of 2 in natural order")
    assert reasons({"newest": 1}, ["2", "10"])["10"].endswith("among the newest 1 of 2 in semver order")


# Problems


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"glob": ["a"]},
            "glob: unknown, use one of globs, regex, semver, exclude, newest, sort, prereleases, part, digest_tags",
        ),
        ({"exclude": {"newest": 1}}, "exclude.newest: unknown, use one of globs, regex, semver"),
        ({1: 2}, "1: unknown, use one of globs"),
        ({"globs": []}, "globs: an empty list: give a pattern, or leave it out"),
        ({"exclude": {"regex": ()}}, "exclude.regex: an empty list: give a pattern, or leave it out"),
        ({"globs": ["a", ""]}, "globs[1]: empty, which matches no tag: give a pattern, or leave it out"),
        ({"globs": ["a", None]}, "globs[1]: empty, which matches no tag"),
        ({"globs": ""}, "globs: empty, which matches no tag"),
        ({"semver": " "}, "semver: empty, which matches no tag"),
        ({"globs": [1.2]}, "globs[0]: must be text, not 1.2: put it in quotes"),
        ({"globs": {"a": "b"}}, "globs: must be text, not {'a': 'b'}"),
        ({"semver": 1.2}, "semver: must be text, not 1.2: put it in quotes"),
        ({"semver": ["^1"]}, "semver: must be text, not ['^1']"),
        ({"globs": ["a{b"]}, "globs[0]: 'a{b': opens a brace that is not closed: add a }"),
        ({"globs": ["v[12]*"]}, "globs[0]: 'v[12]*': can match no tag, as none has '[' or ']': write {1,2} for [12]"),
        ({"globs": ["library/*"]}, "globs[0]: 'library/*': can match no tag, as none has '/': leave it out"),
        ({"globs": ["a, b"]}, "globs[0]: 'a, b': can match no tag, as none has ' ' or ',': leave it out"),
        ({"globs": "{" + "a" * 5000 + "}"}, "is too large"),
        ({"regex": ["a", "("]}, "regex[1]: '(': is not a regular expression: missing )"),
        ({"exclude": {"regex": "(?!a)"}}, "exclude.regex: '(?!a)': lookahead is not supported"),
        ({"semver": ">2 <1"}, "semver: '>2 <1': no version can meet '>2 <1'"),
        ({"exclude": {"semver": "latest"}}, "exclude.semver: 'latest': 'latest' is not a version"),
        ({"exclude": ["a"]}, "exclude: must be a dictionary with globs, regex or semver, not ['a']"),
        ({"newest": 0}, "newest: 0 would select nothing: give at least 1, or leave it out for all"),
        ({"newest": -1}, "newest: -1 would select nothing"),
        ({"newest": "3"}, "newest: must be a whole number of at least 1, not '3'"),
        ({"newest": True}, "newest: must be a whole number of at least 1, not True"),
        ({"sort": "date"}, "sort: 'date' is not one of semver, natural"),
        ({"sort": []}, "sort: [] is not one of semver, natural"),
        ({"prereleases": "yes"}, "prereleases: must be true or false, not 'yes'"),
        ({"digest_tags": 1}, "digest_tags: must be true or false, not 1"),
    ],
)
def test_problem(options: dict[Any, Any], problem: str) -> None:
    with pytest.raises(SelectionError) as caught:
        Selection.parse(options)
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_all_problems_at_once() -> None:
    with pytest.raises(SelectionError) as caught:
        Selection.parse(
            {
                "globs": ["{", "ok", ""],
                "regex": "(",
                "semver": "x.1",
                "newest": 0,
                "sort": "age",
                "prereleases": 1,
                "oldest": 1,
                "exclude": {"globs": "}", "semver": "", "newest": 1},
            }
        )
    fields = [problem.split(": ")[0] for problem in caught.value.problems]
    assert sorted(fields) == [
        *["exclude.globs", "exclude.newest", "exclude.semver", "globs[0]", "globs[2]"],
        *["newest", "oldest", "prereleases", "regex", "semver", "sort"],
    ]
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_selections_are_values() -> None:
    options: dict[str, Any] = {"globs": ["v*"], "regex": "a", "semver": "^1", "exclude": {"globs": ["b"]}, "newest": 3}
    assert Selection.parse(options) == Selection.parse(options)
    assert hash(Selection.parse(options)) == hash(Selection.parse(options))
    assert Selection.parse(options) != Selection.parse({**options, "newest": 4})
    assert Selection.parse({}) == Selection()


# Natural order


@pytest.mark.parametrize(
    "ascending",
    [
        ["1", "2", "10", "a", "a1", "a2", "a10", "b"],
        ["1.2", "1.2-alpine", "1.2.1", "1.10"],
        ["20230101-9", "20230101-10", "20240101-1"],
        ["01", "1", "1a", "2"],
        ["A", "a"],
    ],
)
def test_natural_order(ascending: list[str]) -> None:
    shuffled = random.Random(1).sample(ascending, len(ascending))
    assert sorted(shuffled, key=natural_key) == ascending


# Properties

tags = st.one_of(
    st.from_regex(r"v?[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-(rc\.[0-9]|alpine|slim))?", fullmatch=True),
    st.sampled_from(["latest", "edge", "stable", "build-9", "build-10", f"{DIGEST}.sig", "no tag"]),
    st.from_regex(r"[a-z0-9_][a-z0-9._-]{0,4}", fullmatch=True),
)
lists_of_tags = st.lists(tags, max_size=20)
matchers = st.fixed_dictionaries(
    {},
    optional={
        "globs": st.lists(st.sampled_from(["v*", "*", "?.?", "{latest,edge}", "*-*"]), min_size=1, max_size=2),
        "regex": st.sampled_from([r"\d+", r"v?\d+\.\d+", ".*e.*"]),
        "semver": st.sampled_from(["^1", "<5", "*", ">=2 <7 || 9", "!=1"]),
    },
)
selections = st.builds(
    lambda included, others: included | others,
    matchers,
    st.fixed_dictionaries(
        {},
        optional={
            "exclude": matchers,
            "newest": st.integers(1, 6),
            "sort": st.sampled_from(["semver", "natural"]),
            "prereleases": st.booleans(),
            "digest_tags": st.booleans(),
        },
    ),
)


@given(selections, lists_of_tags)
def test_every_tag_is_explained_once(options: dict[str, Any], given_tags: list[str]) -> None:
    explanation = Selection.parse(options).explain(given_tags)
    explained = [one.tag for one in (*explanation.selected, *explanation.rejected)]
    assert len(explained) == len(set(explained))
    assert set(explained) == set(given_tags)
    assert all(one.why for one in (*explanation.selected, *explanation.rejected))
    assert Selection.parse(options).select(given_tags) == list(explanation.selected)


@given(selections, lists_of_tags, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(
    options: dict[str, Any], given_tags: list[str], order: random.Random
) -> None:
    shuffled = order.sample(given_tags, len(given_tags)) + given_tags[:3]
    assert Selection.parse(options).explain(shuffled) == Selection.parse(options).explain(given_tags)


@given(lists_of_tags)
def test_a_tag_is_a_glob_for_itself(given_tags: list[str]) -> None:
    for tag in set(given_tags) - {"no tag"}:
        assert selected({"globs": [tag], "digest_tags": True}, given_tags) == [tag]


@given(selections, matchers.filter(bool), lists_of_tags)
def test_excluding_wins(options: dict[str, Any], exclude: dict[str, Any], given_tags: list[str]) -> None:
    matching = set(selected({**exclude, "prereleases": True, "digest_tags": True}, given_tags))
    assert not matching & set(selected({**options, "exclude": exclude}, given_tags))


@given(selections, lists_of_tags)
def test_the_newest_are_the_first_of_all(options: dict[str, Any], given_tags: list[str]) -> None:
    everything = selected({key: value for key, value in options.items() if key != "newest"}, given_tags)
    if options.get("sort") == "semver":
        everything = [tag for tag in everything if Version.parse(tag)]
    for newest in (1, 2, 5):
        assert selected({**options, "newest": newest}, given_tags) == everything[:newest]


@given(lists_of_tags)
def test_the_order_is_what_it_says(given_tags: list[str]) -> None:
    natural = selected({"sort": "natural", "digest_tags": True}, given_tags)
    assert natural == sorted(natural, key=natural_key, reverse=True)
    versions = [Version.parse(tag) for tag in selected({"sort": "semver"}, given_tags)]
    known = [version for version in versions if version]
    assert known == sorted(known, reverse=True)
    assert versions[: len(known)] == known


@given(matchers.filter(bool), lists_of_tags)
def test_one_way_to_match_is_enough(options: dict[str, Any], given_tags: list[str]) -> None:
    each = [set(selected({key: value}, given_tags)) for key, value in options.items()]
    assert set(selected(options, given_tags)) == set.union(*each)


def test_ten_thousand_tags() -> None:
    many = [
        f"{major}.{minor}.{patch}{variant}"
        for major in range(10)
        for minor in range(50)
        for patch in range(10)
        for variant in ("", "-alpine")
    ]
    options = {"semver": ">=3 <5 || 7.x", "globs": ["9.{1,2}*.?"], "exclude": {"regex": r".*\.[0-4]"}, "newest": 100}
    explanation = Selection.parse(options).explain(many)
    assert len(explanation.selected) == 100
    assert len(explanation.rejected) == 9_900
    assert explanation.selected[0].tag == "9.29.9"
