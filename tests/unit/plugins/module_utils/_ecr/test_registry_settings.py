# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_settings import (
    Exclusions,
    Replication,
    Settings,
    converge,
    desired_parts,
    plan_exclusions,
    plan_replication,
    plan_scanning,
    plan_value,
    replication_from_ecr,
    replication_to_ecr,
    scanning_from_ecr,
    scanning_to_ecr,
)
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import FakeECRRegistry

ACCOUNT, OTHER = "123456789012", "210987654321"
ROLE = "arn:aws:iam::123456789012:role/mirror"
SETTINGS = Settings(check_mode=False, warn=lambda _text: None)


def params(**given_options: Any) -> dict[str, Any]:
    options = [
        *("policy_statements", "absent_statements", "policy_scope", "scanning", "replication_rules"),
        *("blob_mounting", "basic_scan_version", "pull_time_exclusions"),
    ]
    return {**dict.fromkeys(options), "purge_pull_time_exclusions": False, **given_options}


def scan(frequency: str, *filters: str) -> dict[str, Any]:
    return {"scan_frequency": frequency, "repository_filters": list(filters)}


def replicate(*destinations: tuple[str, str | None], prefixes: list[str] | None = None, deletes: bool = False) -> Any:
    return {
        "destinations": [{"region": region, "registry_id": account} for region, account in destinations],
        "repository_prefixes": prefixes,
        "delete_replication": deletes,
    }


class TestParts:
    def test_only_what_is_given_is_managed_and_the_policy_is_last(self) -> None:
        assert list(desired_parts(params(blob_mounting="enabled"))) == ["blob_mounting"]
        everything = params(
            policy_statements=[],
            policy_scope="V2",
            scanning={"scan_type": "BASIC", "rules": None},
            replication_rules=[],
            blob_mounting="enabled",
            basic_scan_version="AWS_NATIVE",
            pull_time_exclusions=[],
        )
        parts = list(desired_parts(everything))
        assert (len(parts), parts[-1]) == (7, "policy")
        assert list(desired_parts(params(absent_statements=["A"]))) == ["policy"]


class TestValues:
    @pytest.mark.parametrize(
        ("current", "actions"),
        [(None, ["set blob_mounting to enabled"]), ("disabled", ["set blob_mounting to enabled"]), ("enabled", [])],
    )
    def test_plan(self, current: str | None, actions: list[str]) -> None:
        change = plan_value("blob_mounting", current, "enabled")
        assert (change.before, change.after, change.actions) == (current, "enabled", actions)
        assert change.changed == bool(actions)


class TestScanning:
    BASIC = {"scan_type": "BASIC", "rules": [scan("SCAN_ON_PUSH", "prod/*")]}

    @pytest.mark.parametrize(
        ("desired", "after", "action"),
        [
            ({}, BASIC, None),
            ({"scan_type": "BASIC", "rules": None}, BASIC, None),
            ({"rules": [scan("SCAN_ON_PUSH", "prod/*", "prod/*")]}, BASIC, None),
            (
                {"scan_type": "ENHANCED", "rules": None},
                {**BASIC, "scan_type": "ENHANCED"},
                "set scanning to ENHANCED (rules: SCAN_ON_PUSH)",
            ),
            ({"rules": []}, {"scan_type": "BASIC", "rules": []}, "set scanning to BASIC (rules: none)"),
            (
                {"scan_type": "ENHANCED", "rules": [scan("SCAN_ON_PUSH", "*"), scan("CONTINUOUS_SCAN", "b", "a")]},
                {"scan_type": "ENHANCED", "rules": [scan("CONTINUOUS_SCAN", "a", "b"), scan("SCAN_ON_PUSH", "*")]},
                "set scanning to ENHANCED (rules: CONTINUOUS_SCAN, SCAN_ON_PUSH)",
            ),
            (
                {"rules": [scan("SCAN_ON_PUSH", "b"), scan("SCAN_ON_PUSH", "a")]},
                {"scan_type": "BASIC", "rules": [scan("SCAN_ON_PUSH", "a", "b")]},
                "set scanning to BASIC (rules: SCAN_ON_PUSH)",
            ),
        ],
    )
    def test_plan(self, desired: Any, after: Any, action: str | None) -> None:
        change = plan_scanning(self.BASIC, desired)
        assert (change.before, change.after, list(change.actions)) == (self.BASIC, after, [action] if action else [])
        assert change.changed == bool(action)

    def test_what_stays_must_go_with_what_changes(self) -> None:
        current = {"scan_type": "ENHANCED", "rules": [scan("CONTINUOUS_SCAN", "*")]}
        with pytest.raises(AnsibleECRError) as caught:
            plan_scanning(current, {"scan_type": "BASIC", "rules": None})
        assert str(caught.value) == (
            "Not valid: scanning.rules[0].scan_frequency: must be SCAN_ON_PUSH or MANUAL with scan_type BASIC, "
            "not CONTINUOUS_SCAN"
        )

    @given(
        st.sampled_from(["BASIC", "ENHANCED"]),
        st.lists(
            st.builds(
                lambda frequency, filters: scan(frequency, *filters),
                st.just("SCAN_ON_PUSH"),
                st.lists(st.sampled_from(["*", "a", "b/*"]), min_size=1),
            ),
            max_size=2,
        ),
    )
    def test_there_and_back_is_no_change(self, scan_type: str, rules: list[Any]) -> None:
        current = {"scan_type": scan_type, "rules": rules}
        assert scanning_from_ecr(scanning_to_ecr(current)) == current
        change = plan_scanning({"scan_type": "BASIC", "rules": []}, current)
        assert not plan_scanning(scanning_from_ecr(scanning_to_ecr(change.after)), current).changed


class TestReplication:
    HERE = [replicate(("eu-central-1", ACCOUNT), prefixes=[])]

    @pytest.mark.parametrize(
        ("desired", "action"),
        [
            ([replicate(("eu-central-1", None))], None),
            ([replicate(("eu-central-1", ACCOUNT), ("eu-central-1", None))], None),
            ([], "remove all replication rules"),
            ([replicate(("eu-central-1", OTHER))], "write the replication rules (rules: 1)"),
            ([replicate(("eu-central-1", None), prefixes=["prod/"])], "write the replication rules (rules: 1)"),
            ([replicate(("eu-central-1", None), deletes=True)], "write the replication rules (rules: 1)"),
        ],
    )
    def test_plan(self, desired: Any, action: str | None) -> None:
        change = plan_replication(Replication(ACCOUNT, self.HERE), desired)
        assert list(change.actions) == ([action] if action else [])
        assert change.changed == bool(action)

    def test_what_is_not_used_is_not_sent(self) -> None:
        rules = [
            replicate(("eu-central-1", OTHER), prefixes=["prod/"], deletes=True),
            replicate(("eu-west-2", OTHER), prefixes=[]),
        ]
        sent = replication_to_ecr(rules)
        assert sent == [
            {
                "destinations": [{"region": "eu-central-1", "registryId": OTHER}],
                "repositoryFilters": [{"filter": "prod/", "filterType": "PREFIX_MATCH"}],
                "deleteReplication": {"enabled": True},
            },
            {"destinations": [{"region": "eu-west-2", "registryId": OTHER}]},
        ]
        assert replication_from_ecr(sent) == rules

    @given(
        st.lists(
            st.builds(
                replicate,
                st.tuples(st.sampled_from(["eu-west-2", "us-east-1"]), st.sampled_from([None, ACCOUNT, OTHER])),
                prefixes=st.none() | st.lists(st.sampled_from(["a", "b/", "c/d"])),
                deletes=st.booleans(),
            ),
            max_size=4,
        ),
        st.randoms(use_true_random=False),
    )
    def test_order_makes_no_difference(self, rules: list[Any], random: Any) -> None:
        written = replication_to_ecr(plan_replication(Replication(ACCOUNT, []), rules).after)
        shuffled = random.sample(rules, len(rules))
        assert not plan_replication(Replication(ACCOUNT, replication_from_ecr(written)), shuffled).changed


class TestExclusions:
    @pytest.mark.parametrize(
        ("current", "desired", "after", "actions"),
        [
            ([], Exclusions([ROLE], False), [ROLE], [f"let pulls of {ROLE} not count"]),
            (["other"], Exclusions([ROLE], False), [ROLE, "other"], [f"let pulls of {ROLE} not count"]),
            ([ROLE], Exclusions([ROLE, ROLE], True), [ROLE], []),
            (["other", ROLE], Exclusions([ROLE], True), [ROLE], ["let pulls of other count again"]),
            (["other"], Exclusions([], False), ["other"], []),
        ],
    )
    def test_plan(self, current: list[str], desired: Exclusions, after: list[str], actions: list[str]) -> None:
        change = plan_exclusions(current, desired)
        assert (change.after, change.actions) == (after, actions)
        assert change.changed == bool(actions)

    def test_too_many_with_those_of_others(self) -> None:
        with pytest.raises(AnsibleECRError, match="There would be 101 pull-time update exclusions, ECR allows 100"):
            plan_exclusions([f"other-{number}" for number in range(100)], Exclusions([ROLE], False))


class TestConverge:
    @pytest.fixture
    def ecr(self) -> FakeECRRegistry:
        return FakeECRRegistry()

    @pytest.mark.parametrize(
        ("options", "reads", "writes"),
        [
            ({"blob_mounting": "enabled"}, ["GetAccountSetting"], ["PutAccountSetting"]),
            (
                {"scanning": {"scan_type": "ENHANCED", "rules": None}},
                ["GetRegistryScanningConfiguration"],
                ["PutRegistryScanningConfiguration"],
            ),
            (
                {"replication_rules": [replicate(("us-east-1", None))]},
                ["DescribeRegistry"],
                ["PutReplicationConfiguration"],
            ),
            (
                {"pull_time_exclusions": [ROLE]},
                ["ListPullTimeUpdateExclusions"],
                ["RegisterPullTimeUpdateExclusion"],
            ),
        ],
    )
    def test_once_written_it_is_only_read(
        self, ecr: FakeECRRegistry, options: dict[str, Any], reads: list[str], writes: list[str]
    ) -> None:
        parts = desired_parts(params(**options))
        [part] = parts
        assert converge(ecr.client, part, parts, Settings(True, lambda _text: None)).changed
        assert ecr.operations() == reads
        assert converge(ecr.client, part, parts, SETTINGS).changed
        assert ecr.operations() == reads + reads + writes
        assert not converge(ecr.client, part, parts, SETTINGS).changed
        assert ecr.operations() == reads + reads + writes + reads

    def test_blob_mounting_is_spelled_as_ecr_does(self, ecr: FakeECRRegistry) -> None:
        parts = desired_parts(params(blob_mounting="enabled"))
        change = converge(ecr.client, "blob_mounting", parts, SETTINGS)
        assert (change.before, change.after, ecr.settings["BLOB_MOUNTING"]) == ("disabled", "enabled", "ENABLED")

    def test_exclusions_of_all_pages_are_seen_and_purged(self, ecr: FakeECRRegistry) -> None:
        ecr.page_size = 2
        ecr.exclusions = [f"arn:aws:iam::123456789012:role/{number}" for number in range(5)]
        parts = desired_parts(params(pull_time_exclusions=[ROLE], purge_pull_time_exclusions=True))
        change = converge(ecr.client, "pull_time_exclusions", parts, SETTINGS)
        assert len(change.before) == 5
        assert ecr.exclusions == [ROLE]

    @pytest.mark.parametrize(
        ("operation", "meanwhile"),
        [
            ("RegisterPullTimeUpdateExclusion", lambda ecr: ecr.exclusions.append(ROLE)),
            ("DeregisterPullTimeUpdateExclusion", lambda ecr: ecr.exclusions.remove("old")),
        ],
    )
    def test_another_run_that_was_faster_is_no_failure(
        self, ecr: FakeECRRegistry, operation: str, meanwhile: Any
    ) -> None:
        ecr.exclusions = ["old"]
        ecr.on(operation, lambda _request: meanwhile(ecr))
        parts = desired_parts(params(pull_time_exclusions=[ROLE], purge_pull_time_exclusions=True))
        converge(ecr.client, "pull_time_exclusions", parts, SETTINGS)
        assert ecr.exclusions == [ROLE]

    def test_an_exclusion_that_ecr_refuses(self, ecr: FakeECRRegistry) -> None:
        ecr.refuse("RegisterPullTimeUpdateExclusion", "LimitExceededException", "Too many")
        parts = desired_parts(params(pull_time_exclusions=[ROLE]))
        with pytest.raises(AnsibleECRError, match="Failed to register the pull-time update exclusion: Too many"):
            converge(ecr.client, "pull_time_exclusions", parts, SETTINGS)
