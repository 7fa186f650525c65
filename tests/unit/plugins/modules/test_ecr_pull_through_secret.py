# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with Secrets Manager in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_pull_through_secret
from ansible_collections.stevedore.ecr.tests.unit.support.fake_aws import FakeSecrets
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import NOW
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

HUB, GITHUB = "ecr-pullthroughcache/docker-hub", "ecr-pullthroughcache/github"
TOKEN, OTHER_TOKEN = "dckr_pat_1f6c0", "dckr_pat_77aa2"
LOGIN = {"username": "docker", "access_token": TOKEN}
STORED = {"username": "docker", "accessToken": TOKEN}
PLACEHOLDER = {"username": "FILL-ME", "accessToken": "FILL-ME"}
READS = ["DescribeSecret", "BatchGetSecretValue"]


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> FakeSecrets:
    fake = FakeSecrets()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(*given: dict[str, Any], check_mode: bool = False, **options: Any) -> dict[str, Any]:
    result = run_module(ecr_pull_through_secret.main, check_mode=check_mode, diff=True, secrets=list(given), **options)
    text = json.dumps(result)
    assert TOKEN not in text
    assert OTHER_TOKEN not in text
    return result


def state(value: str, **more: Any) -> dict[str, Any]:
    return {"description": "", "tags": {}, "value": value, "awaits_deletion": False, **more}


class TestPresent:
    def test_a_login_is_stored_once(self, secrets: FakeSecrets) -> None:
        first = run({"name": HUB, **LOGIN})
        entry = {"name": HUB, "arn": secrets.secrets[HUB]["ARN"], "needs_filling": False, "after": state("credential")}
        assert first["secrets"] == [{**entry, "changed": True, "before": None}]
        assert secrets.value(HUB) == STORED
        secrets.calls.clear()

        second = run({"name": HUB, **LOGIN})
        assert second["secrets"] == [{**entry, "changed": False, "before": state("credential")}]
        assert (second["changed"], second["diff"]) == (False, [])
        assert secrets.operations() == READS

    def test_a_name_that_holds_the_user_name_is_not_masked(self, secrets: FakeSecrets) -> None:
        assert run({"name": HUB, **LOGIN})["secrets"][0]["name"] == HUB

    def test_without_a_login_there_are_placeholders_to_be_filled_in(self, secrets: FakeSecrets) -> None:
        first = run({"name": GITHUB})
        assert first["secrets"][0]["needs_filling"] is True
        assert secrets.value(GITHUB) == PLACEHOLDER
        assert not run({"name": GITHUB})["changed"]

        secrets.secrets[GITHUB]["versions"].append(json.dumps(STORED))
        filled = run({"name": GITHUB})
        assert (filled["changed"], filled["secrets"][0]["needs_filling"]) == (False, False)
        assert secrets.value(GITHUB) == STORED

    def test_one_placeholder_is_enough(self, secrets: FakeSecrets) -> None:
        secrets.add(GITHUB, {"username": "me", "accessToken": "FILL-ME"})
        assert run({"name": GITHUB})["secrets"][0]["needs_filling"] is True

    def test_a_login_that_differs_is_stored_anew(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED)
        result = run({"name": HUB, "username": "docker", "access_token": OTHER_TOKEN})
        assert result["actions"] == [f"store a new credential in the secret {HUB}"]
        assert result["secrets"][0]["before"] == state("credential")
        assert result["secrets"][0]["after"] == state("new credential")
        assert secrets.value(HUB) == {"username": "docker", "accessToken": OTHER_TOKEN}

    def test_a_login_replaces_the_placeholder(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, PLACEHOLDER)
        result = run({"name": HUB, **LOGIN})
        assert result["secrets"][0]["needs_filling"] is False
        assert secrets.value(HUB) == STORED

    @pytest.mark.parametrize("form", [json.dumps(STORED, indent=4), json.dumps({**STORED, "note": "x"})])
    def test_values_are_compared_by_meaning(self, secrets: FakeSecrets, form: str) -> None:
        secrets.add(HUB, form)
        assert not run({"name": HUB, **LOGIN})["changed"]

    def test_description_and_tags_are_added_and_others_stay(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED, Tags=[{"Key": "theirs", "Value": "1"}, {"Key": "team", "Value": "old"}])
        given = {"name": HUB, "description": "Docker Hub", "tags": {"team": "new"}}
        result = run(given)
        assert result["actions"] == [f"update the description of the secret {HUB}", f"tag the secret {HUB} (team)"]
        after = state("credential", description="Docker Hub", tags={"team": "new", "theirs": "1"})
        assert result["secrets"][0]["after"] == after
        assert secrets.operations() == [*READS, "UpdateSecret", "TagResource"]
        assert not run(given)["changed"]

    def test_what_is_not_mentioned_stays(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED, Description="theirs", Tags=[{"Key": "a", "Value": "b"}])
        result = run({"name": HUB})
        assert result["secrets"][0]["after"] == state("credential", description="theirs", tags={"a": "b"})
        assert not result["changed"]

    def test_check_mode_promises_what_the_run_does(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, {"username": "docker", "accessToken": "old"})
        given = [{"name": HUB, **LOGIN}, {"name": GITHUB, "tags": {"a": 1}}]
        promised = run(*given, check_mode=True)
        assert set(secrets.operations()) == set(READS)
        done = run(*given)
        assert promised["secrets"][1].pop("arn") is None
        assert done["secrets"][1].pop("arn").endswith("github-a1B2c3")
        assert promised == done

    def test_many_secrets_take_few_calls(self, secrets: FakeSecrets) -> None:
        names = [f"ecr-pullthroughcache/{number}" for number in range(45)]
        for name in names:
            secrets.add(name, STORED)
        result = run(*({"name": name, **LOGIN} for name in names))
        assert [secret["name"] for secret in result["secrets"]] == names
        assert not result["changed"]
        assert secrets.operations().count("BatchGetSecretValue") == 3


class TestRestoring:
    @pytest.fixture
    def deleted(self, secrets: FakeSecrets) -> FakeSecrets:
        secrets.add(HUB, STORED, DeletedDate=NOW)
        return secrets

    def test_a_secret_that_awaits_deletion_is_restored(self, deleted: FakeSecrets) -> None:
        result = run({"name": HUB})
        assert result["actions"] == [f"restore the secret {HUB}, which awaited its deletion"]
        assert result["secrets"][0]["needs_filling"] is False
        assert "DeletedDate" not in deleted.secrets[HUB]
        assert not run({"name": HUB})["changed"]

    def test_a_restored_placeholder_is_still_to_be_filled(self, deleted: FakeSecrets) -> None:
        deleted.add(HUB, PLACEHOLDER, DeletedDate=NOW)
        assert run({"name": HUB}, check_mode=True)["secrets"][0]["needs_filling"] is None
        assert run({"name": HUB})["secrets"][0]["needs_filling"] is True

    def test_its_value_cannot_be_compared_so_a_login_is_stored(self, deleted: FakeSecrets) -> None:
        result = run({"name": HUB, **LOGIN})
        assert len(result["actions"]) == 2
        assert deleted.operations() == ["DescribeSecret", "RestoreSecret", "PutSecretValue"]


class TestAbsent:
    def test_a_secret_can_be_restored_for_a_week(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED)
        result = run({"name": HUB}, {"name": GITHUB}, state="absent")
        assert [(entry["changed"], entry["after"]) for entry in result["secrets"]] == [(True, None), (False, None)]
        assert result["actions"] == [f"delete the secret {HUB} in 7 days"]
        assert ("DeleteSecret", {"SecretId": secrets.secrets[HUB]["ARN"], "RecoveryWindowInDays": 7}) in secrets.calls
        assert not run({"name": HUB}, state="absent")["changed"]

    def test_check_mode_deletes_nothing(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED)
        assert run({"name": HUB}, state="absent", check_mode=True)["changed"]
        assert secrets.operations() == ["DescribeSecret"]

    def test_force_deletes_what_awaits_its_deletion_too(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED, DeletedDate=NOW)
        result = run({"name": HUB}, state="absent", force_delete=True)
        assert result["actions"] == [f"delete the secret {HUB} at once"]
        assert secrets.secrets == {}

    def test_a_customer_managed_key_does_not_keep_it(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED, KmsKeyId="arn:aws:kms:eu-west-1:123456789012:key/1")
        assert run({"name": HUB}, state="absent")["changed"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"name": "docker-hub"}, "'docker-hub', name: must begin with ecr-pullthroughcache/"),
            ({"name": "ecr-pullthroughcache/"}, "name: must begin with ecr-pullthroughcache/"),
            ({"name": "ecr-pullthroughcache/a b"}, "name: must be letters, digits and"),
            ({"name": f"ecr-pullthroughcache/{'x' * 500}"}, "name: must have at most 512 characters, not 521"),
            ({"name": HUB, "username": "docker"}, f"'{HUB}', access_token: is required with username"),
            ({"name": HUB, "access_token": TOKEN}, f"'{HUB}', username: is required with access_token"),
            ({"name": HUB, "username": "docker", "access_token": ""}, "access_token: is empty"),
            ({"name": HUB, "description": "x" * 2049}, "description: must have at most 2048 characters"),
        ],
    )
    def test_a_mistake_is_named_before_any_call(self, secrets: FakeSecrets, given: dict[str, Any], says: str) -> None:
        result = run(given)
        assert result["failed"]
        assert says in result["msg"]
        assert secrets.calls == []

    def test_all_mistakes_are_named_together(self, secrets: FakeSecrets) -> None:
        message = run({"name": "a"}, {"name": "a"}, state="absent", recovery_window=3)["msg"]
        assert message.count("'a', name: must begin with") == 2
        assert "'a', name: is there more than once" in message
        assert "recovery_window: must be 7 to 30 days, not 3" in message

    def test_a_region_without_caches_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeSecrets("us-gov-west-1")
        monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
        assert "no pull-through caches in us-gov-west-1" in run({"name": HUB})["msg"]
        assert fake.calls == []
        assert not run({"name": HUB}, state="absent").get("failed")


class TestTrouble:
    def test_a_customer_managed_key_is_refused_with_the_way_out(self, secrets: FakeSecrets) -> None:
        key = "arn:aws:kms:eu-west-1:123456789012:key/1"
        secrets.add(HUB, STORED, KmsKeyId=key)
        secrets.add(GITHUB, STORED, KmsKeyId="alias/aws/secretsmanager")
        result = run({"name": HUB, **LOGIN}, {"name": GITHUB, **LOGIN})
        error = result["secrets"][0]["error"]
        assert error["code"] == "CustomerManagedKey"
        assert key in error["msg"]
        assert f"--secret-id {HUB} --kms-key-id alias/aws/secretsmanager" in error["msg"]
        assert result["secrets"][1]["changed"] is False
        assert "error" not in result["secrets"][1]

    @pytest.mark.parametrize("value", ["hunter2", "[]", '{"username": "docker"}', '{"username": 1, "accessToken": 2}'])
    def test_a_value_that_is_no_login_is_a_failure_unless_one_is_given(self, secrets: FakeSecrets, value: str) -> None:
        secrets.add(HUB, value)
        error = run({"name": HUB})["secrets"][0]["error"]
        assert error["code"] == "InvalidSecretValue"
        assert "username and accessToken" in error["msg"]
        assert run({"name": HUB, **LOGIN})["changed"]
        assert secrets.value(HUB) == STORED

    def test_a_value_that_may_not_be_read_matters_only_to_compare(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED)
        secrets.add(GITHUB, STORED)
        secrets.unreadable = {HUB: "AccessDeniedException", GITHUB: "AccessDeniedException"}
        result = run({"name": HUB, **LOGIN}, {"name": GITHUB})
        assert "needs secretsmanager:GetSecretValue" in result["secrets"][0]["error"]["msg"]
        assert result["secrets"][1]["needs_filling"] is None
        assert result["secrets"][1]["after"] == state("unknown")

    def test_so_does_the_right_to_read_values_at_all(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, STORED)
        denied = "User: me is not authorized to perform: secretsmanager:BatchGetSecretValue"
        secrets.refuse("BatchGetSecretValue", "AccessDeniedException", denied)
        secrets.refuse("BatchGetSecretValue", "AccessDeniedException", denied)
        assert run({"name": HUB})["secrets"][0]["needs_filling"] is None
        assert "needs secretsmanager:BatchGetSecretValue" in run({"name": HUB, **LOGIN})["msg"]

    def test_another_trouble_with_a_value_is_a_failure_and_nothing_is_stored(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, {"username": "docker", "accessToken": "old"})
        secrets.unreadable = {HUB: "DecryptionFailure"}
        assert run({"name": HUB, **LOGIN})["secrets"][0]["error"]["code"] == "DecryptionFailure"
        assert secrets.operations() == READS

    def test_one_that_fails_does_not_stop_the_others(self, secrets: FakeSecrets) -> None:
        secrets.add(HUB, {"username": "docker", "accessToken": "old"})
        secrets.refuse("PutSecretValue", "LimitExceededException", "too many versions")
        result = run({"name": HUB, **LOGIN}, {"name": GITHUB})
        assert "Failed for 1 of 2 secrets" in result["msg"]
        assert "too many versions" in result["msg"]
        assert result["secrets"][1]["changed"] is True
