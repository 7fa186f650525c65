# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lifecycle policies: what is wanted, what is there, and how to get from the one to the other.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.lifecycle_grammar import (
    COUNT_OF_IMAGES,
    COUNT_TYPES,
    Naming,
    ecr_names,
    our_names,
    policy_problems,
    policy_warnings,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.lifecycle_preview import preview_policy
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import (
    Rule,
    normal_rule,
    normal_rules,
    policy_from_text,
    rules_from_policy,
    rules_to_text,
    stored_rules,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock, SystemClock


@dataclass(frozen=True)
class Desired:
    """The policy that every repository shall have; None is no policy."""

    rules: list[Rule] | None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    preview: bool
    preview_timeout: float
    clock: Clock = field(default_factory=SystemClock)


def desired_policy(params: Mapping[str, Any]) -> Desired:
    """From the options of the module, checked as a whole before anything is asked of AWS."""
    if params.get("preview_timeout", 0) < 0:
        raise AnsibleECRError("preview_timeout must not be negative")
    if params["state"] == "absent":
        if params["preview"]:
            raise AnsibleECRError("preview needs a policy to try, and state=absent has none: leave one of them out")
        return Desired(None)
    if params["policy"] is None and params["rules"] is None:
        raise AnsibleECRError("state=present needs rules or policy, and neither has a value")
    if params["policy"] is not None:
        return _checked(*_rules_of_policy(params["policy"]), ecr_names)
    return _checked([_with_unit(normal_rule(rule)) for rule in params["rules"]], [], our_names)


def plan(repository: str, current: Sequence[Rule] | None, desired: Sequence[Rule] | None) -> Change:
    """Compare by meaning. Pure."""
    before = None if current is None else normal_rules(current)
    after = None if desired is None else normal_rules(desired)
    if before == after:
        return Change(before, after, [])
    if after is None:
        return Change(before, after, [f"remove the lifecycle policy of {repository}"])
    return Change(before, after, [f"write the lifecycle policy of {repository} (rules: {len(after)})"])


def apply(client: Any, repository: str, change: Change) -> None:
    """Do what the plan says, and nothing else."""
    if not change.changed:
        return
    if change.after is None:
        api.delete_lifecycle_policy(client, repository)
    else:
        api.put_lifecycle_policy(client, repository, rules_to_text(change.after))


def converge(client: Any, repository: str, desired: Sequence[Rule] | None, settings: Settings) -> Change:
    """One repository from beginning to end. The preview comes first: a policy that fails it is not written."""
    change = plan(repository, current_rules(client, repository), desired)
    if settings.preview and desired is not None:
        preview = preview_policy(client, repository, desired, timeout=settings.preview_timeout, clock=settings.clock)
        change = replace(change, details={"preview": preview})
    if not settings.check_mode:
        apply(client, repository, change)
    return change


def current_rules(client: Any, repository: str) -> list[Rule] | None:
    text = api.get_lifecycle_policy(client, repository)
    if text is None:
        return None
    try:
        return stored_rules(text)
    except ValueError as error:
        raise AnsibleECRError(
            f"The stored lifecycle policy cannot be understood: {error}", code="UnreadableLifecyclePolicy"
        ) from error


def _rules_of_policy(text: str) -> tuple[list[Rule], list[str]]:
    """The rules of a policy in ECR's own form, and what is wrong beside the rules."""
    try:
        policy = policy_from_text(text)
    except ValueError as error:
        raise _invalid([str(error)]) from error
    unknown = [f"{key}: ECR knows no such field" for key in sorted(policy.keys() - {"rules"})]
    return rules_from_policy(policy), unknown


def _with_unit(rule: Rule) -> Rule:
    """Days are the only unit there is, so our own form does not ask for it."""
    counts_days = rule.get("count_type") in COUNT_TYPES and rule["count_type"] != COUNT_OF_IMAGES
    return {"count_unit": "days", **rule} if counts_days else rule


def _checked(rules: list[Rule], known_problems: list[str], name: Naming) -> Desired:
    problems = known_problems + policy_problems(rules, name) + _encoding_problems(rules)
    if problems:
        raise _invalid(problems)
    return Desired(normal_rules(rules), policy_warnings(rules, name))


def _encoding_problems(rules: list[Rule]) -> list[str]:
    try:
        rules_to_text(rules).encode()
    except UnicodeEncodeError:
        return ["it contains half a character (a lone surrogate), which cannot be sent"]
    return []


def _invalid(problems: Sequence[str]) -> AnsibleECRError:
    return AnsibleECRError(f"The lifecycle policy is not valid: {'; '.join(problems)}", code="InvalidLifecyclePolicy")
