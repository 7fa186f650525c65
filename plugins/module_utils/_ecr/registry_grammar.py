# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with the settings of a registry, checked before any call, with a message for every mistake at once.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import MAX_POLICY_CHARACTERS, policy_to_text

# (where, what is wrong there)
Problem = tuple[str, str]

FREQUENCIES = {"BASIC": ("SCAN_ON_PUSH", "MANUAL"), "ENHANCED": ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")}
MAX_SCANNING_RULES = 2
MAX_REPLICATION_RULES = 25
MAX_DESTINATIONS = 25
MAX_FILTERS = 100
MAX_EXCLUSIONS = 100
MAX_PRINCIPAL_ARN = 200

_ELEMENTS = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_EITHER = (("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource"))
_ACTION = re.compile(r"\*|ecr:[a-z*?]+", re.IGNORECASE)

# As in the service model, but for the form, which would take for ever to refuse a long text.
_SCANNING_FILTER = re.compile(r"[a-z0-9*]+([._/-][a-z0-9*]+)*")
_SCANNING_FILTER_LENGTHS = range(1, 256)
_REPLICATION_FILTER = re.compile(r"([a-z0-9]+([._-][a-z0-9]*)*/)*[a-z0-9]*([._-][a-z0-9]*)*")
_REPLICATION_FILTER_LENGTHS = range(2, 257)
_REGION = re.compile(r"[0-9a-z-]{2,25}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_PRINCIPAL = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\w+=,.@-]+(/[\w+=,.@-]+)*", re.ASCII)


def check_settings(params: Mapping[str, Any]) -> None:
    """All that can be known from the options alone."""
    _raise_if_any(
        [
            *_policy_problems(params["policy_statements"] or [], params["absent_statements"] or []),
            *_scanning_problems(params["scanning"] or {}),
            *_replication_problems(params["replication_rules"] or []),
            *_exclusion_problems(params["pull_time_exclusions"] or []),
        ]
    )


def check_scanning(configuration: Mapping[str, Any]) -> None:
    """The same again for what became of the options together with what is there."""
    _raise_if_any(_scanning_problems(configuration))


def _raise_if_any(problems: Iterable[Problem]) -> None:
    told = [f"{where}: {text}" for where, text in problems]
    if told:
        raise AnsibleECRError(f"Not valid: {'; '.join(told)}", code="InvalidRegistrySettings")


# ------------------------------------------------------------------ registry policy


def _policy_problems(statements: Sequence[Mapping[str, Any]], unwanted: Sequence[str]) -> Iterator[Problem]:
    sids = [statement.get("Sid") for statement in statements]
    for index, statement in enumerate(statements):
        where = f"policy_statements[{index}]" + (f" ({sids[index]})" if sids[index] else "")
        yield from ((f"{where}, {element}", text) for element, text in _statement_problems(statement))
        if sids[index] and sids[index] in sids[:index]:
            yield f"{where}, Sid", "is there more than once"
        if sids[index] and sids[index] in unwanted:
            yield f"{where}, Sid", "is in absent_statements too"
    size = len(policy_to_text({"Statement": statements}))
    if size > MAX_POLICY_CHARACTERS:
        yield "policy_statements", f"they take {size} characters as JSON, ECR allows {MAX_POLICY_CHARACTERS}"


def _statement_problems(statement: Mapping[str, Any]) -> Iterator[Problem]:
    yield from ((key, f"is none of {', '.join(_ELEMENTS)}") for key in statement if key not in _ELEMENTS)
    if not isinstance(statement.get("Sid"), str) or not statement["Sid"]:
        yield "Sid", "is required, a text: by it this module knows which statement is its own"
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "Effect", f"must be Allow or Deny, not {statement.get('Effect')!r}"
    for one, other in _EITHER:
        if (one in statement) == (other in statement):
            yield one, f"either {one} or {other} is required"
    for element in ("Action", "NotAction"):
        actions = statement.get(element, [])
        for action in actions if isinstance(actions, list) else [actions]:
            if not isinstance(action, str) or not _ACTION.fullmatch(action):
                yield element, f"must be actions of Amazon ECR, as ecr:CreateRepository, not {action!r}"


# ------------------------------------------------------------------ scanning


def _scanning_problems(configuration: Mapping[str, Any]) -> Iterator[Problem]:
    scan_type, rules = configuration.get("scan_type"), configuration.get("rules") or []
    if scan_type not in (None, *FREQUENCIES):
        yield "scanning.scan_type", f"must be {' or '.join(FREQUENCIES)}, not {scan_type!r}"
    if len(rules) > MAX_SCANNING_RULES:
        yield "scanning.rules", f"there are {len(rules)}, ECR allows {MAX_SCANNING_RULES}, one for each frequency"
    for index, rule in enumerate(rules):
        where = f"scanning.rules[{index}]"
        problem = _frequency_problem(scan_type, rule["scan_frequency"])
        if problem:
            yield f"{where}.scan_frequency", problem
        filters = rule["repository_filters"]
        yield from _filter_problems(
            f"{where}.repository_filters", filters, _SCANNING_FILTER, _SCANNING_FILTER_LENGTHS, "names or globs with *"
        )
        if not filters:
            yield f"{where}.repository_filters", "at least one is needed: leave the rule out where nothing is meant"


def _frequency_problem(scan_type: Any, frequency: Any) -> str | None:
    known = FREQUENCIES.get(scan_type, tuple(dict.fromkeys(name for names in FREQUENCIES.values() for name in names)))
    if frequency in known:
        return None
    if any(frequency in names for names in FREQUENCIES.values()):
        return f"must be {' or '.join(known)} with scan_type {scan_type}, not {frequency}"
    return f"must be one of {', '.join(known)}, not {frequency!r}"


# ------------------------------------------------------------------ replication


def _replication_problems(rules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    if len(rules) > MAX_REPLICATION_RULES:
        yield "replication_rules", f"there are {len(rules)}, ECR allows {MAX_REPLICATION_RULES}"
    destinations = {
        (destination["registry_id"], destination["region"]) for rule in rules for destination in rule["destinations"]
    }
    if len(destinations) > MAX_DESTINATIONS:
        yield "replication_rules", f"have {len(destinations)} different destinations, ECR allows {MAX_DESTINATIONS}"
    for index, rule in enumerate(rules):
        where = f"replication_rules[{index}]"
        if not rule["destinations"]:
            yield f"{where}.destinations", "at least one is needed (replication_rules: [] ends all replication)"
        for at, destination in enumerate(rule["destinations"]):
            yield from _destination_problems(f"{where}.destinations[{at}]", destination)
        yield from _filter_problems(
            f"{where}.repository_prefixes",
            rule["repository_prefixes"] or [],
            _REPLICATION_FILTER,
            _REPLICATION_FILTER_LENGTHS,
            "what names begin with, without any *",
        )


def _destination_problems(where: str, destination: Mapping[str, Any]) -> Iterator[Problem]:
    if not _REGION.fullmatch(destination["region"]):
        yield f"{where}.region", f"must be a region, as eu-west-1, not {destination['region']!r}"
    account = destination["registry_id"]
    if account is not None and not _ACCOUNT.fullmatch(account):
        yield f"{where}.registry_id", f"must be the 12 digits of an account, in quotes, not {account!r}"


def _filter_problems(
    where: str, filters: Sequence[str], form: re.Pattern[str], lengths: range, meaning: str
) -> Iterator[Problem]:
    if len(filters) > MAX_FILTERS:
        yield where, f"there are {len(filters)}, ECR allows {MAX_FILTERS}"
    for text in filters:
        if len(text) not in lengths:
            yield where, f"must have {lengths[0]} to {lengths[-1]} characters, not {len(text)}: {text[:60]!r}"
        elif not form.fullmatch(text):
            yield where, f"must be {meaning}, in lower case, not {text!r}"


# ------------------------------------------------------------------ pull-time update exclusions


def _exclusion_problems(arns: Sequence[str]) -> Iterator[Problem]:
    if len(arns) > MAX_EXCLUSIONS:
        yield "pull_time_exclusions", f"there are {len(arns)}, ECR allows {MAX_EXCLUSIONS}"
    for arn in arns:
        if len(arn) > MAX_PRINCIPAL_ARN or not _PRINCIPAL.fullmatch(arn):
            yield "pull_time_exclusions", f"must be the ARNs of IAM roles and users, not {arn!r}"
