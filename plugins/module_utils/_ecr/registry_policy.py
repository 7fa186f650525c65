# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy of a registry: one document that several people write, each of them statements of their own, by Sid.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_registry as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import (
    MAX_POLICY_CHARACTERS,
    Policy,
    policy_from_text,
    policy_to_text,
    same_policy,
)

Statement = Mapping[str, Any]

SCOPE = "REGISTRY_POLICY_SCOPE"
VERSION = "2012-10-17"

_REFUSED = "InvalidParameterException"


@dataclass(frozen=True)
class Edit:
    """What is wanted of the policy: statements to have and Sids not to have. All others are none of our business."""

    statements: Sequence[Statement]
    unwanted: Sequence[str] = ()


def plan(current: Policy | None, edit: Edit) -> Change:
    """Merge by Sid, compare by meaning. Pure."""
    before = statements_of(current)
    wanted = {statement["Sid"]: statement for statement in edit.statements}
    kept = [_merged(statement, wanted) for statement in before if statement.get("Sid") not in edit.unwanted]
    present = {statement.get("Sid") for statement in before}
    after = kept + [statement for sid, statement in wanted.items() if sid not in present]
    if after == before:
        return Change(current, current, [])
    document = {**(current or {"Version": VERSION}), "Statement": after} if after else None
    return Change(current, document, _actions(before, after))


def converge(client: Any, edit: Edit, *, check_mode: bool, warn: Callable[[str], None], scope: str | None) -> Change:
    """The policy from beginning to end. `scope` is what the task makes of the scope of the policy, if anything."""
    change = plan(current_policy(client), edit)
    _check_size(change)
    _warn_of_denials(client, change, warn, scope)
    return change if check_mode or not change.changed else _write_and_verify(client, change, edit, warn)


def current_policy(client: Any) -> Policy | None:
    text = api.get_registry_policy(client)
    if text is None:
        return None
    try:
        return policy_from_text(text)
    except ValueError as error:
        raise AnsibleECRError(
            f"The stored registry policy cannot be understood: {error}", code="UnreadableRegistryPolicy"
        ) from error


def statements_of(document: Policy | None) -> list[Statement]:
    return [] if document is None else _as_list(document.get("Statement", []))


def same_meaning(one: Statement, other: Statement) -> bool:
    return same_policy({"Statement": [one]}, {"Statement": [other]})


def concerns_everyone(statement: Statement) -> bool:
    principal = statement.get("Principal")
    return "*" in _as_list(principal.get("AWS", []) if isinstance(principal, Mapping) else principal)


# ------------------------------------------------------------------ merging


def _merged(statement: Statement, wanted: Mapping[str, Statement]) -> Statement:
    """The wanted statement, or the one that is there where it means the same."""
    new = wanted.get(statement.get("Sid", ""), statement)
    return statement if same_meaning(statement, new) else new


def _actions(before: Sequence[Statement], after: Sequence[Statement]) -> list[str]:
    def sids(statements: Sequence[Statement]) -> list[Any]:
        return [statement.get("Sid") for statement in statements]

    added = [sid for sid in sids(after) if sid not in sids(before)]
    replaced = [statement["Sid"] for statement in after if statement not in before and statement["Sid"] not in added]
    removed = [sid for sid in sids(before) if sid not in sids(after)]
    steps = [("add", added), ("replace", replaced), ("remove", removed)]
    actions = [f"{verb} statement {sid} of the registry policy" for verb, names in steps for sid in names]
    return actions if after else [*actions, "delete the registry policy, which has no statement left"]


def _check_size(change: Change) -> None:
    size = len(policy_to_text(change.after)) if change.changed and change.after else 0
    if size > MAX_POLICY_CHARACTERS:
        raise AnsibleECRError(
            f"The registry policy would have {size} characters, ECR allows {MAX_POLICY_CHARACTERS} "
            f"(statements: {len(change.after['Statement'])}). Remove some with absent_statements, or join those that "
            "differ in one element only",
            code="RegistryPolicyTooLong",
        )


def _warn_of_denials(client: Any, change: Change, warn: Callable[[str], None], scope: str | None) -> None:
    old = statements_of(change.before)
    denials = [
        statement
        for statement in statements_of(change.after)
        if statement not in old and statement.get("Effect") == "Deny" and concerns_everyone(statement)
    ]
    if denials and (scope or api.get_account_setting(client, SCOPE)) == "V2":
        for statement in denials:
            warn(
                f"Statement {statement['Sid']} of the registry policy denies {_listed(statement)} to everyone: to the "
                "services of this account and to this task too. The scope of the policy is V2, in which it holds for "
                "every action and every request."
            )


def _listed(statement: Statement) -> str:
    if "NotAction" in statement:
        return f"everything but {', '.join(map(str, _as_list(statement['NotAction'])))}"
    return ", ".join(map(str, _as_list(statement.get("Action"))))


# ------------------------------------------------------------------ writing


def _write_and_verify(client: Any, change: Change, edit: Edit, warn: Callable[[str], None]) -> Change:
    """Write, look, and write once more where somebody else's write came in between: ECR has no lock for it."""
    _write(client, change)
    again = plan(current_policy(client), edit)
    _warn_of_loss(change, again.before, edit, warn)
    if again.changed:
        _check_size(again)
        _write(client, again)
        if plan(current_policy(client), edit).changed:
            raise AnsibleECRError(
                "Somebody else replaces the registry policy at the same time, and twice wrote over the statements of "
                "this task. See to it that all writers merge by Sid, as this module does, and run again",
                code="ConcurrentChange",
            )
    return change if _same_statements(change.after, again.after) else replace(change, after=again.after)


def _write(client: Any, change: Change) -> None:
    if change.after is None:
        api.delete_registry_policy(client)
        return
    try:
        api.put_registry_policy(client, policy_to_text(change.after))
    except AnsibleECRError as error:
        if error.code != _REFUSED:
            raise
        raise AnsibleECRError(
            f"{error}. Check that the principals exist, that every Action begins with ecr: and that every Resource is "
            "the ARN of repositories of this registry",
            code=error.code,
        ) from error


def _warn_of_loss(change: Change, found: Policy | None, edit: Edit, warn: Callable[[str], None]) -> None:
    """Other people's statements that were there, that this task kept, and that are gone."""
    ours = {statement["Sid"] for statement in edit.statements}
    there = statements_of(found)
    for statement in statements_of(change.after):
        sid = statement.get("Sid")
        if sid not in ours and not any(same_meaning(statement, other) for other in there):
            warn(
                f"Statement {sid or policy_to_text(statement)} of the registry policy, which is not one of this task, "
                "vanished or changed while this task ran: somebody else wrote the policy at the same time."
            )


def _same_statements(one: Policy | None, other: Policy | None) -> bool:
    pairs = [statements_of(one), statements_of(other)]
    return len(pairs[0]) == len(pairs[1]) and all(map(same_meaning, *pairs))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
