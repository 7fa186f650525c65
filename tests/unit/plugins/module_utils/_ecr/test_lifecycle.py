# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.lifecycle import (
    Settings,
    apply,
    converge,
    desired_policy,
    plan,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import normal_rules, rules_to_text
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import FakeECR
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import (
    NORMAL,
    POLICY,
    RELEASES,
    UNTAGGED,
    Rule,
    valid_rules,
)

SETTINGS = Settings(check_mode=False, preview=False, preview_timeout=300)


def params(**given: Any) -> dict[str, Any]:
    return {"state": "present", "rules": None, "policy": None, "preview": False, **given}


@pytest.mark.parametrize("options", [{"rules": [RELEASES, UNTAGGED]}, {"policy": json.dumps(POLICY)}])
def test_both_ways_to_write_a_policy_mean_the_same(options: dict[str, Any]) -> None:
    desired = desired_policy(params(**options))
    assert desired.rules == NORMAL
    assert desired.warnings == []


def test_absent_is_no_policy_whatever_the_rules_are() -> None:
    assert desired_policy(params(state="absent", rules=[{"priority": 0}])).rules is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "absent", "preview": True}, "preview needs a policy to try, and state=absent has none: "),
        ({"rules": []}, "The lifecycle policy is not valid: rules: at least one is needed"),
        ({"rules": [{**RELEASES, "action": "x"}]}, "not valid: rules[0] (priority 2), action: must be one of"),
        ({"policy": "{"}, "The lifecycle policy is not valid: it is not JSON: Expecting property name"),
        ({"policy": '{"rules": []}'}, "The lifecycle policy is not valid: rules: at least one is needed"),
        ({"policy": json.dumps({**POLICY, "v": 1})}, "The lifecycle policy is not valid: v: ECR knows no such field"),
        (
            {"policy": json.dumps({"rules": [{**POLICY["rules"][0], "rulePriority": 0}]})},
            "not valid: rules[0] (rulePriority 0), rulePriority: must be a whole number of at least 1, not 0",
        ),
        (
            {"policy": json.dumps(POLICY).replace('"countUnit": "days", ', "")},
            "not valid: rules[0] (rulePriority 1), selection.countUnit: is required",
        ),
    ],
)
def test_a_policy_that_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleECRError) as caught:
        desired_policy(params(**options))
    assert message in str(caught.value)


_NAMES = ["rules", "rulePriority", "selection", "action", "tagStatus", "tagPrefixList", "countType", "type", "priority"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["any", "tagged", "expire", "1", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
)


@given(_JSON | st.lists(_JSON, max_size=3).map(lambda rules: {"rules": rules}))
def test_nonsense_is_refused_readably(nonsense: Any) -> None:
    with pytest.raises(AnsibleECRError, match=r"^The lifecycle policy is not valid: "):
        desired_policy(params(policy=json.dumps(nonsense)))


@pytest.mark.parametrize(
    ("current", "desired", "actions"),
    [
        (None, None, []),
        (None, NORMAL, ["write the lifecycle policy of a/b (rules: 2)"]),
        (NORMAL, None, ["remove the lifecycle policy of a/b"]),
        (NORMAL[::-1], NORMAL, []),
        (NORMAL, NORMAL[:1], ["write the lifecycle policy of a/b (rules: 1)"]),
        ([{**NORMAL[0], "/selection/new": 1}, NORMAL[1]], NORMAL, ["write the lifecycle policy of a/b (rules: 2)"]),
    ],
)
def test_plan(current: list[Rule] | None, desired: list[Rule] | None, actions: list[str]) -> None:
    change = plan("a/b", current, desired)
    assert change.actions == actions
    assert change.changed == bool(actions)
    assert change.after == desired


@given(valid_rules(), valid_rules())
def test_what_was_planned_needs_no_second_plan(current: list[Rule], desired: list[Rule]) -> None:
    first = plan("a/b", current, desired)
    assert not plan("a/b", first.after, desired).changed
    assert first.changed == (normal_rules(current) != normal_rules(desired))


@given(valid_rules(), st.randoms())
def test_the_order_of_rules_is_no_change(rules: list[Rule], random: Any) -> None:
    assert not plan("a/b", rules, random.sample(rules, len(rules))).changed


@pytest.mark.parametrize(
    ("before", "desired", "stored", "calls"),
    [
        (None, NORMAL, POLICY, ["PutLifecyclePolicy"]),
        (POLICY, None, None, ["DeleteLifecyclePolicy"]),
        (POLICY, NORMAL, POLICY, []),
        (None, None, None, []),
    ],
)
def test_apply_does_what_was_planned_and_nothing_else(
    before: Any, desired: list[Rule] | None, stored: Any, calls: list[str]
) -> None:
    ecr = FakeECR()
    ecr.add("a/b", policy=before)
    apply(ecr.client, "a/b", plan("a/b", NORMAL if before else None, desired))
    assert [operation for operation, _request in ecr.calls] == calls
    assert ecr.policy("a/b") == stored


def test_removing_what_somebody_else_has_just_removed() -> None:
    ecr = FakeECR()
    ecr.add("a/b")
    apply(ecr.client, "a/b", plan("a/b", NORMAL, None))
    assert ecr.policy("a/b") is None


def test_a_stored_policy_that_is_not_understood() -> None:
    ecr = FakeECR()
    ecr.add("a/b", policy="?" * 100)
    with pytest.raises(AnsibleECRError, match="The stored lifecycle policy cannot be understood: it is not JSON"):
        converge(ecr.client, "a/b", NORMAL, SETTINGS)


def test_a_stored_policy_of_a_later_version_of_ecr_is_compared_truthfully() -> None:
    ecr = FakeECR()
    later = json.loads(json.dumps(POLICY))
    later["version"] = 2
    later["rules"][0]["selection"]["new"] = "x"
    ecr.add("a/b", policy=later)
    change = converge(ecr.client, "a/b", NORMAL, SETTINGS)
    assert change.changed
    assert change.before[0]["/selection/new"] == "x"
    assert ecr.policy("a/b") == json.loads(rules_to_text(NORMAL))
