# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the upstreams accept the logins of pull-through cache rules.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_pull_through as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import Rule
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import ROLE, SECRET

# For each of them ECR logs in at the upstream.
VALIDATIONS_AT_A_TIME = 4

Login = tuple[Any, ...]
Validation = dict[str, Any]
# From a normal prefix to ECR's own spelling of it.
Spelling = Callable[[str], str]


def validated(
    client: Any, outcomes: Sequence[Outcome[Change]], spelling: Spelling, validate: bool | None, *, check_mode: bool
) -> list[Outcome[Change]]:
    """With the validations, and with an error where the upstream refuses the login."""
    wanted = [outcome for outcome in outcomes if _wants_validation(outcome, validate)]
    # In check mode ECR can be asked only about rules that are there already, as they will be.
    askable = {
        outcome.name: outcome.result.after
        for outcome in wanted
        if outcome.result and not (check_mode and outcome.result.changed)
    }
    validations = validate_logins(client, askable, spelling)
    return [_with_validation(outcome, validations) if outcome in wanted else outcome for outcome in outcomes]


def validate_logins(client: Any, rules: Mapping[str, Rule], spelling: Spelling) -> dict[Login, Outcome[Validation]]:
    """Rules with the same login at the same upstream are validated once."""
    representatives: dict[Login, str] = {}
    for prefix, rule in rules.items():
        representatives.setdefault(login_of(rule), prefix)

    def validate(prefix: str) -> Validation:
        answer = api.validate_rule(client, spelling(prefix))
        return {"valid": bool(answer.get("isValid")), "reason": answer.get("failure") or None}

    outcomes = run_each(list(representatives.values()), validate, VALIDATIONS_AT_A_TIME)
    return dict(zip(representatives, outcomes, strict=True))


def login_of(rule: Rule) -> Login:
    return rule["upstream_url"], rule[SECRET], rule[ROLE]


def _wants_validation(outcome: Outcome[Change], validate: bool | None) -> bool:
    if outcome.result is None or outcome.error:
        return False
    return bool(outcome.result.after[SECRET]) if validate is None else validate


def _with_validation(outcome: Outcome[Change], validations: Mapping[Login, Outcome[Validation]]) -> Outcome[Change]:
    change = outcome.result
    validation = validations.get(login_of(change.after)) if change else None
    if change is None or validation is None:
        return outcome
    change = replace(change, details={**change.details, "validation": validation.result})
    return Outcome(outcome.name, change, validation.error or _refusal(change.after, validation.result))


def _refusal(rule: Rule, validation: Validation | None) -> AnsibleECRError | None:
    if validation is None or validation["valid"]:
        return None
    login = rule[SECRET] or rule[ROLE] or "no login"
    return AnsibleECRError(
        f"{rule['upstream_url']} cannot be used with {login}: {validation['reason'] or 'Amazon ECR gives no reason'}. "
        "The rule stays as it is. Correct the login and run again, or set validate=false",
        code="InvalidLogin",
    )
