# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ECR's shapes to ours and back: snake_case, flat, and in a normal form in which equal means the same.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# A rule of a lifecycle policy, flat, with the names of the option `rules`.
Rule = dict[str, Any]

# Where ECR keeps each of our fields.
RULE_PATHS: Mapping[str, tuple[str, ...]] = {
    "priority": ("rulePriority",),
    "description": ("description",),
    "tag_status": ("selection", "tagStatus"),
    "tag_patterns": ("selection", "tagPatternList"),
    "tag_prefixes": ("selection", "tagPrefixList"),
    "storage_class": ("selection", "storageClass"),
    "count_type": ("selection", "countType"),
    "count_unit": ("selection", "countUnit"),
    "count_number": ("selection", "countNumber"),
    "action": ("action", "type"),
    "target_storage_class": ("action", "targetStorageClass"),
}
_FIELDS = {path: field for field, path in RULE_PATHS.items()}

WHOLE_NUMBERS = ("priority", "count_number")
TAG_LISTS = ("tag_patterns", "tag_prefixes")
DEFAULT_STORAGE_CLASS = "standard"

_DIGITS = re.compile("[0-9]{1,9}")


def normal_rule(rule: Mapping[str, Any]) -> Rule:
    """One way to write a rule: no nulls, no empty lists or texts, tags and fields in order, the default spelled out.

    What is wrong stays wrong, so that the grammar check still sees it.
    """
    normal = {field: _normal_value(field, value) for field, value in rule.items() if not _is_nothing(field, value)}
    normal.setdefault("storage_class", DEFAULT_STORAGE_CLASS)
    known = {field: normal.pop(field) for field in RULE_PATHS if field in normal}
    return {**known, **normal}


def normal_rules(rules: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """One way to write a policy: normal rules, in the order in which ECR applies them."""
    return sorted(map(normal_rule, rules), key=lambda rule: rule["priority"])


def rule_from_ecr(document: Mapping[str, Any]) -> Rule:
    """Flatten. A field that this version does not know is named by its path, as /selection/new, and so never lost."""
    return normal_rule({_FIELDS.get(path, "/" + "/".join(path)): value for path, value in _leaves(document)})


def rule_to_ecr(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Nest, without the default that older tools do not know."""
    document: dict[str, Any] = {}
    for field, path in RULE_PATHS.items():
        value = rule.get(field)
        if value is None or (field, value) == ("storage_class", DEFAULT_STORAGE_CLASS):
            continue
        parent = document
        for step in path[:-1]:
            parent = parent.setdefault(step, {})
        parent[path[-1]] = value
    return document


def policy_from_text(text: str) -> dict[str, Any]:
    """A lifecycle policy as ECR stores it. ValueError says where the text has another shape."""
    try:
        policy = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(policy, dict) or not isinstance(policy.get("rules"), list):
        raise ValueError('it must be an object with a list "rules"')
    for index, rule in enumerate(policy["rules"]):
        if not isinstance(rule, dict):
            raise ValueError(f"rules[{index}] must be an object")
    return policy


def rules_from_policy(policy: Mapping[str, Any]) -> list[Rule]:
    """Its rules, in its order."""
    return [rule_from_ecr(rule) for rule in policy["rules"]]


def stored_rules(text: str) -> list[Rule]:
    """The rules of a policy that ECR has. ValueError says what keeps them from being understood."""
    rules = rules_from_policy(policy_from_text(text))
    for index, rule in enumerate(rules):
        if not isinstance(rule.get("priority"), int):
            raise ValueError(f"rules[{index}] has no rulePriority")
    return rules


def rules_to_text(rules: Sequence[Mapping[str, Any]]) -> str:
    """What is sent to ECR: compact, because its length is limited."""
    return json.dumps({"rules": [rule_to_ecr(rule) for rule in rules]}, separators=(",", ":"), ensure_ascii=False)


def preview_image_from_ecr(result: Mapping[str, Any]) -> dict[str, Any]:
    """One image of a lifecycle policy preview."""
    action = result.get("action", {})
    pushed_at = result.get("imagePushedAt")
    return {
        "digest": result.get("imageDigest"),
        "tags": sorted(result.get("imageTags", [])),
        "pushed_at": pushed_at.isoformat() if pushed_at else None,
        "storage_class": result.get("storageClass", DEFAULT_STORAGE_CLASS).lower(),
        "rule_priority": result.get("appliedRulePriority"),
        "action": action.get("type", "").lower(),
        "target_storage_class": action["targetStorageClass"].lower() if "targetStorageClass" in action else None,
    }


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in document.items():
        if key in ("selection", "action") and isinstance(value, Mapping):
            yield from (((key, inner), inner_value) for inner, inner_value in value.items())
        else:
            yield (key,), value


def _is_nothing(field: str, value: Any) -> bool:
    return value is None or (field in TAG_LISTS and value == []) or (field == "description" and value == "")


def _normal_value(field: str, value: Any) -> Any:
    if field in WHOLE_NUMBERS and isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)  # templates of older ansible-core turn numbers into text
    if field in TAG_LISTS and isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return sorted(set(value))
    return value
