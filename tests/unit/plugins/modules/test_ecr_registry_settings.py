# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with ECR in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_registry_settings
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import FakeECRRegistry
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

OURS: dict[str, Any] = {
    "Sid": "Ours",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
    "Action": ["ecr:CreateRepository", "ecr:BatchImportUpstreamImage"],
    "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/hub/*",
}
THEIRS = {**OURS, "Sid": "Theirs"}
ROLE = "arn:aws:iam::123456789012:role/mirror"
EVERYTHING: dict[str, Any] = {
    "policy_statements": [OURS],
    "scanning": {
        "scan_type": "ENHANCED",
        "rules": [{"scan_frequency": "CONTINUOUS_SCAN", "repository_filters": ["prod/*"]}],
    },
    "replication_rules": [{"destinations": [{"region": "eu-central-1"}], "repository_prefixes": ["prod/"]}],
    "blob_mounting": "enabled",
    "basic_scan_version": "AWS_NATIVE",
    "policy_scope": "V2",
    "pull_time_exclusions": [ROLE],
}
PARTS = [
    *("policy_scope", "basic_scan_version", "blob_mounting", "scanning", "replication", "pull_time_exclusions"),
    "policy",
]


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeECRRegistry:
    fake = FakeECRRegistry()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    fake.write_policy(THEIRS)
    return fake


def run(*, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(ecr_registry_settings.main, check_mode=check_mode, diff=diff, **options)


def writes(ecr: FakeECRRegistry) -> list[str]:
    return [name for name in ecr.operations() if name.startswith(("Put", "Delete", "Register", "Deregister"))]


def test_everything_is_written_once(ecr: FakeECRRegistry) -> None:
    first = run(**EVERYTHING)
    assert not first.get("failed"), first["msg"]
    assert [item["name"] for item in first["settings"]] == PARTS
    assert {item["name"] for item in first["settings"] if not item["changed"]} == {"policy_scope", "basic_scan_version"}
    assert first["actions"] == [
        "set blob_mounting to enabled",
        "set scanning to ENHANCED (rules: CONTINUOUS_SCAN)",
        "write the replication rules (rules: 1)",
        f"let pulls of {ROLE} not count",
        "add statement Ours of the registry policy",
    ]
    assert ecr.registry_policy == {"Version": "2012-10-17", "Statement": [THEIRS, OURS]}
    ecr.calls.clear()

    second = run(**EVERYTHING)
    assert (second["changed"], second["actions"], writes(ecr)) == (False, [], [])
    assert len(ecr.calls) == len(PARTS)


def test_check_mode_says_what_the_real_run_does_and_writes_nothing(ecr: FakeECRRegistry) -> None:
    predicted = run(check_mode=True, diff=True, **EVERYTHING)
    assert writes(ecr) == []
    assert run(diff=True, **EVERYTHING) == predicted


def test_diff_shows_each_part_that_changed(ecr: FakeECRRegistry) -> None:
    diff = run(check_mode=True, diff=True, **EVERYTHING)["diff"]
    assert [item["before_header"] for item in diff] == PARTS[2:]
    assert (diff[0]["before"], diff[0]["after"]) == ('"disabled"\n', '"enabled"\n')
    assert json.loads(diff[-1]["after"])["Statement"] == [THEIRS, OURS]


def test_what_is_not_given_is_not_even_read(ecr: FakeECRRegistry) -> None:
    assert run(blob_mounting="enabled")["changed"]
    assert ecr.operations() == ["GetAccountSetting", "PutAccountSetting"]


def test_removing_the_last_statement_deletes_the_policy(ecr: FakeECRRegistry) -> None:
    result = run(absent_statements=["Theirs"])
    assert result["settings"][0]["after"] is None
    assert ecr.registry_policy is None
    assert not run(absent_statements=["Theirs"])["changed"]


def test_a_part_that_fails_does_not_stop_the_others(ecr: FakeECRRegistry) -> None:
    ecr.refuse("PutRegistryScanningConfiguration", "BlockedByOrganizationPolicyException", "Blocked")
    result = run(**EVERYTHING)
    assert result["failed"]
    assert result["msg"] == (
        "Failed for 1 of 7 settings. scanning: Failed to write the scanning configuration: Blocked "
        "(BlockedByOrganizationPolicyException)"
    )
    assert [item["name"] for item in result["settings"] if "error" in item] == ["scanning"]
    assert ecr.settings["BLOB_MOUNTING"] == "ENABLED"
    assert len((ecr.registry_policy or {})["Statement"]) == 2


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("GetRegistryPolicy", {"policy_statements": [OURS]}),
        ("PutRegistryPolicy", {"policy_statements": [OURS]}),
        ("DeleteRegistryPolicy", {"absent_statements": ["Theirs"]}),
        ("GetAccountSetting", {"policy_statements": [{**OURS, "Effect": "Deny", "Principal": "*"}]}),
        ("GetAccountSetting", {"blob_mounting": "enabled"}),
        ("PutAccountSetting", {"blob_mounting": "enabled"}),
        ("GetRegistryScanningConfiguration", {"scanning": {"scan_type": "ENHANCED"}}),
        ("PutRegistryScanningConfiguration", {"scanning": {"scan_type": "ENHANCED"}}),
        ("DescribeRegistry", {"replication_rules": EVERYTHING["replication_rules"]}),
        ("PutReplicationConfiguration", {"replication_rules": EVERYTHING["replication_rules"]}),
        ("ListPullTimeUpdateExclusions", {"pull_time_exclusions": [ROLE]}),
        ("RegisterPullTimeUpdateExclusion", {"pull_time_exclusions": [ROLE]}),
        (
            "DeregisterPullTimeUpdateExclusion",
            {"pull_time_exclusions": [], "purge_pull_time_exclusions": True},
        ),
    ],
)
def test_a_denied_call_names_the_action_that_is_needed(
    ecr: FakeECRRegistry, operation: str, options: dict[str, Any]
) -> None:
    ecr.exclusions = [f"{ROLE}-old"]
    ecr.refuse(operation, "AccessDeniedException", "User: u is not allowed")
    result = run(**options)
    assert result["failed"]
    assert f"(needs ecr:{operation})" in result["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of the following is required: policy_statements, absent_statements"),
        ({"purge_pull_time_exclusions": True}, "one of the following is required: policy_statements"),
        ({"policy_scope": "V1"}, "value of policy_scope must be one of: V2, got: V1"),
        ({"basic_scan_version": "CLAIR"}, "value of basic_scan_version must be one of: AWS_NATIVE, got: CLAIR"),
        ({"blob_mounting": "on"}, "value of blob_mounting must be one of: enabled, disabled, got: on"),
        ({"policy_statements": [{**OURS, "Sid": ""}]}, "policy_statements[0], Sid: is required"),
        (
            {"scanning": {"scan_type": "BASIC", "rules": EVERYTHING["scanning"]["rules"]}},
            "scanning.rules[0].scan_frequency: must be SCAN_ON_PUSH or MANUAL with scan_type BASIC",
        ),
        ({"replication_rules": [{"destinations": [{}]}]}, "missing required arguments: region found in"),
    ],
)
def test_bad_input_is_refused_before_any_call(ecr: FakeECRRegistry, options: dict[str, Any], message: str) -> None:
    result = run(**options)
    assert result["failed"]
    assert message in result["msg"]
    assert ecr.calls == []


def test_a_denial_for_everyone_is_warned_of_once(ecr: FakeECRRegistry) -> None:
    denial = {**OURS, "Sid": "Denial", "Effect": "Deny", "Principal": {"AWS": ["*"]}}
    [warning] = run(policy_statements=[denial])["warnings"]
    assert warning.startswith("Statement Denial of the registry policy denies ecr:CreateRepository, ecr:BatchImport")
    assert run(policy_statements=[denial]).get("warnings", []) == []
