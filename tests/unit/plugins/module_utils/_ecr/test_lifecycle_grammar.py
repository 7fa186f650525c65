# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.lifecycle_grammar import (
    ecr_names,
    our_names,
    policy_problems,
    policy_warnings,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import normal_rule
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import NORMAL, Rule, valid_rules

UNTAGGED, RELEASES = NORMAL
ANY: Rule = {**RELEASES, "tag_status": "any", "tag_patterns": None}
ARCHIVED: Rule = {
    "priority": 9,
    "tag_status": "untagged",
    "storage_class": "archive",
    "count_type": "sinceImageTransitioned",
    "count_unit": "days",
    "count_number": 90,
    "action": "expire",
}
TO_ARCHIVE: Rule = {"action": "transition", "target_storage_class": "archive"}


def problems(*rules: Rule) -> list[str]:
    return policy_problems([normal_rule(rule) for rule in rules], our_names)


@given(valid_rules())
def test_valid_policies_have_no_problems(rules: list[Rule]) -> None:
    assert problems(*rules) == []


@pytest.mark.parametrize(
    ("base", "difference", "expected"),
    [
        # Required fields and choices
        (RELEASES, {"priority": None}, "rules[0] (priority missing), priority: is required"),
        (RELEASES, {"tag_status": None}, "tag_status: is required"),
        (RELEASES, {"count_type": None}, "count_type: is required"),
        (RELEASES, {"count_number": None}, "count_number: is required"),
        (RELEASES, {"action": None}, "action: is required"),
        (RELEASES, {"tag_status": "TAGGED"}, "tag_status: must be one of tagged, untagged, any, not 'TAGGED'"),
        (
            RELEASES,
            {"count_type": "imageCount"},
            "count_type: must be one of imageCountMoreThan, sinceImagePushed, sinceImagePulled, "
            "sinceImageTransitioned, not 'imageCount'",
        ),
        (UNTAGGED, {"count_unit": "hours"}, "count_unit: must be days, not 'hours'"),
        (RELEASES, {"storage_class": "glacier"}, "storage_class: must be one of standard, archive, not 'glacier'"),
        (RELEASES, {"action": "delete"}, "action: must be one of expire, transition, not 'delete'"),
        (RELEASES, {"action": ["expire"]}, "action: must be one of expire, transition, not ['expire']"),
        (
            RELEASES,
            {"action": "transition", "target_storage_class": "glacier"},
            "target_storage_class: must be archive, not 'glacier'",
        ),
        # Values
        (RELEASES, {"priority": 0}, "rules[0] (priority 0), priority: must be a whole number of at least 1, not 0"),
        (RELEASES, {"priority": True}, "priority: must be a whole number of at least 1, not True"),
        (RELEASES, {"count_number": 0}, "count_number: must be a whole number of at least 1, not 0"),
        (RELEASES, {"count_number": 1.5}, "count_number: must be a whole number of at least 1, not 1.5"),
        (RELEASES, {"count_number": "ten"}, "count_number: must be a whole number of at least 1, not 'ten'"),
        (RELEASES, {"description": 1}, "description: must be a text, not 1"),
        (RELEASES, {"tag_patterns": "v*"}, "tag_patterns: must be a list of texts, none of them empty, not 'v*'"),
        (RELEASES, {"tag_patterns": [""]}, "tag_patterns: must be a list of texts, none of them empty, not ['']"),
        (RELEASES, {"tag_patterns": [1]}, "tag_patterns: must be a list of texts, none of them empty, not [1]"),
        (RELEASES, {"tag_patterns": ["a*b*c*d*e*"]}, "tag_patterns: 'a*b*c*d*e*' has 5 wildcards (*), ECR allows 4"),
        (RELEASES, {"/selection/new": 1}, "/selection/new: ECR knows no such field"),
        (RELEASES, {"/selection": "x"}, "/selection: must be an object, not 'x'"),
        # Tags
        (RELEASES, {"tag_patterns": None}, "tag_status: tagged needs tag_patterns or tag_prefixes"),
        (RELEASES, {"tag_prefixes": ["v"]}, "tag_patterns: cannot be combined with tag_prefixes in one rule"),
        (UNTAGGED, {"tag_prefixes": ["v"]}, "tag_prefixes: is allowed with tag_status tagged only, not untagged"),
        (ANY, {"tag_patterns": ["v"]}, "tag_patterns: is allowed with tag_status tagged only, not any"),
        # Counts
        (RELEASES, {"count_unit": "days"}, "count_unit: is not allowed with count_type imageCountMoreThan"),
        (UNTAGGED, {"count_unit": None}, "count_unit: is required with count_type sinceImagePushed: days"),
        (RELEASES, {"storage_class": "archive"}, "storage_class: must be standard with count_type imageCountMoreThan"),
        (
            ARCHIVED,
            {"storage_class": None},
            "storage_class: must be archive with count_type sinceImageTransitioned",
        ),
        (ARCHIVED, {"count_number": 89}, "count_number: must be at least 90 with count_type sinceImageTransitioned"),
        # Actions
        (
            UNTAGGED,
            {"count_type": "sinceImagePulled"},
            "action: must be transition with count_type sinceImagePulled, not expire",
        ),
        (ARCHIVED, TO_ARCHIVE, "action: must be expire with count_type sinceImageTransitioned, not transition"),
        (UNTAGGED, {"action": "transition"}, "target_storage_class: is required with action transition: archive"),
        (
            UNTAGGED,
            {"target_storage_class": "archive"},
            "target_storage_class: is not allowed with action expire",
        ),
    ],
)
def test_a_problem_of_one_rule(base: Rule, difference: Rule, expected: str) -> None:
    assert problems(base) == []
    [problem] = problems({**base, **difference})
    assert problem.endswith(expected)
    assert problem.startswith("rules[0] (priority ")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            [UNTAGGED, {**RELEASES, "priority": 1}],
            ["rules[1] (priority 1), priority: 1 is taken by rules[0]"],
        ),
        (
            [{**ANY, "priority": 1}, RELEASES],
            ["rules[0] (priority 1), tag_status: any must have the highest priority, but rules[1] comes after it"],
        ),
        (
            [ANY, {**ANY, "priority": 3}],
            ["rules[0] (priority 2), tag_status: any must have the highest priority, but rules[1] comes after it"],
        ),
        ([ANY, ARCHIVED], []),
        # A priority that is none is compared with no other.
        ([{**ANY, "priority": None}, RELEASES], ["rules[0] (priority missing), priority: is required"]),
        (
            [{**RELEASES, "priority": 0}, {**UNTAGGED, "priority": 0}],
            [
                "rules[0] (priority 0), priority: must be a whole number of at least 1, not 0",
                "rules[1] (priority 0), priority: must be a whole number of at least 1, not 0",
            ],
        ),
        ([UNTAGGED, ARCHIVED], []),
        (
            [UNTAGGED, {**UNTAGGED, "priority": 5}],
            ["rules[1] (priority 5), tag_status: rules[0] selects the untagged images already, and only one rule may"],
        ),
        (
            [
                {**RELEASES, "priority": priority, "tag_patterns": None, "tag_prefixes": prefixes}
                for priority, prefixes in ((1, ["a", "b"]), (2, ["a"]), (3, ["b", "a"]))
            ],
            ["rules[2] (priority 3), tag_prefixes: rules[0] has the same prefixes"],
        ),
        ([], ["rules: at least one is needed (state=absent removes a policy)"]),
        ([{**RELEASES, "priority": number} for number in range(1, 51)], []),
        (
            [{**RELEASES, "priority": number} for number in range(1, 52)],
            ["rules: there are 51, ECR allows 50"],
        ),
    ],
)
def test_problems_between_rules(rules: list[Rule], expected: list[str]) -> None:
    assert problems(*rules) == expected


def test_the_longest_policy() -> None:
    def with_description_of(length: int) -> Rule:
        return {**RELEASES, "description": "x" * length}

    [problem] = problems(with_description_of(40_000))
    excess = int(problem.split()[3]) - 30_720
    assert problem == f"rules: they take {30_720 + excess} characters as JSON, ECR allows 30720"
    assert problems(with_description_of(40_000 - excess)) == []
    assert problems(with_description_of(40_001 - excess)) != []
    assert len(problems({**with_description_of(40_000), "count_number": 0})) == 2


def test_all_problems_are_told_at_once_in_the_words_of_ecr() -> None:
    rules: list[dict[str, Any]] = [{"priority": 1, "tag_status": "some"}, {"priority": 1, "/selection/x": 1}]
    assert policy_problems([normal_rule(rule) for rule in rules], ecr_names) == [
        "rules[0] (rulePriority 1), selection.tagStatus: must be one of tagged, untagged, any, not 'some'",
        "rules[0] (rulePriority 1), selection.countType: is required",
        "rules[0] (rulePriority 1), selection.countNumber: is required",
        "rules[0] (rulePriority 1), action.type: is required",
        "rules[1] (rulePriority 1), selection.x: ECR knows no such field",
        "rules[1] (rulePriority 1), selection.tagStatus: is required",
        "rules[1] (rulePriority 1), selection.countType: is required",
        "rules[1] (rulePriority 1), selection.countNumber: is required",
        "rules[1] (rulePriority 1), action.type: is required",
        "rules[1] (rulePriority 1), rulePriority: 1 is taken by rules[0]",
    ]


def test_counting_children_of_multi_arch_images_is_warned_of() -> None:
    rules = [normal_rule(rule) for rule in (UNTAGGED, RELEASES, {**ANY, "priority": 3})]
    [warning] = policy_warnings(rules, ecr_names)
    assert warning.startswith("rules[2] (rulePriority 3), selection.countType: imageCountMoreThan with ")
    assert "fewer than 10 images may be left" in warning
