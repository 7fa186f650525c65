# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_policy import (
    Edit,
    concerns_everyone,
    converge,
    plan,
    same_meaning,
    statements_of,
)
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import FakeECRRegistry

Statement = dict[str, Any]


def statement(sid: str | None = "Ours", **changes: Any) -> Statement:
    made = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
        "Action": ["ecr:CreateRepository", "ecr:BatchImportUpstreamImage"],
        "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/hub/*",
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def document(*statements: Statement) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


OURS, OTHERS, NAMELESS = statement(), statement("Theirs", Action="ecr:ReplicateImage"), statement(None)
DENIAL = statement("Denial", Effect="Deny", Principal="*", Action="ecr:PutImage")


class TestPlan:
    @pytest.mark.parametrize(
        ("current", "edit", "after", "actions"),
        [
            (None, Edit([OURS]), document(OURS), ["add statement Ours of the registry policy"]),
            (
                document(OTHERS, NAMELESS),
                Edit([OURS]),
                document(OTHERS, NAMELESS, OURS),
                ["add statement Ours of the registry policy"],
            ),
            (
                document(statement(Resource="*"), OTHERS),
                Edit([OURS]),
                document(OURS, OTHERS),
                ["replace statement Ours of the registry policy"],
            ),
            (
                document(OURS, OTHERS),
                Edit([], ["Theirs"]),
                document(OURS),
                ["remove statement Theirs of the registry policy"],
            ),
            (
                document(OURS),
                Edit([], ["Ours"]),
                None,
                [
                    "remove statement Ours of the registry policy",
                    "delete the registry policy, which has no statement left",
                ],
            ),
            (
                document(OTHERS),
                Edit([OURS], ["Theirs"]),
                document(OURS),
                ["add statement Ours of the registry policy", "remove statement Theirs of the registry policy"],
            ),
        ],
    )
    def test_what_changes(self, current: Any, edit: Edit, after: Any, actions: list[str]) -> None:
        change = plan(current, edit)
        assert change.changed
        assert (change.before, change.after, change.actions) == (current, after, actions)

    @pytest.mark.parametrize(
        ("current", "edit"),
        [
            (None, Edit([])),
            (None, Edit([], ["Ours"])),
            (document(OTHERS), Edit([], ["Ours"])),
            (document(OURS, OTHERS), Edit([OURS])),
            (document(NAMELESS), Edit([], ["None"])),
        ],
    )
    def test_what_does_not(self, current: Any, edit: Edit) -> None:
        change = plan(current, edit)
        assert not change.changed
        assert (change.after, change.actions) == (current, [])

    def test_a_statement_without_sid_is_nobodys_not_even_that_of_somebody_called_none(self) -> None:
        change = plan(document(NAMELESS), Edit([statement("None")]))
        assert change.after == document(NAMELESS, statement("None"))

    def test_a_single_statement_may_stand_without_a_list(self) -> None:
        assert plan({"Version": "2008-10-17", "Statement": OTHERS}, Edit([OURS])).after == {
            "Version": "2008-10-17",
            "Statement": [OTHERS, OURS],
        }

    SIDS = st.sampled_from(["A", "B", "C", "D", None])
    STATEMENTS = st.lists(
        st.builds(statement, SIDS, Effect=st.sampled_from(["Allow", "Deny"])),
        unique_by=lambda made: made.get("Sid", id(made)),
        max_size=5,
    )

    @given(STATEMENTS, STATEMENTS, st.sets(st.sampled_from(["A", "B", "C", "D", "E"])))
    def test_others_survive_ours_are_there_and_a_second_run_changes_nothing(
        self, there: list[Statement], given_ones: list[Statement], unwanted: set[str]
    ) -> None:
        wanted = [one for one in given_ones if one.get("Sid") not in {*unwanted, None}]
        edit = Edit(wanted, sorted(unwanted))
        current = document(*there) if there else None
        change = plan(current, edit)
        after = statements_of(change.after)
        touched = {one["Sid"] for one in wanted} | unwanted
        assert [one for one in after if one.get("Sid") not in touched] == [
            one for one in there if one.get("Sid") not in touched
        ]
        assert all(one in after for one in wanted)
        assert not [one for one in after if one.get("Sid") in unwanted]
        assert not plan(change.after, edit).changed
        assert change.changed == bool(change.actions)


class TestMeaning:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"Action": "ecr:PutImage"}, {"Action": ["ecr:PutImage"]}),
            ({"Action": ["ecr:A", "ecr:B"]}, {"Action": ["ecr:B", "ecr:A"]}),
            ({"Principal": "*"}, {"Principal": {"AWS": "*"}}),
            ({"Principal": {"AWS": "210987654321"}}, {"Principal": {"AWS": ["arn:aws:iam::210987654321:root"]}}),
            ({"Principal": {"AWS": "210987654321"}}, {"Principal": {"AWS": "arn:aws-cn:iam::210987654321:root"}}),
            (
                {"Condition": {"Bool": {"aws:SecureTransport": True}}},
                {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
            ),
        ],
    )
    def test_the_same(self, one: Statement, other: Statement) -> None:
        assert same_meaning(statement(**one), statement(**other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"Action": "ecr:PutImage"}, {"Action": None, "NotAction": "ecr:PutImage"}),
            ({"Effect": "Allow"}, {"Effect": "Deny"}),
            ({"Principal": "*"}, {"Principal": {"Service": "*"}}),
            ({"Principal": {"AWS": "210987654321"}}, {"Principal": {"AWS": "210987654322"}}),
            (
                {"Principal": {"AWS": "210987654321"}},
                {"Principal": {"AWS": "arn:aws:iam::210987654321:role/root"}},
            ),
            ({}, {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}),
        ],
    )
    def test_another(self, one: Statement, other: Statement) -> None:
        assert not same_meaning(statement(**one), statement(**other))

    @pytest.mark.parametrize(
        ("principal", "everyone"),
        [
            ("*", True),
            ({"AWS": "*"}, True),
            ({"AWS": ["210987654321", "*"]}, True),
            ({"AWS": "210987654321"}, False),
            ({"Service": "ecr.amazonaws.com"}, False),
            (None, False),
        ],
    )
    def test_who_is_everyone(self, principal: Any, everyone: bool) -> None:
        assert concerns_everyone(statement(Principal=principal)) is everyone


class TestConverge:
    @pytest.fixture
    def ecr(self) -> FakeECRRegistry:
        return FakeECRRegistry()

    @pytest.fixture
    def warned(self) -> list[str]:
        return []

    def test_it_writes_once_looks_and_is_done(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        ecr.write_policy(OTHERS)
        change = converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert ecr.registry_policy == change.after == document(OTHERS, OURS)
        assert ecr.operations() == ["GetRegistryPolicy", "PutRegistryPolicy", "GetRegistryPolicy"]
        assert warned == []

    def test_somebody_else_writes_over_it_and_it_writes_again(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        """The other one read before this task wrote, so it puts back a policy without this task's statement."""
        newcomer = statement("Newcomer")
        ecr.write_policy(OTHERS)
        ecr.on("GetRegistryPolicy", lambda _request: None)
        ecr.on("GetRegistryPolicy", lambda _request: ecr.write_policy(OTHERS, newcomer))
        change = converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert ecr.registry_policy == change.after == document(OTHERS, newcomer, OURS)
        assert change.before == document(OTHERS)
        assert warned == []

    def test_a_statement_of_others_that_vanished_is_named(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        ecr.write_policy(OTHERS, NAMELESS)
        ecr.on("GetRegistryPolicy", lambda _request: None)
        ecr.on("GetRegistryPolicy", lambda _request: ecr.write_policy(statement("Newcomer")))
        change = converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert ecr.registry_policy == change.after == document(statement("Newcomer"), OURS)
        assert len(warned) == 2
        assert warned[0].startswith("Statement Theirs of the registry policy, which is not one of this task, vanished")
        assert '"Effect":"Allow"' in warned[1]

    def test_a_writer_that_never_stops_is_an_error(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        ecr.write_policy(OTHERS)
        ecr.on("GetRegistryPolicy", lambda _request: ecr.write_policy(OTHERS), times=9)
        with pytest.raises(AnsibleECRError, match="replaces the registry policy at the same time") as caught:
            converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert caught.value.code == "ConcurrentChange"
        assert ecr.operations().count("PutRegistryPolicy") == 2

    def test_a_policy_that_another_run_deleted_already_is_gone_all_the_same(
        self, ecr: FakeECRRegistry, warned: list[str]
    ) -> None:
        ecr.write_policy(OURS)
        ecr.on("DeleteRegistryPolicy", lambda _request: ecr.write_policy())
        change = converge(ecr.client, Edit([], ["Ours"]), check_mode=False, warn=warned.append, scope=None)
        assert change.after is None
        assert ecr.registry_policy is None

    @pytest.mark.parametrize(
        ("scope_there", "scope_wanted", "warns"), [("V2", None, True), ("V1", None, False), ("V1", "V2", True)]
    )
    def test_a_denial_for_everyone_is_warned_of_where_it_holds_for_everything(
        self, ecr: FakeECRRegistry, warned: list[str], scope_there: str, scope_wanted: str | None, warns: bool
    ) -> None:
        ecr.settings["REGISTRY_POLICY_SCOPE"] = scope_there
        for _run in range(2):
            converge(ecr.client, Edit([DENIAL]), check_mode=False, warn=warned.append, scope=scope_wanted)
        assert len(warned) == warns
        assert all("Statement Denial of the registry policy denies ecr:PutImage to everyone" in text for text in warned)

    def test_a_denial_of_all_but_some_actions_says_so(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        denial = {**DENIAL, "NotAction": ["ecr:GetAuthorizationToken"]}
        denial.pop("Action")
        converge(ecr.client, Edit([denial]), check_mode=True, warn=warned.append, scope="V2")
        assert "denies everything but ecr:GetAuthorizationToken to everyone" in warned[0]
        assert "GetAccountSetting" not in ecr.operations()

    def test_a_policy_that_would_be_too_long_is_not_written(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        ecr.write_policy(statement("Long", Resource=["x" * 9000]))
        edit = Edit([statement(Resource="y" * 1200)])
        with pytest.raises(AnsibleECRError, match=r"characters, ECR allows 10240 \(statements: 2\)") as caught:
            converge(ecr.client, edit, check_mode=True, warn=warned.append, scope=None)
        assert caught.value.code == "RegistryPolicyTooLong"

    def test_a_refused_policy_says_what_to_look_at(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        ecr.refuse("PutRegistryPolicy", "InvalidParameterException", "Invalid registry policy provided")
        with pytest.raises(AnsibleECRError, match="Check that the principals exist") as caught:
            converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert "Failed to write the registry policy: Invalid registry policy provided" in str(caught.value)

    @pytest.mark.parametrize("text", ["{", "[]", '{"Statement": 3}'])
    def test_a_stored_policy_that_is_none(self, ecr: FakeECRRegistry, warned: list[str], text: str) -> None:
        ecr.policy_text = text
        with pytest.raises(AnsibleECRError, match="The stored registry policy cannot be understood"):
            converge(ecr.client, Edit([OURS]), check_mode=False, warn=warned.append, scope=None)
        assert ecr.policy_text == text

    def test_the_wanted_statements_are_not_touched(self, ecr: FakeECRRegistry, warned: list[str]) -> None:
        mine = copy.deepcopy(OURS)
        converge(ecr.client, Edit([mine]), check_mode=False, warn=warned.append, scope=None)
        assert mine == OURS
