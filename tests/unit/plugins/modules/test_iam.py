# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for IAM, and where they are: options in, result out, with IAM and STS in memory."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import (
    ecr_registry_info,
    iam_service_role,
    iam_shared_policy,
)
from ansible_collections.stevedore.ecr.tests.unit.support.fake_aws import FakeIam, FakeSts
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import ACCOUNT
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

POLICY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/pullers"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecr.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:CreateRepository", "ecr:TagResource"], "Resource": "*"}],
}


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> FakeIam:
    fake = FakeIam()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return fake


class TestSharedPolicy:
    GIVEN = {"name": "pullers", "policy": POLICY, "description": "for tests", "tags": {"a": 1}}
    READS = ["GetPolicy", "GetPolicyVersion", "ListEntitiesForPolicy"]

    @pytest.fixture(autouse=True)
    def _account(self, iam: FakeIam, monkeypatch: pytest.MonkeyPatch) -> None:
        clients = {"iam": iam.client, "sts": FakeSts().client}
        monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, service, **_settings: clients[service])
        for name in ("nodes", "tasks", "others"):
            iam.add_role(name)

    def run(self, *policies: dict[str, Any], **options: Any) -> dict[str, Any]:
        return run_module(iam_shared_policy.main, policies=list(policies), **options)

    def test_a_policy_is_created_and_attached_once(self, iam: FakeIam) -> None:
        given = {**self.GIVEN, "roles": ["nodes", f"arn:aws:iam::{ACCOUNT}:role/ecs/tasks", "nodes"]}
        first = self.run(given)
        assert first["policies"][0]["arn"] == POLICY_ARN
        assert first["actions"] == [
            "create the policy pullers",
            "attach the policy pullers to role nodes",
            "attach the policy pullers to role tasks",
        ]
        assert iam.policies[POLICY_ARN]["roles"] == {"nodes", "tasks"}
        iam.calls.clear()
        second = self.run(given)
        assert not second["changed"]
        assert second["policies"][0]["before"] == first["policies"][0]["after"]
        assert iam.operations() == self.READS

    def test_check_mode_promises_what_the_run_does(self, iam: FakeIam) -> None:
        given = {**self.GIVEN, "roles": ["nodes"]}
        promised = self.run(given, check_mode=True, diff=True)
        assert iam.operations() == ["GetPolicy"]
        assert promised == self.run(given, diff=True)

    def test_others_that_have_it_keep_it(self, iam: FakeIam) -> None:
        iam.add_policy("pullers", POLICY, "others")
        assert not self.run(self.GIVEN | {"tags": None, "roles": []})["changed"]
        assert self.run({**self.GIVEN, "roles": ["nodes"]})["policies"][0]["after"]["roles"] == ["nodes", "others"]

    def test_policies_are_compared_by_meaning(self, iam: FakeIam) -> None:
        statement = POLICY["Statement"][0]
        reordered = {**POLICY, "Statement": [{**statement, "Action": list(reversed(statement["Action"]))}]}
        iam.add_policy("pullers", reordered)
        assert not self.run({"name": "pullers", "policy": json.dumps(POLICY)})["changed"]

    def test_what_differs_is_updated_and_the_description_cannot_be(self, iam: FakeIam) -> None:
        self.run(self.GIVEN)
        assert not self.run({**self.GIVEN, "description": "other"})["changed"]
        iam.calls.clear()
        result = self.run({**self.GIVEN, "policy": {**POLICY, "Statement": []}, "tags": {"b": "2"}})
        assert result["actions"] == ["update policy, tags of the policy pullers"]
        assert iam.operations() == [*self.READS, "CreatePolicyVersion", "TagPolicy"]
        assert result["policies"][0]["after"]["tags"] == {"a": "1", "b": "2"}

    def test_the_oldest_version_makes_room(self, iam: FakeIam) -> None:
        for number in range(7):
            statement = {**POLICY["Statement"][0], "Sid": f"Number{number}"}
            assert self.run({**self.GIVEN, "policy": {**POLICY, "Statement": [statement]}})["changed"]
        assert list(iam.policies[POLICY_ARN]["versions"]) == ["v3", "v4", "v5", "v6", "v7"]

    def test_a_policy_is_taken_away_from_everybody_and_goes(self, iam: FakeIam) -> None:
        iam.add_policy("pullers", POLICY, "nodes", users=["somebody"])
        iam.policies[POLICY_ARN]["versions"]["v2"] = {**POLICY, "Statement": []}
        assert self.run({"name": "pullers"}, state="absent", check_mode=True)["changed"]
        assert POLICY_ARN in iam.policies
        result = self.run({"name": "pullers"}, state="absent")
        assert (result["policies"][0]["arn"], iam.policies) == (None, {})
        assert not self.run({"name": "pullers"}, state="absent")["changed"]

    def test_a_role_that_is_not_there_does_not_stop_the_others(self, iam: FakeIam) -> None:
        result = self.run({**self.GIVEN, "roles": ["a-ghost", "nodes"]}, {**self.GIVEN, "name": "second"})
        message = "pullers: The policy is there, but not for a-ghost: Failed to attach the policy: The role with name"
        assert message in result["msg"]
        assert iam.policies[POLICY_ARN]["roles"] == {"nodes"}
        assert result["policies"][1]["changed"] is True

    def test_another_trouble_with_a_new_version_is_told(self, iam: FakeIam) -> None:
        self.run(self.GIVEN)
        iam.refuse("CreatePolicyVersion", "MalformedPolicyDocument", "Syntax errors in policy.")
        assert "Syntax errors in policy" in self.run({**self.GIVEN, "policy": {**POLICY, "Statement": []}})["msg"]

    def test_all_mistakes_are_named_before_any_call(self, iam: FakeIam) -> None:
        message = self.run({"name": "a/b", "roles": ["x/y", f"arn:aws:iam::{ACCOUNT}:user/x"]}, self.GIVEN, self.GIVEN)[
            "msg"
        ]
        assert "'a/b', name: must be 1 to 128 letters" in message
        assert "'a/b', policy: is required" in message
        long = {**POLICY, "Statement": [{**POLICY["Statement"][0], "Resource": ["x" * 100] * 60}]}
        too_long = self.run({**self.GIVEN, "policy": long})["msg"]
        assert "'pullers', policy: has 6302 characters, and IAM allows 6144: make several policies of it" in too_long
        assert "'a/b', roles: neither a name nor an ARN of an IAM role: 'x/y'" in message
        assert ":user/x" in message
        assert "'pullers', name: is there more than once" in message
        assert iam.calls == []


class TestServiceRole:
    ROLE = {"name": "templates", "trust_policy": TRUST, "policy": POLICY, "description": "for tests", "tags": {"a": 1}}
    READS = ["GetRole", "ListAttachedRolePolicies", "GetRolePolicy"]

    def run(self, *roles: dict[str, Any], **options: Any) -> dict[str, Any]:
        return run_module(iam_service_role.main, roles=list(roles), **options)

    def test_a_role_is_created_once(self, iam: FakeIam) -> None:
        first = self.run(self.ROLE)
        assert first["roles"][0]["arn"] == f"arn:aws:iam::{ACCOUNT}:role/templates"
        assert first["actions"] == ["create the role templates"]
        assert iam.roles["templates"]["inline"] == {"templates": POLICY}
        assert iam.roles["templates"]["Tags"] == [{"Key": "a", "Value": "1"}]
        iam.calls.clear()

        second = self.run(self.ROLE)
        assert not second["changed"]
        assert second["roles"][0]["before"] == first["roles"][0]["after"]
        assert iam.operations() == self.READS

    def test_check_mode_promises_what_the_run_does(self, iam: FakeIam) -> None:
        promised = self.run(self.ROLE, check_mode=True, diff=True)
        assert iam.operations() == ["GetRole"]
        done = self.run(self.ROLE, diff=True)
        assert (promised["roles"][0].pop("arn"), bool(done["roles"][0].pop("arn"))) == (None, True)
        assert promised == done

    def test_policies_are_compared_by_meaning(self, iam: FakeIam) -> None:
        self.run(self.ROLE)
        statement = POLICY["Statement"][0]
        reordered = {**POLICY, "Statement": [{**statement, "Action": list(reversed(statement["Action"]))}]}
        assert not self.run({**self.ROLE, "policy": json.dumps(reordered, indent=2)})["changed"]

    @pytest.mark.parametrize(
        ("change", "call"),
        [
            ({"policy": {**POLICY, "Statement": []}}, "PutRolePolicy"),
            ({"trust_policy": {**TRUST, "Statement": []}}, "UpdateAssumeRolePolicy"),
            ({"description": "for more tests"}, "UpdateRole"),
            ({"tags": {"b": "2"}}, "TagRole"),
            ({"permissions_boundary": POLICY_ARN}, "PutRolePermissionsBoundary"),
        ],
    )
    def test_what_differs_is_updated_alone(self, iam: FakeIam, change: dict[str, Any], call: str) -> None:
        self.run(self.ROLE)
        iam.calls.clear()
        result = self.run({**self.ROLE, **change})
        assert result["actions"] == [f"update {next(iter(change))} of the role templates"]
        assert iam.operations() == [*self.READS, call]
        assert not self.run({**self.ROLE, **change})["changed"]

    def test_what_is_not_mentioned_stays(self, iam: FakeIam) -> None:
        self.run(self.ROLE)
        assert not self.run({"name": "templates", "trust_policy": TRUST})["changed"]

    def test_a_boundary_is_set_at_once_and_taken_away(self, iam: FakeIam) -> None:
        assert self.run({**self.ROLE, "permissions_boundary": POLICY_ARN})["changed"]
        assert iam.roles["templates"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == POLICY_ARN
        assert not self.run(self.ROLE)["changed"]
        assert self.run({**self.ROLE, "permissions_boundary": ""})["roles"][0]["after"]["permissions_boundary"] == ""
        assert "PermissionsBoundary" not in iam.roles["templates"]

    def test_a_path_is_kept_and_cannot_be_changed(self, iam: FakeIam) -> None:
        first = self.run({**self.ROLE, "path": "/services/"})
        assert first["roles"][0]["arn"] == f"arn:aws:iam::{ACCOUNT}:role/services/templates"
        assert not self.run({**self.ROLE, "path": "/services/"})["changed"]
        assert not self.run(self.ROLE)["changed"]
        assert "The path is /services/ and cannot be changed" in self.run({**self.ROLE, "path": "/"})["msg"]

    @staticmethod
    def long_policy(resources: int) -> dict[str, Any]:
        arns = [
            f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/application-{number:04}" for number in range(resources)
        ]
        copying = {"Sid": "Copy", "Effect": "Allow", "Action": ["ecr:PutImage"], "Resource": arns}
        return {**POLICY, "Statement": [*POLICY["Statement"], copying]}

    def test_a_long_policy_becomes_managed_policies_that_come_and_go_with_the_role(self, iam: FakeIam) -> None:
        pieces = f"arn:aws:iam::{ACCOUNT}:policy/services/templates-"
        wanted = {**self.ROLE, "path": "/services/", "policy": self.long_policy(400)}
        iam.add_policy("services/templates-of-others", POLICY)
        self.run({**wanted, "policy": POLICY})
        promised = self.run(wanted, check_mode=True)
        done = self.run(wanted)
        assert promised == done
        assert done["actions"] == ["update policy, managed_policies of the role templates"]
        made = [arn for arn in iam.policies if arn.startswith(pieces) and not arn.endswith("others")]
        assert made == [f"{pieces}{number}" for number in range(1, len(made) + 1)]
        assert len(made) > 2
        assert all(iam.policies[arn]["roles"] == {"templates"} for arn in made)
        assert iam.roles["templates"]["inline"] == {}
        assert not self.run(wanted)["changed"]

        assert self.run({**wanted, "policy": self.long_policy(200)})["changed"]
        fewer = [arn for arn in made if arn in iam.policies]
        assert 1 < len(fewer) < len(made)
        assert self.run({**wanted, "policy": POLICY})["changed"]
        assert iam.roles["templates"]["inline"] == {"templates": POLICY}
        assert list(iam.policies) == [f"{pieces}of-others"]

        self.run(wanted)
        assert self.run({"name": "templates"}, state="absent")["changed"]
        assert (iam.roles, list(iam.policies)) == ({}, [f"{pieces}of-others"])

    def test_it_goes_on_where_a_run_was_cut_off(self, iam: FakeIam) -> None:
        wanted = {**self.ROLE, "policy": self.long_policy(200)}
        iam.refuse("AttachRolePolicy", "ServiceFailure", "try again")
        assert "try again" in self.run(wanted)["msg"]
        assert self.run(wanted)["changed"]
        assert not self.run(wanted)["changed"]

    def test_a_role_goes_with_all_its_policies(self, iam: FakeIam) -> None:
        iam.add_role("templates", TRUST, templates=POLICY, theirs=POLICY)
        iam.add_policy("pullers", POLICY, "templates")
        assert self.run({"name": "templates"}, state="absent", check_mode=True)["changed"]
        assert "templates" in iam.roles
        assert self.run({"name": "templates"}, state="absent")["roles"][0]["after"] is None
        assert (iam.roles, iam.policies[POLICY_ARN]["roles"]) == ({}, set())
        assert not self.run({"name": "templates"}, state="absent")["changed"]

    def test_all_mistakes_are_named_before_any_call(self, iam: FakeIam) -> None:
        message = self.run({"name": "a"}, {"name": "a", "trust_policy": "[]", "policy": "{not json"})["msg"]
        assert "'a', trust_policy: is required" in message
        assert "'a', name: is there more than once" in message
        assert "'a', trust_policy: it must be an object" in message
        assert "'a', policy: it is not JSON" in message
        assert iam.calls == []

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": "a" * 65}, "name: must be 1 to 64 letters"),
            ({"path": "services"}, "path: must begin and end with a slash, as in /services/, not 'services'"),
            (
                {"permissions_boundary": "limits"},
                "permissions_boundary: must be the ARN of an IAM policy, not 'limits'",
            ),
            ({"policy": long_policy(3000)}, "managed policies, where a role can have 10"),
            (
                {"policy": {"Statement": [{"Resource": "x" * 11000}]}},
                "policy: a statement is too long by itself, and has no list of resources to take apart",
            ),
        ],
    )
    def test_what_iam_would_refuse_is_refused_before(self, iam: FakeIam, change: dict[str, Any], says: str) -> None:
        assert says in self.run({**self.ROLE, **change})["msg"]
        assert iam.calls == []

    def test_a_missing_permission_is_named(self, iam: FakeIam) -> None:
        iam.refuse("CreateRole", "AccessDenied", "User: me is not authorized to perform: iam:CreateRole on resource: x")
        assert "templates: Failed to create the role (needs iam:CreateRole)" in self.run(self.ROLE)["msg"]


class TestRegistryInfo:
    @pytest.mark.parametrize(("partition", "region"), [("aws", "eu-west-1"), ("aws-cn", "cn-north-1")])
    def test_it_says_where_we_are(self, monkeypatch: pytest.MonkeyPatch, partition: str, region: str) -> None:
        sts = FakeSts(region, partition)
        ecr = boto3.client("ecr", region_name=region, aws_access_key_id="id", aws_secret_access_key="key")
        clients = {"sts": sts.client, "ecr": ecr}
        monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, service, **_settings: clients[service])
        assert run_module(ecr_registry_info.main)["registry"] == {
            "registry_id": ACCOUNT,
            "region": region,
            "partition": partition,
            "repository_arn": f"arn:{partition}:ecr:{region}:{ACCOUNT}:repository",
        }
        assert sts.operations() == ["GetCallerIdentity"]
