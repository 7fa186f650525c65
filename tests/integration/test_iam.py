"""The modules iam_service_role, iam_shared_policy and ecr_registry_info against the loopback cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]

ROLE, SHARED = "iam_service_role", "iam_shared_policy"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecr.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:CreateRepository", "ecr:TagResource"], "Resource": "*"}],
}
TEMPLATES = {"name": "templates", "trust_policy": TRUST, "policy": POLICY, "description": "x", "tags": {"a": "b"}}
ROLE_ACTIONS = [
    f"iam:{action}"
    for action in (
        *("GetRole", "GetRolePolicy", "CreateRole", "UpdateAssumeRolePolicy", "UpdateRole", "PutRolePolicy", "TagRole"),
        *("ListRolePolicies", "ListAttachedRolePolicies", "DeleteRolePolicy", "DetachRolePolicy", "DeleteRole"),
        *("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
    )
]
SHARED_ACTIONS = [
    f"iam:{action}"
    for action in (
        *("GetPolicy", "GetPolicyVersion", "ListEntitiesForPolicy", "CreatePolicy", "CreatePolicyVersion", "TagPolicy"),
        *("ListPolicyVersions", "DeletePolicyVersion", "AttachRolePolicy", "DetachRolePolicy", "DetachUserPolicy"),
        *("DetachGroupPolicy", "DeletePolicy"),
    )
]


def make_policy(cloud: Cloud, name: str = "pullers") -> str:
    made = cloud.client("iam").create_policy(PolicyName=name, PolicyDocument=json.dumps(POLICY))
    return str(made["Policy"]["Arn"])


def attached(cloud: Cloud, role: str) -> list[str]:
    found = cloud.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [policy["PolicyArn"] for policy in found]


def operator(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])


# ------------------------------------------------------------------ roles


def change_and_remove(cloud: Cloud, module: Module, credentials: dict[str, str]) -> list[ModuleResult]:
    """Everything that the module can do to a role, one after the other."""
    moved = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Sid": "Ecr"}]}  # type: ignore[dict-item]
    limits = {"permissions_boundary": make_policy(cloud, "limits")}
    changes: list[dict[str, Any]] = [{}, {"description": "y"}, {"trust_policy": moved}, {"tags": {"c": "d"}}, limits]
    changes.append({"permissions_boundary": ""})
    results = [module(ROLE, {"roles": [{**TEMPLATES, **change}]}, credentials=credentials) for change in changes]
    cloud.client("iam").attach_role_policy(RoleName="templates", PolicyArn=make_policy(cloud))
    return [*results, module(ROLE, {"roles": [{"name": "templates"}], "state": "absent"}, credentials=credentials)]


def test_a_role_is_made_once_and_goes_again(cloud: Cloud, module: Module) -> None:
    first = module(ROLE, {"roles": [TEMPLATES]}, check=True)
    done = module(ROLE, {"roles": [TEMPLATES]})
    assert not done.failed, done.msg
    assert first["actions"] == done["actions"] == ["create the role templates"]
    assert done["roles"][0]["arn"] == f"arn:aws:iam::{cloud.account}:role/templates"
    assert not module(ROLE, {"roles": [TEMPLATES]}).changed
    assert module(ROLE, {"roles": [{"name": "templates"}], "state": "absent"}).changed
    assert not module(ROLE, {"roles": [{"name": "templates"}], "state": "absent"}).changed


def test_documented_permissions_suffice_for_roles(cloud: Cloud, module: Module) -> None:
    results = change_and_remove(cloud, module, operator(cloud, ROLE_ACTIONS))
    assert [result.msg for result in results if result.failed] == []
    assert all(result.changed for result in results)


@pytest.mark.parametrize("missing", ["iam:GetRole", "iam:CreateRole", "iam:PutRolePolicy"])
def test_permissions_to_make_roles_are_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    credentials = operator(cloud, [action for action in ROLE_ACTIONS if action != missing])
    assert f"needs {missing}" in module(ROLE, {"roles": [TEMPLATES]}, credentials=credentials).msg


@pytest.mark.parametrize("missing", [a for a in ROLE_ACTIONS if a not in ("iam:CreateRole", "iam:PutRolePolicy")])
def test_permissions_to_change_roles_are_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    module(ROLE, {"roles": [{**TEMPLATES, "description": "old", "tags": {}}]})
    credentials = operator(cloud, [action for action in ROLE_ACTIONS if action != missing])
    failures = [result.msg for result in change_and_remove(cloud, module, credentials) if result.failed]
    assert any(f"needs {missing}" in message for message in failures)


def test_a_policy_of_any_length_is_a_roles_own(cloud: Cloud, module: Module) -> None:
    """What it allows works, it is taken apart and put together again, and it goes with the role."""
    base = f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/team"
    copying = {"Sid": "Copy", "Effect": "Allow", "Action": "ecr:ListImages"}

    def run(count: int) -> ModuleResult:
        resources = [f"{base}/application-with-a-long-name-{number:04}" for number in range(count)]
        policy = {**POLICY, "Statement": [*POLICY["Statement"], {**copying, "Resource": resources}]}
        trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"AWS": cloud.account}}]}  # type: ignore[dict-item]
        role = {"name": "copier", "trust_policy": trust, "policy": policy, "path": "/jobs/"}
        done = module(ROLE, {"roles": [role]}, credentials=operator(cloud, [*ROLE_ACTIONS, *SHARED_ACTIONS]))
        assert not done.failed, done.msg
        return done

    arn = run(400)["roles"][0]["arn"]
    assert arn == f"arn:aws:iam::{cloud.account}:role/jobs/copier"
    assert len(attached(cloud, "copier")) > 4
    assert not run(400).changed
    for number in (0, 399):  # in the first of the policies, and in the last
        cloud.client("ecr").create_repository(repositoryName=f"team/application-with-a-long-name-{number:04}")
        credentials = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        ecr = cloud.client("ecr", credentials=credentials)
        assert ecr.list_images(repositoryName=f"team/application-with-a-long-name-{number:04}")["imageIds"] == []
    run(200)
    assert 1 < len(attached(cloud, "copier")) <= 4
    run(5)
    assert attached(cloud, "copier") == []
    run(400)
    assert module(ROLE, {"roles": [{"name": "copier"}], "state": "absent"}).changed
    assert cloud.client("iam").list_policies(Scope="Local")["Policies"] == []


# ------------------------------------------------------------------ policies


def said(cloud: Cloud, arn: str) -> Any:
    iam = cloud.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def test_a_policy_is_made_and_attached_once_changes_and_goes(cloud: Cloud, module: Module) -> None:
    for name in ("nodes", "tasks"):
        module(ROLE, {"roles": [{**TEMPLATES, "name": name}]})
    theirs = make_policy(cloud, "theirs")
    cloud.client("iam").attach_role_policy(RoleName="nodes", PolicyArn=theirs)
    given = {"name": "pullers", "policy": POLICY, "roles": ["nodes"], "tags": {"a": "b"}}
    promised = module(SHARED, {"policies": [given]}, check=True)
    done = module(SHARED, {"policies": [given]})
    assert not done.failed, done.msg
    assert promised["policies"] == done["policies"]
    arn = done["policies"][0]["arn"]
    assert set(attached(cloud, "nodes")) == {theirs, arn}
    assert not module(SHARED, {"policies": [given]}).changed

    for number in range(6):  # IAM keeps five versions
        statement = {**POLICY["Statement"][0], "Sid": f"Number{number}"}  # type: ignore[dict-item]
        changed = {**given, "policy": {**POLICY, "Statement": [statement]}, "roles": ["tasks"]}
        assert module(SHARED, {"policies": [changed]}).changed
        assert said(cloud, arn)["Statement"] == [statement]
    assert attached(cloud, "tasks") == [arn]
    assert module(SHARED, {"policies": [{"name": "pullers"}], "state": "absent"}).changed
    assert (attached(cloud, "nodes"), attached(cloud, "tasks")) == ([theirs], [])
    assert not module(SHARED, {"policies": [{"name": "pullers"}], "state": "absent"}).changed


def test_a_role_of_another_account_is_not_taken_for_one_of_this(cloud: Cloud, module: Module) -> None:
    module(ROLE, {"roles": [{**TEMPLATES, "name": "nodes"}]})
    given = {"name": "pullers", "policy": POLICY, "roles": ["arn:aws:iam::210987654321:role/nodes"]}
    refused = module(SHARED, {"policies": [given]})
    assert refused.msg == (
        "Not valid: 'pullers', roles: arn:aws:iam::210987654321:role/nodes is not in this account, 123456789012"
    )
    assert attached(cloud, "nodes") == []


def live_through(cloud: Cloud, module: Module, credentials: dict[str, str]) -> list[ModuleResult]:
    """Everything that the module can do to a policy, one after the other."""
    given: dict[str, Any] = {"name": "pullers", "policy": POLICY, "roles": ["nodes"], "tags": {"a": "b"}}
    steps = [given]
    for number in range(5):
        statement = {**POLICY["Statement"][0], "Sid": f"Number{number}"}  # type: ignore[dict-item]
        steps.append({**given, "policy": {**POLICY, "Statement": [statement]}, "tags": {"a": str(number)}})
    results = [module(SHARED, {"policies": [step]}, credentials=credentials) for step in steps]
    return [*results, module(SHARED, {"policies": [{"name": "pullers"}], "state": "absent"}, credentials=credentials)]


def test_documented_permissions_suffice_for_policies(cloud: Cloud, module: Module) -> None:
    module(ROLE, {"roles": [{**TEMPLATES, "name": "nodes"}]})
    results = live_through(cloud, module, operator(cloud, SHARED_ACTIONS))
    assert [result.msg for result in results if result.failed] == []


@pytest.mark.parametrize("missing", [a for a in SHARED_ACTIONS if not a.endswith(("UserPolicy", "GroupPolicy"))])
def test_each_permission_for_policies_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    module(ROLE, {"roles": [{**TEMPLATES, "name": "nodes"}]})
    if missing != "iam:CreatePolicy":
        cloud.client("iam").create_policy(PolicyName="pullers", PolicyDocument=json.dumps(POLICY))
    credentials = operator(cloud, [action for action in SHARED_ACTIONS if action != missing])
    failures = [result.msg for result in live_through(cloud, module, credentials) if result.failed]
    assert any(f"needs {missing}" in message for message in failures)


# ------------------------------------------------------------------ where we are


def test_it_says_where_we_are_to_everybody(cloud: Cloud, module: Module) -> None:
    nobody = cloud.role("nobody", [{"Effect": "Deny", "Action": "ecr:*", "Resource": "*"}])
    registry = module("ecr_registry_info", {"region": "us-east-1"}, credentials=nobody)["registry"]
    assert registry == {
        "registry_id": cloud.account,
        "region": "us-east-1",
        "partition": "aws",
        "repository_arn": f"arn:aws:ecr:us-east-1:{cloud.account}:repository",
    }
