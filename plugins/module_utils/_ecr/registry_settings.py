# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a registry, part by part: what is wanted, what is there, and how to get from the one to the other.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_registry as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import registry_policy
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_grammar import (
    MAX_EXCLUSIONS,
    check_scanning,
    check_settings,
)

POLICY = "policy"


@dataclass(frozen=True)
class Exclusions:
    """Principals whose pulls shall not count, and whether all others' shall."""

    arns: Sequence[str]
    purge: bool


@dataclass(frozen=True)
class Replication:
    """The rules that there are, and whose they are."""

    registry_id: str
    rules: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    warn: Callable[[str], None]


def desired_parts(params: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted of each part that is managed, checked as a whole before anything is asked of AWS.

    The policy comes last: it may deny what the other parts need.
    """
    check_settings(params)
    arns, statements, unwanted = (
        params[option] for option in ("pull_time_exclusions", "policy_statements", "absent_statements")
    )
    edits_policy = statements is not None or unwanted is not None
    wanted = {
        **{option: params[option] for option in ("policy_scope", "basic_scan_version", "blob_mounting")},
        "scanning": params["scanning"],
        "replication": params["replication_rules"],
        "pull_time_exclusions": None if arns is None else Exclusions(arns, params["purge_pull_time_exclusions"]),
        POLICY: registry_policy.Edit(statements or [], unwanted or []) if edits_policy else None,
    }
    return {part: desired for part, desired in wanted.items() if desired is not None}


def converge(client: Any, part: str, parts: Mapping[str, Any], settings: Settings) -> Change:
    """One part from beginning to end."""
    desired = parts[part]
    if part == POLICY:
        return registry_policy.converge(
            client, desired, check_mode=settings.check_mode, warn=settings.warn, scope=parts.get("policy_scope")
        )
    how = _PARTS[part]
    change = how.plan(how.read(client), desired)
    if change.changed and not settings.check_mode:
        how.write(client, change)
    return change


# ------------------------------------------------------------------ plans


def plan_value(option: str, current: str | None, desired: str) -> Change:
    """An account setting. Pure."""
    return Change(current, desired, _when(current != desired, f"set {option} to {desired}"))


def plan_scanning(current: Mapping[str, Any], desired: Mapping[str, Any]) -> Change:
    """What is not given stays, and must go together with what is. Pure."""
    before = _normal_scanning(current)
    after = _normal_scanning({**before, **{field: value for field, value in desired.items() if value is not None}})
    check_scanning(after)
    rules = ", ".join(rule["scan_frequency"] for rule in after["rules"]) or "none"
    return Change(before, after, _when(before != after, f"set scanning to {after['scan_type']} (rules: {rules})"))


def plan_replication(current: Replication, desired: Sequence[Any]) -> Change:
    """All rules at once, as ECR takes them. A destination without a registry is this account's. Pure."""
    before = _normal_replication(current.rules, current.registry_id)
    after = _normal_replication(desired, current.registry_id)
    action = f"write the replication rules (rules: {len(after)})" if after else "remove all replication rules"
    return Change(before, after, _when(before != after, action))


def plan_exclusions(current: Iterable[str], desired: Exclusions) -> Change:
    """Pure."""
    before, wanted = sorted(current), set(desired.arns)
    after = sorted(wanted if desired.purge else wanted.union(before))
    if len(after) > MAX_EXCLUSIONS:
        raise AnsibleECRError(
            f"There would be {len(after)} pull-time update exclusions, ECR allows {MAX_EXCLUSIONS}. "
            "Remove others, or all that are not listed with purge_pull_time_exclusions=true",
            code="TooManyExclusions",
        )
    return Change(
        before,
        after,
        [f"let pulls of {arn} not count" for arn in after if arn not in before]
        + [f"let pulls of {arn} count again" for arn in before if arn not in after],
    )


def _when(changed: bool, action: str) -> list[str]:
    return [action] if changed else []


# ------------------------------------------------------------------ ECR's shapes to ours and back


def scanning_from_ecr(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "scan_type": document.get("scanType", "BASIC"),
        "rules": [
            {
                "scan_frequency": rule["scanFrequency"],
                "repository_filters": [item["filter"] for item in rule["repositoryFilters"]],
            }
            for rule in document.get("rules", [])
        ],
    }


def scanning_to_ecr(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "scanType": configuration["scan_type"],
        "rules": [
            {
                "scanFrequency": rule["scan_frequency"],
                "repositoryFilters": [
                    {"filter": text, "filterType": "WILDCARD"} for text in rule["repository_filters"]
                ],
            }
            for rule in configuration["rules"]
        ],
    }


def replication_from_ecr(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "destinations": [
                {"region": destination["region"], "registry_id": destination["registryId"]}
                for destination in rule["destinations"]
            ],
            "repository_prefixes": [item["filter"] for item in rule.get("repositoryFilters", [])],
            "delete_replication": rule.get("deleteReplication", {}).get("enabled", False),
        }
        for rule in rules
    ]


def replication_to_ecr(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without what is not used: an empty list of filters is refused, and older versions know no deletion."""
    documents: list[dict[str, Any]] = []
    for rule in rules:
        document: dict[str, Any] = {
            "destinations": [
                {"region": item["region"], "registryId": item["registry_id"]} for item in rule["destinations"]
            ]
        }
        if rule["repository_prefixes"]:
            filters = [{"filter": text, "filterType": "PREFIX_MATCH"} for text in rule["repository_prefixes"]]
            document["repositoryFilters"] = filters
        if rule["delete_replication"]:
            document["deleteReplication"] = {"enabled": True}
        documents.append(document)
    return documents


def _normal_scanning(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """One rule for each frequency, in order, as are its filters."""
    filters: dict[str, set[str]] = {}
    for rule in configuration["rules"]:
        filters.setdefault(rule["scan_frequency"], set()).update(rule["repository_filters"])
    rules = [{"scan_frequency": name, "repository_filters": sorted(filters[name])} for name in sorted(filters)]
    return {"scan_type": configuration["scan_type"], "rules": rules}


def _normal_replication(rules: Iterable[Mapping[str, Any]], registry_id: str) -> list[dict[str, Any]]:
    def destinations(rule: Mapping[str, Any]) -> list[dict[str, str]]:
        pairs = {(item["registry_id"] or registry_id, item["region"]) for item in rule["destinations"]}
        return [{"region": region, "registry_id": account} for account, region in sorted(pairs)]

    normal = [
        {
            "destinations": destinations(rule),
            "repository_prefixes": sorted(set(rule["repository_prefixes"] or [])),
            "delete_replication": bool(rule["delete_replication"]),
        }
        for rule in rules
    ]
    return sorted(normal, key=str)


# ------------------------------------------------------------------ reading and writing


@dataclass(frozen=True)
class _Part:
    """How one kind of setting is read, planned from what was read and what is wanted, and written."""

    read: Callable[[Any], Any]
    plan: Callable[[Any, Any], Change]
    write: Callable[[Any, Change], None]


def _account_setting(
    option: str, name: str, from_ecr: Callable[[str], str] = str, to_ecr: Callable[[str], str] = str
) -> _Part:
    def read(client: Any) -> str | None:
        value = api.get_account_setting(client, name)
        return None if value is None else from_ecr(value)

    return _Part(
        read,
        lambda current, desired: plan_value(option, current, desired),
        lambda client, change: api.put_account_setting(client, name, to_ecr(change.after)),
    )


def _read_replication(client: Any) -> Replication:
    registry = api.describe_registry(client)
    rules = registry.get("replicationConfiguration", {}).get("rules", [])
    return Replication(registry["registryId"], replication_from_ecr(rules))


def _write_exclusions(client: Any, change: Change) -> None:
    """Removals make room first."""
    for arn in change.before:
        if arn not in change.after:
            api.deregister_pull_time_exclusion(client, arn)
    for arn in change.after:
        if arn not in change.before:
            _register(client, arn)


def _register(client: Any, arn: str) -> None:
    try:
        api.register_pull_time_exclusion(client, arn)
    except AnsibleECRError as error:
        if error.code != "ExclusionAlreadyExistsException":  # somebody else was faster
            raise


_PARTS: Mapping[str, _Part] = {
    "basic_scan_version": _account_setting("basic_scan_version", "BASIC_SCAN_TYPE_VERSION"),
    "blob_mounting": _account_setting("blob_mounting", "BLOB_MOUNTING", str.lower, str.upper),
    "policy_scope": _account_setting("policy_scope", registry_policy.SCOPE),
    "scanning": _Part(
        lambda client: scanning_from_ecr(api.get_scanning_configuration(client)),
        plan_scanning,
        lambda client, change: api.put_scanning_configuration(client, scanning_to_ecr(change.after)),
    ),
    "replication": _Part(
        _read_replication,
        plan_replication,
        lambda client, change: api.put_replication_rules(client, replication_to_ecr(change.after)),
    ),
    "pull_time_exclusions": _Part(api.list_pull_time_exclusions, plan_exclusions, _write_exclusions),
}
