# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import (
    normal_rule,
    normal_rules,
    policy_from_text,
    preview_image_from_ecr,
    rule_from_ecr,
    rule_to_ecr,
    rules_from_policy,
    rules_to_text,
)
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import NORMAL, POLICY, Rule, valid_rules


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, {"storage_class": "standard"}),
        ({"storage_class": None}, {"storage_class": "standard"}),
        ({"storage_class": "archive"}, {"storage_class": "archive"}),
        ({"description": "", "count_unit": None}, {"storage_class": "standard"}),
        ({"tag_prefixes": [], "tag_patterns": None}, {"storage_class": "standard"}),
        ({"tag_patterns": ["b", "a", "b"]}, {"tag_patterns": ["a", "b"], "storage_class": "standard"}),
        ({"priority": "10", "count_number": "014"}, {"priority": 10, "storage_class": "standard", "count_number": 14}),
        # What is wrong stays as it is, for the grammar check to see.
        ({"tag_patterns": [1, "a"]}, {"tag_patterns": [1, "a"], "storage_class": "standard"}),
        ({"tag_patterns": "a"}, {"tag_patterns": "a", "storage_class": "standard"}),
        ({"priority": "-1", "tag_status": ""}, {"priority": "-1", "tag_status": "", "storage_class": "standard"}),
        ({"priority": "1" * 5000}, {"priority": "1" * 5000, "storage_class": "standard"}),
    ],
)
def test_normal_rule(rule: Rule, expected: Rule) -> None:
    assert normal_rule(rule) == expected


def test_normal_rule_has_its_fields_in_order() -> None:
    assert list(normal_rule({"/new": 1, "action": "expire", "priority": 1})) == [
        "priority",
        "storage_class",
        "action",
        "/new",
    ]


def test_a_policy_of_ecr_in_our_words() -> None:
    assert rules_from_policy(POLICY) == NORMAL


def test_our_rules_in_ecrs_words() -> None:
    assert json.loads(rules_to_text(NORMAL)) == POLICY


@pytest.mark.parametrize(
    ("document", "unknown"),
    [
        ({"selection": {"newThing": 1}}, {"/selection/newThing": 1}),
        ({"newThing": {"a": 1}}, {"/newThing": {"a": 1}}),
        ({"selection": "x", "action": "expire"}, {"/selection": "x", "/action": "expire"}),
        # Our own names mean nothing in ECR's form.
        ({"priority": 1, "tag_status": "any"}, {"/priority": 1, "/tag_status": "any"}),
    ],
)
def test_unknown_fields_are_kept_under_their_path(document: dict[str, Any], unknown: Rule) -> None:
    assert rule_from_ecr(document) == {"storage_class": "standard", **unknown}


def test_storage_class_is_sent_only_when_it_is_not_the_default() -> None:
    assert rule_to_ecr({"priority": 1, "storage_class": "standard"}) == {"rulePriority": 1}
    assert rule_to_ecr({"priority": 1, "storage_class": "archive"}) == {
        "rulePriority": 1,
        "selection": {"storageClass": "archive"},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1"),
        ('{"rules": [}', "it is not JSON: Expecting value: line 1 column 12"),
        ("[]", 'it must be an object with a list "rules"'),
        ("{}", 'it must be an object with a list "rules"'),
        ('{"rules": {}}', 'it must be an object with a list "rules"'),
        ('{"rules": [{}, 1]}', r"rules\[1\] must be an object"),
    ],
)
def test_a_text_of_another_shape(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        policy_from_text(text)


def test_the_text_is_compact_and_keeps_letters_of_any_language() -> None:
    assert rules_to_text([{"priority": 1, "description": "größer"}]) == (
        '{"rules":[{"rulePriority":1,"description":"größer"}]}'
    )


@given(valid_rules())
def test_there_and_back(rules: list[Rule]) -> None:
    normal = normal_rules(rules)
    assert rules_from_policy(policy_from_text(rules_to_text(normal))) == normal
    assert normal_rules(normal) == normal


@given(valid_rules(), st.data())
def test_order_and_nulls_mean_nothing(rules: list[Rule], data: st.DataObject) -> None:
    nothing = {"description": None, "tag_patterns": None, "tag_prefixes": None, "count_unit": None}
    other = [{**nothing, **rule} for rule in data.draw(st.permutations(rules))]
    for rule in other:
        for field in ("tag_patterns", "tag_prefixes"):
            if rule[field]:
                rule[field] = data.draw(st.permutations(rule[field])) + rule[field][:1]
    assert normal_rules(other) == normal_rules(rules)


@given(valid_rules(), st.sampled_from(["priority", "count_number"]))
def test_a_different_number_is_a_different_policy(rules: list[Rule], field: str) -> None:
    other = [{**rules[0], field: rules[0][field] + 1_000_000}, *rules[1:]]
    assert normal_rules(other) != normal_rules(rules)


def test_an_image_of_a_preview() -> None:
    pushed = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    assert preview_image_from_ecr(
        {
            "imageDigest": "sha256:1",
            "imageTags": ["b", "a"],
            "imagePushedAt": pushed,
            "action": {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"},
            "appliedRulePriority": 3,
            "storageClass": "STANDARD",
        }
    ) == {
        "digest": "sha256:1",
        "tags": ["a", "b"],
        "pushed_at": "2026-01-31T12:00:00+00:00",
        "storage_class": "standard",
        "rule_priority": 3,
        "action": "transition",
        "target_storage_class": "archive",
    }


def test_an_image_of_a_preview_of_which_ecr_says_little() -> None:
    assert preview_image_from_ecr({"action": {"type": "EXPIRE"}}) == {
        "digest": None,
        "tags": [],
        "pushed_at": None,
        "storage_class": "standard",
        "rule_priority": None,
        "action": "expire",
        "target_storage_class": None,
    }
