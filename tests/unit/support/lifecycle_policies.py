# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lifecycle policies for tests: a few by hand, and all that the grammar allows for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Rule = dict[str, Any]

UNTAGGED: Rule = {
    "priority": 1,
    "tag_status": "untagged",
    "count_type": "sinceImagePushed",
    "count_number": 7,
    "action": "expire",
}
RELEASES: Rule = {
    "priority": 2,
    "description": "Ten releases stay",
    "tag_status": "tagged",
    "tag_patterns": ["v*"],
    "count_type": "imageCountMoreThan",
    "count_number": 10,
    "action": "expire",
}
# The same two, as the AWS CLI would have them.
POLICY: dict[str, Any] = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 7,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": "Ten releases stay",
            "selection": {
                "tagStatus": "tagged",
                "tagPatternList": ["v*"],
                "countType": "imageCountMoreThan",
                "countNumber": 10,
            },
            "action": {"type": "expire"},
        },
    ]
}
# And what the module returns for them.
NORMAL: list[Rule] = [
    {
        "priority": 1,
        "tag_status": "untagged",
        "storage_class": "standard",
        "count_type": "sinceImagePushed",
        "count_unit": "days",
        "count_number": 7,
        "action": "expire",
    },
    {
        "priority": 2,
        "description": "Ten releases stay",
        "tag_status": "tagged",
        "tag_patterns": ["v*"],
        "storage_class": "standard",
        "count_type": "imageCountMoreThan",
        "count_number": 10,
        "action": "expire",
    },
]

_TAGS = st.text("abcxyz019._-", min_size=1, max_size=8)
_PATTERNS = st.text("ab*", min_size=1, max_size=8).filter(lambda pattern: pattern.count("*") <= 4)
_COUNTS: list[Rule] = [
    {"count_type": "imageCountMoreThan", "action": "expire"},
    {"count_type": "imageCountMoreThan", "action": "transition"},
    {"count_type": "sinceImagePushed", "action": "expire"},
    {"count_type": "sinceImagePushed", "action": "transition"},
    {"count_type": "sinceImagePulled", "action": "transition"},
    {"count_type": "sinceImageTransitioned", "action": "expire", "storage_class": "archive"},
]


@st.composite
def _rule(draw: st.DrawFn, tag_status: str) -> Rule:
    rule: Rule = {"tag_status": tag_status, **draw(st.sampled_from(_COUNTS))}
    rule["count_number"] = draw(st.integers(90, 10_000))
    if rule["count_type"] != "imageCountMoreThan":
        rule["count_unit"] = "days"
    if rule["action"] == "transition":
        rule["target_storage_class"] = "archive"
    if "storage_class" not in rule and draw(st.booleans()):
        rule["storage_class"] = "standard"
    if draw(st.booleans()):
        rule["description"] = draw(st.text(max_size=20))
    if tag_status == "tagged":
        field, tags = draw(st.sampled_from([("tag_patterns", _PATTERNS), ("tag_prefixes", _TAGS)]))
        rule[field] = draw(st.lists(tags, min_size=1, max_size=3))
    return rule


def _prefixes(rule: Rule) -> Any:
    """Rules with prefixes must differ in them; all others are told apart by who they are."""
    return tuple(sorted(set(rule["tag_prefixes"]))) if "tag_prefixes" in rule else id(rule)


@st.composite
def valid_rules(draw: st.DrawFn) -> list[Rule]:
    """Any policy that ECR accepts, its rules in any order."""
    rules = draw(st.lists(_rule("tagged"), max_size=4, unique_by=_prefixes))
    rules += draw(st.lists(_rule("untagged"), max_size=2, unique_by=lambda rule: rule.get("storage_class", "standard")))
    rules = draw(st.permutations(rules))
    rules += draw(st.lists(_rule("any"), max_size=2, unique_by=lambda rule: rule.get("storage_class", "standard")))
    rules = rules or [draw(_rule("tagged"))]
    numbers = st.lists(st.integers(1, 10_000), min_size=len(rules), max_size=len(rules), unique=True)
    for rule, priority in zip(rules, sorted(draw(numbers)), strict=True):
        rule["priority"] = priority
    return draw(st.permutations(rules))
