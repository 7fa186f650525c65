"""The module ecr_registry_settings against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ecr_api import allow, policy

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

MODULE = "ecr_registry_settings"
OTHER = "210987654321"
ROLE = "arn:aws:iam::000000000000:role/mirror"


def statement(sid: str, **changes: Any) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": [OTHER]},
        "Action": ["ecr:CreateRepository", "ecr:BatchImportUpstreamImage"],
        "Resource": ["*"],
        **changes,
    }


OURS = statement("Ours")
PARTS: dict[str, dict[str, Any]] = {
    "policy": {"policy_statements": [OURS, statement("Second", Action=["ecr:ReplicateImage"])]},
    "scanning": {
        "scanning": {
            "scan_type": "ENHANCED",
            "rules": [
                {"scan_frequency": "SCAN_ON_PUSH", "repository_filters": ["*"]},
                {"scan_frequency": "CONTINUOUS_SCAN", "repository_filters": ["prod/*", "base"]},
            ],
        }
    },
    "replication": {
        "replication_rules": [
            {"destinations": [{"region": "us-east-1"}], "repository_prefixes": ["prod/"]},
            {"destinations": [{"region": "us-east-1"}, {"region": "eu-west-2", "registry_id": OTHER}]},
        ]
    },
    "blob_mounting": {"blob_mounting": "enabled"},
    "pull_time_exclusions": {"pull_time_exclusions": [ROLE]},
}
EVERYTHING = {option: value for part in PARTS.values() for option, value in part.items()}
READS = {
    "policy": ["GetRegistryPolicy"],
    "scanning": ["GetRegistryScanningConfiguration"],
    "replication": ["DescribeRegistry"],
    "blob_mounting": ["GetAccountSetting"],
    "pull_time_exclusions": ["ListPullTimeUpdateExclusions"],
}
ACTIONS = [
    *("ecr:GetRegistryPolicy", "ecr:PutRegistryPolicy", "ecr:DeleteRegistryPolicy"),
    *("ecr:GetRegistryScanningConfiguration", "ecr:PutRegistryScanningConfiguration"),
    *("ecr:DescribeRegistry", "ecr:PutReplicationConfiguration"),
    *("ecr:GetAccountSetting", "ecr:PutAccountSetting"),
    *("ecr:ListPullTimeUpdateExclusions", "ecr:RegisterPullTimeUpdateExclusion"),
    "ecr:DeregisterPullTimeUpdateExclusion",
]


def stored_sids(cloud: Cloud) -> list[str]:
    ecr = cloud.client("ecr")
    try:
        document = json.loads(ecr.get_registry_policy()["policyText"])
    except ecr.exceptions.RegistryPolicyNotFoundException:
        return []
    return [found["Sid"] for found in document["Statement"]]


def entry(result: ModuleResult, name: str) -> dict[str, Any]:
    [found] = [item for item in result["settings"] if item["name"] == name]
    return dict(found)


# ------------------------------------------------------------------ what it does


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_written_once_and_then_only_read(cloud: Cloud, module: Module, part: str) -> None:
    promised = module(MODULE, PARTS[part], check=True, diff=True)
    assert cloud.operations() == READS[part]
    first = module(MODULE, PARTS[part], diff=True)
    assert not first.failed, first.msg
    assert promised.returned == first.returned
    assert [item["name"] for item in first["settings"] if item["changed"]] == [part]
    cloud.forget_calls()
    second = module(MODULE, PARTS[part])
    assert not second.changed, second.returned
    assert cloud.operations() == READS[part]


def test_what_aws_stores_is_what_was_asked_for(cloud: Cloud, module: Module) -> None:
    result = module(MODULE, EVERYTHING)
    assert not result.failed, result.msg
    ecr = cloud.client("ecr")
    scanning = ecr.get_registry_scanning_configuration()["scanningConfiguration"]
    assert scanning["scanType"] == "ENHANCED"
    assert {
        rule["scanFrequency"]: [item["filter"] for item in rule["repositoryFilters"]] for rule in scanning["rules"]
    } == {"CONTINUOUS_SCAN": ["base", "prod/*"], "SCAN_ON_PUSH": ["*"]}
    rules = ecr.describe_registry()["replicationConfiguration"]["rules"]
    destinations = {(to["region"], to["registryId"]) for rule in rules for to in rule["destinations"]}
    assert destinations == {("us-east-1", cloud.account), ("eu-west-2", OTHER)}
    assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
    assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [ROLE]
    assert stored_sids(cloud) == ["Ours", "Second"]


def test_statements_of_others_survive(cloud: Cloud, module: Module) -> None:
    cloud.client("ecr").put_registry_policy(policyText=policy(statement("Theirs"), OURS))
    changed = statement("Ours", Action="ecr:CreateRepository")
    result = module(MODULE, {"policy_statements": [changed, statement("New")]})
    assert result["actions"] == [
        "add statement New of the registry policy",
        "replace statement Ours of the registry policy",
    ]
    assert stored_sids(cloud) == ["Theirs", "Ours", "New"]
    module(MODULE, {"absent_statements": ["Ours", "New", "NeverThere"]})
    assert stored_sids(cloud) == ["Theirs"]


def test_the_last_statement_takes_the_policy_with_it(cloud: Cloud, module: Module) -> None:
    module(MODULE, {"policy_statements": [OURS]})
    removal = {"absent_statements": ["Ours"]}
    assert module(MODULE, removal, check=True).changed
    assert stored_sids(cloud) == ["Ours"]
    assert module(MODULE, removal).changed
    assert stored_sids(cloud) == []
    assert not module(MODULE, removal).changed


@pytest.mark.parametrize(
    "same",
    [
        {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}},
        {"Action": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]},
        {"Resource": "*"},
    ],
)
def test_a_statement_in_other_words_is_no_change(cloud: Cloud, module: Module, same: dict[str, Any]) -> None:
    module(MODULE, {"policy_statements": [OURS]})
    assert not module(MODULE, {"policy_statements": [statement("Ours", **same)]}).changed


def test_half_of_scanning_leaves_the_other_half(cloud: Cloud, module: Module) -> None:
    module(MODULE, PARTS["scanning"])
    result = module(MODULE, {"scanning": {"rules": [{"scan_frequency": "SCAN_ON_PUSH", "repository_filters": ["a"]}]}})
    assert entry(result, "scanning")["after"]["scan_type"] == "ENHANCED"
    refused = module(
        MODULE,
        {"scanning": {"scan_type": "ENHANCED", "rules": [{"scan_frequency": "MANUAL", "repository_filters": ["a"]}]}},
    )
    assert refused.failed


def test_no_replication_rules_end_replication(cloud: Cloud, module: Module) -> None:
    module(MODULE, PARTS["replication"])
    assert module(MODULE, {"replication_rules": []})["actions"] == ["remove all replication rules"]
    assert cloud.client("ecr").describe_registry()["replicationConfiguration"]["rules"] == []


def test_exclusions_of_others_stay_unless_purged(cloud: Cloud, module: Module) -> None:
    theirs = ROLE.replace("mirror", "scanner")
    cloud.client("ecr").register_pull_time_update_exclusion(principalArn=theirs)
    assert entry(module(MODULE, PARTS["pull_time_exclusions"]), "pull_time_exclusions")["after"] == [ROLE, theirs]
    purged = module(MODULE, {"pull_time_exclusions": [ROLE], "purge_pull_time_exclusions": True})
    assert entry(purged, "pull_time_exclusions")["after"] == [ROLE]
    assert cloud.client("ecr").list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [ROLE]


def test_the_scope_of_the_policy_goes_up_once(cloud: Cloud, module: Module) -> None:
    cloud.client("ecr").put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")
    first = entry(module(MODULE, {"policy_scope": "V2"}), "policy_scope")
    assert (first["before"], first["after"]) == ("V1", "V2")
    assert not module(MODULE, {"policy_scope": "V2"}).changed


@pytest.mark.parametrize(("scope", "warned"), [("V1", 0), ("V2", 1)])
def test_a_denial_for_everyone_is_warned_of_under_v2(cloud: Cloud, module: Module, scope: str, warned: int) -> None:
    cloud.client("ecr").put_account_setting(name="REGISTRY_POLICY_SCOPE", value=scope)
    denial = statement("NoPush", Effect="Deny", Principal="*", Action="ecr:PutImage")
    result = module(MODULE, {"policy_statements": [denial]}, check=True)
    assert len(result.warnings) == warned
    assert all("NoPush" in text and "everyone" in text for text in result.warnings)


# ------------------------------------------------------------------ bad input and faults


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"policy_statements": [{**OURS, "Sid": None}]}, ["policy_statements[0]", "Sid", "required"]),
        ({"policy_statements": [OURS, OURS]}, ["policy_statements[1] (Ours)", "more than once"]),
        ({"policy_statements": [statement("Long", Resource=["x" * 10_300])]}, ["characters", "10240"]),
        ({"policy_scope": "V1"}, ["policy_scope", "V2"]),
        (
            {"scanning": {"scan_type": "BASIC", "rules": PARTS["scanning"]["scanning"]["rules"]}},
            ["CONTINUOUS_SCAN", "BASIC"],
        ),
        ({"replication_rules": [{"destinations": [{"region": "us-east-1"}]}] * 26}, ["replication_rules", "25"]),
        ({"pull_time_exclusions": ["mirror"]}, ["pull_time_exclusions", "ARN", "'mirror'"]),
        ({}, ["one of the following is required", "policy_statements", "blob_mounting"]),
    ],
)
def test_bad_input_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: list[str]
) -> None:
    result = module(MODULE, arguments)
    assert result.failed
    for word in says:
        assert word in result.msg
    assert cloud.operations() == []


def test_a_policy_that_grows_too_long_is_refused_with_what_is_there(cloud: Cloud, module: Module) -> None:
    theirs = statement("Theirs", Resource=[f"arn:aws:ecr:eu-central-1:{cloud.account}:repository/{'x' * 9000}"])
    cloud.client("ecr").put_registry_policy(policyText=policy(theirs))
    result = module(MODULE, {"policy_statements": [statement("Ours", Resource=["y" * 1200])]})
    assert result.failed
    assert "10240" in result.msg
    assert "absent_statements" in result.msg
    assert stored_sids(cloud) == ["Theirs"]


def test_a_part_that_is_refused_does_not_stop_the_others(cloud: Cloud, module: Module) -> None:
    blocked = {"__type": "BlockedByOrganizationPolicyException", "message": "An organization policy blocks this."}
    cloud.inject({"op": "PutRegistryScanningConfiguration", "status": 400, "body": blocked})
    result = module(MODULE, EVERYTHING)
    assert result.failed
    assert "scanning" in result.msg
    assert "An organization policy blocks this" in result.msg
    assert [item["name"] for item in result["settings"] if "error" in item] == ["scanning"]
    again = module(MODULE, EVERYTHING)
    assert [item["name"] for item in again["settings"] if item["changed"]] == ["scanning"]


def test_throttling_is_waited_out(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    cloud.inject({"op": "PutRegistryPolicy", "status": 400, "times": 7, "body": throttled})
    assert not module(MODULE, PARTS["policy"]).failed
    assert stored_sids(cloud) == ["Ours", "Second"]


def test_two_runs_at_once_end_with_the_statements_of_both(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    cloud.client("ecr").put_registry_policy(policyText=policy(statement("Theirs")))
    tasks = [{f"stevedore.ecr.{MODULE}": {"policy_statements": [statement(name)]}} for name in ("One", "Two")]
    runs: list[PlaybookRun] = []
    threads = [threading.Thread(target=lambda task=task: runs.append(playbook(local_play(task)))) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == [0, 0], "\n".join(run.output for run in runs)
    assert playbook(local_play(*tasks)).status == 0
    assert set(stored_sids(cloud)) == {"Theirs", "One", "Two"}
    assert playbook(local_play(*tasks)).recap["changed"] == 0


# ------------------------------------------------------------------ permissions


def exercise(module: Module, credentials: dict[str, str]) -> list[ModuleResult]:
    """Everything that the module can do, so that every action is used."""
    denial = statement("NoPush", Effect="Deny", Principal="*", Action="ecr:DeleteRepository")
    return [
        module(MODULE, EVERYTHING, credentials=credentials),
        module(MODULE, {"policy_statements": [denial]}, check=True, credentials=credentials),
        module(MODULE, {"absent_statements": ["Ours", "Second"]}, credentials=credentials),
        module(MODULE, {"pull_time_exclusions": [], "purge_pull_time_exclusions": True}, credentials=credentials),
    ]


def prepare(cloud: Cloud, module: Module) -> None:
    """Something to remove, whatever the role may do."""
    module(MODULE, {"policy_statements": [OURS], "pull_time_exclusions": [ROLE + "-old"]})


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    prepare(cloud, module)
    role = cloud.role("operator", [allow(*ACTIONS)])
    assert [result.msg for result in exercise(module, role) if result.failed] == []


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    prepare(cloud, module)
    role = cloud.role("operator", [allow(*(action for action in ACTIONS if action != missing))])
    failures = [result.msg for result in exercise(module, role) if result.failed]
    assert failures
    assert all(missing in message for message in failures)
