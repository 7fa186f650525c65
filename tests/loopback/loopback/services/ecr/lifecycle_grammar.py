"""The grammar of lifecycle policies, and what ECR says of a policy that breaks it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented

MAX_RULES = 50
MAX_WILDCARDS = 4
MIN_DAYS_IN_ARCHIVE = 90

_NAMES = {str: "string", int: "integer", list: "array", dict: "object", bool: "boolean", type(None): "null"}


@dataclass(frozen=True)
class Field:
    kind: type
    required: bool = False
    choices: tuple[str, ...] = ()


POLICY = {"rules": Field(list, True)}
RULE = {
    "rulePriority": Field(int, True),
    "description": Field(str),
    "selection": Field(dict, True),
    "action": Field(dict, True),
}
SELECTION = {
    "tagStatus": Field(str, True, ("tagged", "untagged", "any")),
    "tagPatternList": Field(list),
    "tagPrefixList": Field(list),
    "storageClass": Field(str, False, ("standard", "archive")),
    "countType": Field(
        str, True, ("imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned")
    ),
    "countUnit": Field(str, False, ("days",)),
    "countNumber": Field(int, True),
}
ACTION = {"type": Field(str, True, ("expire", "transition")), "targetStorageClass": Field(str, False, ("archive",))}

#: countType -> (storage class it measures, actions it can have)
COUNT_TYPES = {
    "imageCountMoreThan": ("standard", ("expire", "transition")),
    "sinceImagePushed": ("standard", ("expire", "transition")),
    "sinceImagePulled": ("standard", ("transition",)),
    "sinceImageTransitioned": ("archive", ("expire",)),
}


@dataclass(frozen=True)
class Rule:
    priority: int
    tag_status: str
    patterns: tuple[str, ...]
    prefixes: tuple[str, ...]
    storage_class: str
    count_type: str
    count_number: int
    action: str


def parse(text: str) -> list[Rule]:
    """The rules of a policy, by priority. Raises what ECR raises for a policy that it does not take."""
    document = _check_structure(text)
    rules = [_rule(entry) for entry in document["rules"]]
    for entry, rule in zip(document["rules"], rules, strict=True):
        _check_tags(rule, entry["selection"])
        _check_count(rule, entry["selection"])
        _check_action(rule, entry["action"])
    _check_together(rules)
    return sorted(rules, key=lambda rule: rule.priority)


def _rule(entry: dict[str, Any]) -> Rule:
    selection = entry["selection"]
    return Rule(
        priority=entry["rulePriority"],
        tag_status=selection["tagStatus"],
        patterns=tuple(selection.get("tagPatternList", ())),
        prefixes=tuple(selection.get("tagPrefixList", ())),
        storage_class=selection.get("storageClass", "standard"),
        count_type=selection["countType"],
        count_number=selection["countNumber"],
        action=entry["action"]["type"],
    )


# ------------------------------------------------------------------ each value by itself


@documented("ECR user guide, lifecycle_policy_parameters; service-quotas: 50 rules")
@assumed("wordings but 'Could not map policyString' and 'missing required properties', which users report")
def _check_structure(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise refusal("Could not map policyString into LifecyclePolicy.") from error
    _check_object(document, POLICY)
    _check_length(document["rules"])
    if len(document["rules"]) > MAX_RULES:
        raise refusal(f"array is too long: must have at most {MAX_RULES} elements")
    for entry in document["rules"]:
        _check_object(entry, RULE)
        _check_object(entry["selection"], SELECTION)
        _check_object(entry["action"], ACTION)
    return dict(document)


def _check_object(value: Any, fields: dict[str, Field]) -> None:
    _check_kind(value, dict)
    missing = sorted(name for name, field in fields.items() if field.required and name not in value)
    if missing:
        raise refusal(f"object has missing required properties ({json.dumps(missing, separators=(',', ':'))})")
    unknown = sorted(value.keys() - fields.keys())
    if unknown:
        raise refusal(f"object instance has properties which are not allowed by the schema: {json.dumps(unknown)}")
    for name, item in value.items():
        _check_value(item, fields[name])


def _check_value(value: Any, field: Field) -> None:
    _check_kind(value, field.kind)
    if field.choices and value not in field.choices:
        choices = json.dumps(field.choices, separators=(",", ":"))
        raise refusal(f'instance value ("{value}") not found in enum (possible values: {choices})')
    if field.kind is int and value < 1:
        raise refusal(f"numeric instance is lower than the required minimum (minimum: 1, found: {value})")


def _check_kind(value: Any, kind: type) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found, allowed = _NAMES.get(type(value), "number"), _NAMES[kind]
        raise refusal(f'instance type ({found}) does not match any allowed primitive type (allowed: ["{allowed}"])')


def _check_length(items: list[Any]) -> None:
    if not items:
        raise refusal("array is too short: must have at least 1 elements but instance has 0 elements")


# ------------------------------------------------------------------ values against each other


@documented("ECR user guide, LifecyclePolicies: lists are for tagged, one of the two, four wildcards")
@assumed("wordings but 'Must specify tagPrefixList or tagPatternList', which users report")
def _check_tags(rule: Rule, selection: dict[str, Any]) -> None:
    given = [name for name in ("tagPatternList", "tagPrefixList") if name in selection]
    for name in given:
        _check_length(selection[name])
        for item in selection[name]:
            _check_kind(item, str)
    if rule.tag_status == "tagged" and not given:
        raise refusal("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
    if rule.tag_status != "tagged" and given:
        raise refusal(f"{given[0]} can only be specified when tagStatus=TAGGED.")
    if len(given) == 2:
        raise refusal("Must specify only one of tagPrefixList and tagPatternList.")
    for pattern in rule.patterns:
        if pattern.count("*") > MAX_WILDCARDS:
            raise refusal(f"tagPatternList entry '{pattern}' has more than {MAX_WILDCARDS} wildcards")


@documented("ECR user guide, lifecycle_policy_parameters; archive-image: 90 days")
@assumed("wordings")
def _check_count(rule: Rule, selection: dict[str, Any]) -> None:
    counts_images = rule.count_type == "imageCountMoreThan"
    if counts_images and "countUnit" in selection:
        raise refusal("countUnit must not be specified when countType=imageCountMoreThan")
    if not counts_images and "countUnit" not in selection:
        raise refusal(f"countUnit must be specified when countType={rule.count_type}")
    storage_class, _actions = COUNT_TYPES[rule.count_type]
    if rule.storage_class != storage_class:
        raise refusal(f"storageClass must be {storage_class} when countType={rule.count_type}")
    if rule.count_type == "sinceImageTransitioned" and rule.count_number < MIN_DAYS_IN_ARCHIVE:
        raise refusal(f"countNumber must be at least {MIN_DAYS_IN_ARCHIVE} when countType={rule.count_type}")


@documented("ECR user guide, lifecycle_policy_parameters")
@assumed("that other combinations of countType and action are refused, and wordings")
def _check_action(rule: Rule, action: dict[str, Any]) -> None:
    _storage_class, allowed = COUNT_TYPES[rule.count_type]
    if rule.action not in allowed:
        raise refusal(f"action type {rule.action} is not allowed when countType={rule.count_type}")
    if (rule.action == "transition") != ("targetStorageClass" in action):
        raise refusal("targetStorageClass must be specified when, and only when, action type is transition")


@documented("ECR user guide, LifecyclePolicies, evaluation rules; wordings of ANY and Untagged from users' reports")
@assumed("wordings of the others; 'unique set of prefixes' means that no two rules have the same set")
def _check_together(rules: list[Rule]) -> None:
    for priority, times in Counter(rule.priority for rule in rules).items():
        if times > 1:
            raise refusal(f"Duplicate rulePriority {priority}")
    for peers in _by_storage_class(rules):
        for rule in peers:
            if rule.tag_status == "any" and any(other.priority > rule.priority for other in peers):
                raise refusal("Rule for tagStatus=ANY must have the lowest priority per storage class")
        if sum(rule.tag_status == "untagged" for rule in peers) > 1:
            raise refusal("Only one rule can select Untagged images per storage class")
        prefixes = [frozenset(rule.prefixes) for rule in peers if rule.prefixes]
        if len(prefixes) != len(set(prefixes)):
            raise refusal("Rules must have unique tagPrefixList per storage class")


def _by_storage_class(rules: list[Rule]) -> Iterator[list[Rule]]:
    for storage_class in ("standard", "archive"):
        yield [rule for rule in rules if rule.storage_class == storage_class]


def refusal(why: str) -> AwsError:
    return invalid_parameter("LifecyclePolicyText", f"Lifecycle policy validation failure: {why}")
