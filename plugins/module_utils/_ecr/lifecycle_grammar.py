# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grammar of ECR's lifecycle policies, checked before any call, with a message for every mistake at once.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import (
    RULE_PATHS,
    TAG_LISTS,
    WHOLE_NUMBERS,
    Rule,
    rules_to_text,
)

MAX_RULES = 50
MAX_CHARACTERS = 30720
MAX_WILDCARDS = 4
MIN_DAYS_IN_ARCHIVE = 90

COUNT_OF_IMAGES = "imageCountMoreThan"


@dataclass(frozen=True)
class CountType:
    storage_class: str
    actions: tuple[str, ...]


COUNT_TYPES = {
    COUNT_OF_IMAGES: CountType("standard", ("expire", "transition")),
    "sinceImagePushed": CountType("standard", ("expire", "transition")),
    "sinceImagePulled": CountType("standard", ("transition",)),
    "sinceImageTransitioned": CountType("archive", ("expire",)),
}

CHOICES = {
    "tag_status": ("tagged", "untagged", "any"),
    "storage_class": ("standard", "archive"),
    "count_type": tuple(COUNT_TYPES),
    "count_unit": ("days",),
    "action": ("expire", "transition"),
    "target_storage_class": ("archive",),
}
REQUIRED = ("priority", "tag_status", "count_type", "count_number", "action")

# How a problem names a field: in the words of the option that the user wrote.
Naming = Callable[[str], str]
# (field, what is wrong with it)
Problem = tuple[str, str]


def our_names(field: str) -> str:
    return field


def ecr_names(field: str) -> str:
    return ".".join(RULE_PATHS.get(field) or field.strip("/").split("/"))


def policy_problems(rules: Sequence[Rule], name: Naming) -> list[str]:
    """Everything that ECR would refuse, rule by rule. The rules are normal ones, in the order of the user."""
    problems = [
        _located(rules, index, problem, name)
        for index, rule in enumerate(rules)
        for problem in [*_rule_problems(rule, name), *_problems_among(rules, index, name)]
    ]
    if not rules:
        problems.append("rules: at least one is needed (state=absent removes a policy)")
    if len(rules) > MAX_RULES:
        problems.append(f"rules: there are {len(rules)}, ECR allows {MAX_RULES}")
    if (size := len(rules_to_text(rules))) > MAX_CHARACTERS:
        problems.append(f"rules: they take {size} characters as JSON, ECR allows {MAX_CHARACTERS}")
    return problems


def policy_warnings(rules: Sequence[Rule], name: Naming) -> list[str]:
    """What ECR accepts and its user may regret."""
    return [
        _located(
            rules,
            index,
            (
                "count_type",
                f"{COUNT_OF_IMAGES} with {name('tag_status')} any counts the children of multi-arch images and "
                f"signatures too, so fewer than {rule['count_number']} images may be left that somebody can pull; "
                f"{name('tag_status')} tagged with {name('tag_patterns')} ['*'] counts tagged images only",
            ),
            name,
        )
        for index, rule in enumerate(rules)
        if (rule["count_type"], rule["tag_status"]) == (COUNT_OF_IMAGES, "any")
    ]


def _located(rules: Sequence[Rule], index: int, problem: Problem, name: Naming) -> str:
    field, text = problem
    return f"rules[{index}] ({name('priority')} {rules[index].get('priority', 'missing')}), {name(field)}: {text}"


def _rule_problems(rule: Rule, name: Naming) -> Iterator[Problem]:
    yield from _field_problems(rule)
    yield from _tag_problems(rule, name)
    if not any(_field_problems(rule)):  # combinations of what is wrong by itself would only repeat it
        yield from _count_problems(rule, name)
        yield from _action_problems(rule, name)


def _field_problems(rule: Rule) -> Iterator[Problem]:
    """Each field by itself."""
    for field, value in rule.items():
        if field in ("/selection", "/action"):
            yield field, f"must be an object, not {value!r}"
        elif field not in RULE_PATHS:
            yield field, "ECR knows no such field"
        elif field in CHOICES and value not in CHOICES[field]:
            yield field, f"must be {_one_of(CHOICES[field])}, not {value!r}"
        elif field in WHOLE_NUMBERS and not _is_count(value):
            yield field, f"must be a whole number of at least 1, not {value!r}"
        elif field in TAG_LISTS and not _is_list_of_text(value):
            yield field, f"must be a list of texts, none of them empty, not {value!r}"
        elif field == "description" and not isinstance(value, str):
            yield field, f"must be a text, not {value!r}"
    yield from ((field, "is required") for field in REQUIRED if field not in rule)


def _tag_problems(rule: Rule, name: Naming) -> Iterator[Problem]:
    given = [field for field in TAG_LISTS if field in rule]
    status = rule.get("tag_status")
    if status == "tagged" and not given:
        yield "tag_status", f"tagged needs {name('tag_patterns')} or {name('tag_prefixes')}"
    if len(given) > 1:
        yield "tag_patterns", f"cannot be combined with {name('tag_prefixes')} in one rule"
    if status in ("untagged", "any"):
        yield from ((field, f"is allowed with {name('tag_status')} tagged only, not {status}") for field in given)
    for pattern in _texts(rule.get("tag_patterns")):
        if pattern.count("*") > MAX_WILDCARDS:
            yield "tag_patterns", f"{pattern!r} has {pattern.count('*')} wildcards (*), ECR allows {MAX_WILDCARDS}"


def _count_problems(rule: Rule, name: Naming) -> Iterator[Problem]:
    count_type = rule["count_type"]
    storage_class = COUNT_TYPES[count_type].storage_class
    if rule["storage_class"] != storage_class:
        yield "storage_class", f"must be {storage_class} with {name('count_type')} {count_type}"
    if count_type == COUNT_OF_IMAGES and "count_unit" in rule:
        yield "count_unit", f"is not allowed with {name('count_type')} {count_type}"
    if count_type != COUNT_OF_IMAGES and "count_unit" not in rule:
        yield "count_unit", f"is required with {name('count_type')} {count_type}: days"
    if count_type == "sinceImageTransitioned" and rule["count_number"] < MIN_DAYS_IN_ARCHIVE:
        yield "count_number", f"must be at least {MIN_DAYS_IN_ARCHIVE} with {name('count_type')} {count_type}"


def _action_problems(rule: Rule, name: Naming) -> Iterator[Problem]:
    count_type, action = rule["count_type"], rule["action"]
    allowed = COUNT_TYPES[count_type].actions
    if action not in allowed:
        yield "action", f"must be {_one_of(allowed)} with {name('count_type')} {count_type}, not {action}"
    if action == "transition" and "target_storage_class" not in rule:
        yield "target_storage_class", f"is required with {name('action')} transition: archive"
    if action == "expire" and "target_storage_class" in rule:
        yield "target_storage_class", f"is not allowed with {name('action')} expire"


def _problems_among(rules: Sequence[Rule], index: int, name: Naming) -> Iterator[Problem]:
    """What is wrong with a rule because of another one. ECR takes each storage class by itself."""
    rule = rules[index]
    status, prefixes, priority = rule.get("tag_status"), rule.get("tag_prefixes"), _count_of(rule.get("priority"))
    peers = [at for at, other in enumerate(rules) if other["storage_class"] == rule["storage_class"]]
    earlier = [at for at in peers if at < index]

    taken = [at for at in range(index) if priority and rules[at].get("priority") == priority]
    untagged = [at for at in earlier if status == rules[at].get("tag_status") == "untagged"]
    repeated = [at for at in earlier if prefixes and rules[at].get("tag_prefixes") == prefixes]
    after_any = [at for at in peers if status == "any" and _count_of(rules[at].get("priority")) > priority > 0]
    if taken:
        yield "priority", f"{priority} is taken by rules[{taken[0]}]"
    if untagged:
        yield "tag_status", f"rules[{untagged[0]}] selects the untagged images already, and only one rule may"
    if repeated:
        yield "tag_prefixes", f"rules[{repeated[0]}] has the same prefixes"
    if after_any:
        yield "tag_status", f"any must have the highest {name('priority')}, but rules[{after_any[0]}] comes after it"


def _count_of(value: Any) -> int:
    """The number, or 0 for what is no valid one."""
    return int(value) if _is_count(value) else 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _one_of(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
