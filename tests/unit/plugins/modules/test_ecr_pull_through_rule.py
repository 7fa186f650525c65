# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as a user sees them: options in, result out, with ECR in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.exceptions import EndpointConnectionError

from ansible_collections.stevedore.ecr.plugins.modules import ecr_pull_through_rule, ecr_pull_through_rule_info
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Refused
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import (
    HOST,
    TOKEN,
    FakePullThrough,
    secret_arn,
)
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

HUB = {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": secret_arn()}
HUB_AFTER = {
    "prefix": "docker-hub",
    "upstream": "docker-hub",
    "upstream_url": "registry-1.docker.io",
    "upstream_repository_prefix": "ROOT",
    "credential_arn": secret_arn(),
    "custom_role_arn": None,
}
VALID = {"valid": True, "reason": None}
READS = ["DescribePullThroughCacheRules", "GetAuthorizationToken"]


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakePullThrough:
    fake = FakePullThrough()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(*, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    result = run_module(ecr_pull_through_rule.main, check_mode=check_mode, diff=diff, **options)
    assert TOKEN not in json.dumps(result)
    return result


def info(**options: Any) -> dict[str, Any]:
    return run_module(ecr_pull_through_rule_info.main, **options)


def changed(result: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(rule["name"], rule["changed"]) for rule in result["rules"]]


class TestPresent:
    def test_a_rule_is_created_once_and_validated_each_time(self, ecr: FakePullThrough) -> None:
        first = run(**HUB)
        url = f"{HOST}/docker-hub"
        entry = {"name": "docker-hub", "after": HUB_AFTER, "pull_url": url, "validation": VALID}
        assert first["rules"] == [{**entry, "changed": True, "before": None}]
        assert first["actions"] == ["create the pull-through cache rule docker-hub (upstream: registry-1.docker.io)"]
        assert ecr.writes() == ["CreatePullThroughCacheRule"]

        second = run(**HUB)
        assert second["rules"] == [{**entry, "changed": False, "before": HUB_AFTER}]
        assert (second["changed"], second["actions"]) == (False, [])
        assert ecr.writes() == ["CreatePullThroughCacheRule"]

    def test_only_what_was_said_is_sent(self, ecr: FakePullThrough) -> None:
        run(rules=[HUB, {"prefix": "ROOT", "upstream": "quay", "upstream_repository_prefix": "ROOT"}])
        sent = [request for operation, request in ecr.calls if operation.startswith("Create")]
        assert sent == [
            {
                "ecrRepositoryPrefix": "docker-hub",
                "upstreamRegistryUrl": "registry-1.docker.io",
                "credentialArn": secret_arn(),
            },
            {"ecrRepositoryPrefix": "ROOT", "upstreamRegistryUrl": "quay.io"},
        ]

    def test_the_pull_url_of_root_is_the_registry(self, ecr: FakePullThrough) -> None:
        assert run(prefix="ROOT", upstream="quay")["rules"][0]["pull_url"] == HOST

    def test_the_pull_url_keeps_a_port(self, ecr: FakePullThrough) -> None:
        ecr.host = "127.0.0.1:4566"
        assert run(prefix="quay", upstream="quay")["rules"][0]["pull_url"] == "127.0.0.1:4566/quay"

    def test_an_old_option_name_is_understood(self, ecr: FakePullThrough) -> None:
        assert changed(run(rules=[{"ecr_repository_prefix": "quay/", "upstream": "quay"}])) == [("quay", True)]

    def test_a_rule_that_ecr_stores_with_a_slash_is_the_same_rule(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("docker-hub/", "registry-1.docker.io", credentialArn=secret_arn())
        assert changed(run(**HUB)) == [("docker-hub", False)]
        run(**{**HUB, "credential_arn": secret_arn("new")})
        run(prefix="docker-hub", state="absent")
        named = {json.dumps(request) for operation, request in ecr.calls if "ecrRepositoryPrefix" in request}
        assert named
        assert all('"docker-hub/"' in request for request in named)
        assert ecr.rules == {}

    def test_a_second_run_asks_the_same_however_many_rules_there_are(self, ecr: FakePullThrough) -> None:
        for rules in (
            [HUB],
            [HUB, {**HUB, "prefix": "hub"}, *({"prefix": f"p{n}", "upstream": "quay"} for n in range(30))],
        ):
            run(rules=rules)
            ecr.calls.clear()
            assert not run(rules=rules)["changed"]
            assert ecr.operations() == [*READS, "ValidatePullThroughCacheRule"]

    def test_no_rules_are_nothing_to_do(self, ecr: FakePullThrough) -> None:
        result = run(rules=[])
        assert (result["changed"], result["rules"]) == (False, [])
        assert ecr.operations() == ["DescribePullThroughCacheRules"]

    def test_what_ecr_cannot_change_fails_that_rule_only(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("tools", "registry.k8s.io")
        result = run(rules=[{"prefix": "tools", "upstream": "quay"}, {"prefix": "quay", "upstream": "quay"}])
        assert result["failed"]
        assert changed(result) == [("tools", False), ("quay", True)]
        assert result["rules"][0]["error"]["code"] == "RecreateNeeded"
        assert "upstream_url (registry.k8s.io to quay.io)" in result["msg"]
        assert "recreate=true" in result["msg"]
        assert ecr.rules["tools"]["upstreamRegistryUrl"] == "registry.k8s.io"

    def test_a_credential_of_another_account_is_found_before_any_change(self, ecr: FakePullThrough) -> None:
        result = run(**{**HUB, "credential_arn": secret_arn(account="210987654321")})
        assert "belongs to account 210987654321" in result["msg"]
        assert ecr.writes() == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({}, "one of the following is required: rules, prefix"),
            ({"rules": [], "prefix": "quay"}, "parameters are mutually exclusive: rules|prefix"),
            ({"rules": [], "upstream": "quay"}, "parameters are mutually exclusive: rules|upstream"),
            ({"rules": [{"upstream": "quay"}]}, "missing required arguments: prefix found in rules"),
            ({"prefix": "quay", "upstream": "dockerhub"}, "value of upstream must be one of: docker-hub, ecr-public"),
            ({"rules": [], "purge": True}, "purge is True but all of the following are missing: purge_prefix"),
            (
                {"prefix": "quay", "state": "absent", "purge": True, "purge_prefix": "ROOT"},
                "purge deletes the rules that are not listed, state=absent those that are",
            ),
            ({"rules": [], "purge": True, "purge_prefix": "*"}, "purge_prefix: must be names of lower-case letters"),
            ({"prefix": "docker-hub", "upstream": "docker-hub"}, "credential_arn: is required"),
            ({"prefix": "Quay", "state": "absent"}, "'Quay', prefix: must be in lower case"),
        ],
    )
    def test_is_refused_before_any_call(self, ecr: FakePullThrough, options: dict[str, Any], says: str) -> None:
        result = run(**options)
        assert result["failed"]
        assert says in result["msg"]
        assert ecr.calls == []


class TestRecreate:
    NEW = {"prefix": "tools", "upstream": "quay", "recreate": True}

    def test_deletes_and_creates(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("tools", "registry.k8s.io")
        result = run(**self.NEW)
        assert changed(result) == [("tools", True)]
        assert ecr.writes() == ["DeletePullThroughCacheRule", "CreatePullThroughCacheRule"]
        assert ecr.rules["tools"]["upstreamRegistryUrl"] == "quay.io"
        assert not run(**self.NEW)["changed"]

    def test_is_not_used_where_an_update_will_do(self, ecr: FakePullThrough) -> None:
        run(**HUB)
        run(**{**HUB, "credential_arn": secret_arn("new"), "recreate": True})
        assert ecr.writes() == ["CreatePullThroughCacheRule", "UpdatePullThroughCacheRule"]

    def test_restores_the_old_rule_where_the_new_one_is_refused(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("tools", "registry.k8s.io", upstreamRepositoryPrefix="org")
        ecr.refuse("CreatePullThroughCacheRule", "UnsupportedUpstreamRegistryException", "Not supported")
        result = run(**self.NEW)
        assert result["failed"]
        assert "Not supported" in result["msg"]
        assert result["msg"].endswith("The old rule was restored")
        assert result["rules"][0]["changed"] is False
        assert result["actions"] == []
        assert ecr.rules["tools"]["upstreamRegistryUrl"] == "registry.k8s.io"
        assert ecr.rules["tools"]["upstreamRepositoryPrefix"] == "org"

    def test_says_so_where_the_old_rule_cannot_be_restored(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("tools", "registry.k8s.io")
        ecr.refuse("CreatePullThroughCacheRule", "ValidationException", "No", times=2)
        result = run(**self.NEW, diff=True)
        assert "The rule is deleted, and the old one could not be restored either" in result["msg"]
        [entry] = result["rules"]
        assert (entry["changed"], entry["after"]) == (True, None)
        assert result["changed"]
        assert result["actions"] == ["delete the pull-through cache rule tools"]
        assert result["diff"][0]["after"] == ""


class TestCheckMode:
    def test_promises_what_the_run_then_does(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("old", "quay.io")
        ecr.add_rule("hub", "registry-1.docker.io", credentialArn=secret_arn("old"))
        ecr.add_rule("same", "registry-1.docker.io", credentialArn=secret_arn("same"))
        ecr.add_rule("tools", "registry.k8s.io")
        rules = [
            {**HUB, "prefix": "hub"},
            {**HUB, "prefix": "same", "credential_arn": secret_arn("same")},
            {"prefix": "tools", "upstream": "quay"},
            {"prefix": "new", "upstream": "quay"},
        ]
        options: dict[str, Any] = {"rules": rules, "purge": True, "purge_prefix": "ROOT", "recreate": True}
        before = json.dumps(ecr.rules, default=str)
        promised = run(**options, check_mode=True, diff=True)
        assert json.dumps(ecr.rules, default=str) == before
        assert ecr.operations() == [*READS, "ValidatePullThroughCacheRule"]
        assert promised["rules"][1]["validation"] == VALID
        assert promised["rules"][0]["validation"] is None

        done = run(**options, diff=True)
        promised["rules"][0]["validation"] = VALID  # which only the run can know
        assert promised == done
        assert changed(done) == [("hub", True), ("same", False), ("tools", True), ("new", True), ("old", True)]
        assert [entry["before_header"] for entry in done["diff"]] == ["hub", "tools", "new", "old"]

    def test_the_login_of_a_rule_that_is_there_is_that_of_a_rule_to_come(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("docker-hub", "registry-1.docker.io", credentialArn=secret_arn())
        result = run(rules=[{**HUB, "prefix": "hub"}, HUB], check_mode=True)
        assert [rule["validation"] for rule in result["rules"]] == [VALID, VALID]
        asked = [request for operation, request in ecr.calls if operation == "ValidatePullThroughCacheRule"]
        assert asked == [{"ecrRepositoryPrefix": "docker-hub"}]

    def test_a_refused_login_fails_it_too(self, ecr: FakePullThrough) -> None:
        run(**HUB)
        ecr.refused_logins[secret_arn()] = "unauthorized"
        assert run(**HUB, check_mode=True)["failed"]


class TestAbsent:
    def test_is_done_once(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("docker-hub", "registry-1.docker.io", credentialArn=secret_arn())
        assert run(**HUB, state="absent", check_mode=True)["changed"]
        assert "docker-hub" in ecr.rules
        result = run(**HUB, state="absent")
        entry = {"name": "docker-hub", "after": None, "pull_url": None, "validation": None}
        assert result["rules"] == [{**entry, "changed": True, "before": HUB_AFTER}]
        assert ecr.rules == {}
        ecr.calls.clear()
        assert run(**HUB, state="absent")["rules"] == [{**entry, "changed": False, "before": None}]
        assert ecr.operations() == ["DescribePullThroughCacheRules"]

    def test_needs_no_more_than_the_prefix(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("docker-hub", "registry-1.docker.io", credentialArn=secret_arn())
        assert run(rules=[{"prefix": "docker-hub/"}], state="absent")["changed"]

    def test_somebody_else_was_faster(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("quay", "quay.io")
        ecr.on("DeletePullThroughCacheRule", lambda _request: ecr.rules.clear())
        assert "failed" not in run(prefix="quay", state="absent")


class TestPurge:
    @pytest.fixture(autouse=True)
    def _rules(self, ecr: FakePullThrough) -> None:
        for prefix in ("team", "team/a", "team/b", "team-b", "other"):
            ecr.add_rule(prefix, "quay.io")

    @pytest.mark.parametrize(
        ("purge_prefix", "left"),
        [
            ("team", ["other", "team-b", "team/a"]),
            ("team/", ["other", "team-b", "team/a"]),
            ("team/b", ["other", "team", "team-b", "team/a"]),
            ("ROOT", ["team/a"]),
            ("none", ["other", "team", "team-b", "team/a", "team/b"]),
        ],
    )
    def test_only_what_is_under_the_prefix_and_not_listed_goes(
        self, ecr: FakePullThrough, purge_prefix: str, left: list[str]
    ) -> None:
        run(rules=[{"prefix": "team/a", "upstream": "quay"}], purge=True, purge_prefix=purge_prefix)
        assert sorted(ecr.rules) == left

    def test_nothing_goes_unless_asked(self, ecr: FakePullThrough) -> None:
        run(rules=[{"prefix": "team/a", "upstream": "quay"}], purge_prefix="ROOT")
        assert len(ecr.rules) == 5

    def test_an_empty_list_purges_all(self, ecr: FakePullThrough) -> None:
        result = run(rules=[], purge=True, purge_prefix="team")
        assert changed(result) == [("team", True), ("team/a", True), ("team/b", True)]

    def test_makes_room_first(self, ecr: FakePullThrough) -> None:
        for number in range(45):
            ecr.add_rule(f"full/{number}", "quay.io")
        result = run(rules=[{"prefix": "new", "upstream": "quay"}], purge=True, purge_prefix="other")
        assert "failed" not in result


class TestValidation:
    def test_a_refused_login_fails_with_the_reason_and_keeps_the_rule(self, ecr: FakePullThrough) -> None:
        ecr.refused_logins[secret_arn()] = "the token has expired"
        result = run(rules=[HUB, {"prefix": "quay", "upstream": "quay"}])
        assert result["failed"]
        assert "registry-1.docker.io cannot be used with" in result["msg"]
        assert "the token has expired. The rule stays as it is." in result["msg"]
        hub, quay = result["rules"]
        assert hub["error"]["code"] == "InvalidLogin"
        assert hub["changed"]
        assert hub["after"] == HUB_AFTER
        assert hub["validation"] == {"valid": False, "reason": "the token has expired"}
        assert "error" not in quay
        assert "docker-hub" in ecr.rules
        again = run(**HUB)
        assert again["failed"]
        assert not again["changed"]

    @pytest.mark.parametrize(
        ("validate", "asked"),
        [
            (None, ["docker-hub"]),
            (True, ["docker-hub", "quay"]),
            (False, []),
        ],
    )
    def test_which_rules(self, ecr: FakePullThrough, validate: bool | None, asked: list[str]) -> None:
        rules = [HUB, {"prefix": "quay", "upstream": "quay"}]
        result = run(rules=rules, **({} if validate is None else {"validate": validate}))
        requests = [request for operation, request in ecr.calls if operation.startswith("Validate")]
        assert sorted(request["ecrRepositoryPrefix"] for request in requests) == asked
        validated = [rule["name"] for rule in result["rules"] if rule["validation"]]
        assert validated == asked

    def test_once_for_each_login(self, ecr: FakePullThrough) -> None:
        ghcr = {"prefix": "ghcr", "upstream": "ghcr", "credential_arn": secret_arn()}
        ecr.refused_logins[secret_arn("bad")] = "no"
        bad = {**HUB, "prefix": "bad", "credential_arn": secret_arn("bad")}
        result = run(rules=[HUB, {**HUB, "prefix": "hub2"}, ghcr, bad, {**bad, "prefix": "bad2"}])
        assert ecr.operations().count("ValidatePullThroughCacheRule") == 3
        assert [rule["validation"]["valid"] for rule in result["rules"]] == [True, True, True, False, False]
        assert "Failed for 2 of 5 rules" in result["msg"]

    def test_a_rule_that_failed_is_not_validated(self, ecr: FakePullThrough) -> None:
        ecr.refuse("CreatePullThroughCacheRule", "SecretNotFoundException", "Not found")
        run(**HUB)
        assert "ValidatePullThroughCacheRule" not in ecr.operations()

    def test_where_ecr_cannot_be_asked_the_change_is_still_told(self, ecr: FakePullThrough) -> None:
        ecr.refuse("ValidatePullThroughCacheRule", "AccessDeniedException", "Not authorized")
        result = run(**HUB)
        assert "needs ecr:ValidatePullThroughCacheRule" in result["msg"]
        assert changed(result) == [("docker-hub", True)]


class TestFaults:
    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("LimitExceededException", "Amazon ECR allows 50 rules in a registry and region"),
            ("SecretNotFoundException", "Check the six characters at the end of credential_arn"),
            ("UnableToAccessSecretException", "must be in this account and region"),
            ("UnableToDecryptSecretValueException", "aws/secretsmanager: Amazon ECR cannot use a customer managed key"),
            ("PullThroughCacheRuleAlreadyExistsException", "run again"),
        ],
    )
    def test_come_with_advice(self, ecr: FakePullThrough, code: str, advice: str) -> None:
        ecr.refuse("CreatePullThroughCacheRule", code, "In AWS's own words.")
        result = run(rules=[HUB, {"prefix": "quay", "upstream": "quay"}])
        [entry, quay] = result["rules"]
        said = entry["error"]["msg"]
        assert f"Failed to create the pull-through cache rule: In AWS's own words ({code}). " in said
        assert advice in said
        assert entry["error"]["code"] == code
        assert quay["changed"]

    def test_the_quota_fails_only_what_is_beyond_it(self, ecr: FakePullThrough) -> None:
        rules = [{"prefix": f"p{number}", "upstream": "quay"} for number in range(52)]
        result = run(rules=rules)
        assert "Failed for 2 of 52 rules. p50: " in result["msg"]
        assert len(ecr.rules) == 50

    @pytest.mark.parametrize(
        ("operation", "options"),
        [
            ("DescribePullThroughCacheRules", HUB),
            ("GetAuthorizationToken", HUB),
            ("CreatePullThroughCacheRule", HUB),
            ("UpdatePullThroughCacheRule", {**HUB, "prefix": "old"}),
            ("DeletePullThroughCacheRule", {"prefix": "old", "state": "absent"}),
            ("ValidatePullThroughCacheRule", HUB),
        ],
    )
    def test_a_missing_permission_is_named(self, ecr: FakePullThrough, operation: str, options: dict[str, Any]) -> None:
        ecr.add_rule("old", "registry-1.docker.io", credentialArn=secret_arn("old"))
        ecr.refuse(operation, "AccessDeniedException", "Not authorized")
        result = run(**options)
        assert result["failed"]
        assert f"needs ecr:{operation}" in result["msg"]

    def test_throttling_is_waited_out(self, ecr: FakePullThrough, slept: list[float]) -> None:
        ecr.refuse("CreatePullThroughCacheRule", "ThrottlingException", "Rate exceeded", times=3)
        assert run(**HUB)["changed"]
        assert len(slept) == 3

    def test_aws_out_of_reach_is_one_line(self, ecr: FakePullThrough, slept: list[float]) -> None:
        def unreachable(_request: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://nowhere.invalid")

        ecr.on("CreatePullThroughCacheRule", unreachable, times=100)
        result = run(rules=[{"prefix": f"p{number}", "upstream": "quay"} for number in range(5)])
        assert result["failed"]
        assert result["msg"].count("nowhere.invalid") == 1
        assert result["msg"].endswith("Done before that: 0 of 5 rules.")

    def test_many_rules_are_read_page_by_page(self, ecr: FakePullThrough, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_pull_through.DESCRIBE_PAGE_SIZE", 2
        )
        for number in range(5):
            ecr.add_rule(f"p{number}", "quay.io")
        assert not run(prefix="p4", upstream="quay")["changed"]
        assert ecr.operations().count("DescribePullThroughCacheRules") == 3


class TestInfo:
    @pytest.fixture(autouse=True)
    def _rules(self, ecr: FakePullThrough) -> None:
        ecr.add_rule("quay", "quay.io")
        ecr.add_rule("docker-hub/", "registry-1.docker.io", credentialArn=secret_arn())

    def test_all(self, ecr: FakePullThrough) -> None:
        result = info()
        assert not result["changed"]
        assert result["rules"][0] == {
            **HUB_AFTER,
            "registry_id": "123456789012",
            "created_at": "2026-06-01T12:00:00+00:00",
            "updated_at": None,
            "pull_url": f"{HOST}/docker-hub",
            "validation": None,
        }
        assert [rule["prefix"] for rule in result["rules"]] == ["docker-hub", "quay"]
        assert ecr.operations() == READS

    def test_some(self, ecr: FakePullThrough) -> None:
        result = info(prefixes=["quay/", "none", "quay"])
        assert [rule["prefix"] for rule in result["rules"]] == ["quay"]

    def test_none(self, ecr: FakePullThrough) -> None:
        ecr.rules.clear()
        assert info()["rules"] == []
        assert ecr.operations() == ["DescribePullThroughCacheRules"]

    def test_validated(self, ecr: FakePullThrough) -> None:
        ecr.refused_logins[secret_arn()] = "expired"
        result = info(validate=True, _ansible_check_mode=True)
        assert "failed" not in result
        assert [rule["validation"] for rule in result["rules"]] == [{"valid": False, "reason": "expired"}, VALID]

    def test_a_failed_call_fails(self, ecr: FakePullThrough) -> None:
        ecr.refuse("ValidatePullThroughCacheRule", "AccessDeniedException", "Not authorized", times=2)
        result = info(validate=True)
        assert result["failed"]
        assert "needs ecr:ValidatePullThroughCacheRule" in result["msg"]


def test_a_rule_that_appeared_meanwhile_is_an_error(ecr: FakePullThrough) -> None:
    def appear(_request: Any) -> None:
        raise Refused("PullThroughCacheRuleAlreadyExistsException", "It exists")

    ecr.on("CreatePullThroughCacheRule", appear)
    assert "run again" in run(**HUB)["msg"]
