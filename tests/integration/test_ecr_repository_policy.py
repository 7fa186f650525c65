"""The module ecr_repository_policy against the loopback cloud: behaviour, bad input and permissions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

ACTIONS = ["ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy"]
PULL = {
    "Sid": "PullByTheOther",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
    "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
}
THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "ecr:DeleteRepository"}


@pytest.fixture(autouse=True)
def repositories(cloud: Cloud) -> None:
    for name in ("team/a", "team/b"):
        cloud.client("ecr").create_repository(repositoryName=name)


def write(cloud: Cloud, repository: str, *statements: dict[str, Any]) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    cloud.client("ecr").set_repository_policy(repositoryName=repository, policyText=text)


def stored(cloud: Cloud, repository: str = "team/a") -> dict[str, Any] | None:
    """The statements by their Sid."""
    ecr = cloud.client("ecr")
    try:
        policy = json.loads(ecr.get_repository_policy(repositoryName=repository)["policyText"])
    except ecr.exceptions.RepositoryPolicyNotFoundException:
        return None
    return {one["Sid"]: one for one in policy["Statement"]}


def having(*statements: dict[str, Any], name: str = "team/a") -> dict[str, Any]:
    return {"repositories": [{"name": name, "statements": list(statements)}]}


def lacking(*sids: str, name: str = "team/a") -> dict[str, Any]:
    return {"repositories": [{"name": name, "absent_sids": list(sids)}]}


def operator(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])


def test_what_others_have_written_stays(cloud: Cloud, module: Module) -> None:
    write(cloud, "team/a", THEIRS)
    assert module("ecr_repository_policy", having(PULL))["changed"]
    assert set(stored(cloud) or {}) == {"Theirs", "PullByTheOther"}
    assert not module("ecr_repository_policy", having(PULL))["changed"]
    assert module("ecr_repository_policy", lacking("PullByTheOther"))["changed"]
    assert set(stored(cloud) or {}) == {"Theirs"}
    assert not module("ecr_repository_policy", lacking("PullByTheOther"))["changed"]


def test_with_the_last_statement_the_policy_goes(cloud: Cloud, module: Module) -> None:
    module("ecr_repository_policy", having(PULL))
    gone = module("ecr_repository_policy", lacking("PullByTheOther"))
    assert gone["repositories"][0]["after"] is None
    assert stored(cloud) is None


@pytest.mark.parametrize(
    "same",
    [
        {**PULL, "Principal": {"AWS": ["210987654321"]}},
        {**PULL, "Action": PULL["Action"][::-1]},
    ],
)
def test_compares_meaning_not_text(cloud: Cloud, module: Module, same: dict[str, Any]) -> None:
    write(cloud, "team/a", same)
    assert not module("ecr_repository_policy", having(PULL))["changed"]


def test_a_statement_that_differs_is_replaced(cloud: Cloud, module: Module) -> None:
    write(cloud, "team/a", {**PULL, "Action": "ecr:*"}, THEIRS)
    assert module("ecr_repository_policy", having(PULL), diff=True)["diff"]
    assert (stored(cloud) or {})["PullByTheOther"]["Action"] == PULL["Action"]


def test_check_mode_promises_what_the_run_then_does(cloud: Cloud, module: Module) -> None:
    foreseen = module("ecr_repository_policy", having(PULL), check=True, diff=True)
    assert stored(cloud) is None
    done = module("ecr_repository_policy", having(PULL), diff=True)
    assert foreseen["changed"]
    for key in ("actions", "repositories", "diff"):
        assert foreseen[key] == done[key]


def test_one_that_fails_does_not_stop_the_others(cloud: Cloud, module: Module) -> None:
    named = [{"name": name, "statements": [PULL]} for name in ("team/a", "team/gone", "team/b")]
    result = module("ecr_repository_policy", {"repositories": named})
    assert result.failed
    assert "team/gone" in result.msg
    assert result["repositories"][1]["error"]["code"] == "RepositoryNotFoundException"
    assert stored(cloud) == stored(cloud, "team/b") == {"PullByTheOther": PULL}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (having({"Effect": "Allow"}), "team/a: each statement needs a Sid"),
        ({"repositories": [{"name": "team/a"}, {"name": "team/a"}]}, "team/a is there more than once"),
        ({}, "missing required arguments: repositories"),
    ],
)
def test_bad_input_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: str
) -> None:
    cloud.forget_calls()
    result = module("ecr_repository_policy", arguments)
    assert result.failed
    assert says in result.msg
    assert cloud.operations() == []


def test_a_policy_that_is_refused_is_said_as_aws_says_it(module: Module) -> None:
    result = module("ecr_repository_policy", having({**PULL, "Effect": "Perhaps"}))
    assert result.failed
    assert "InvalidParameterException" in result.msg


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    write(cloud, "team/b", PULL)
    role = operator(cloud, [one for one in ACTIONS if one != missing])
    results = [
        module("ecr_repository_policy", having(PULL), credentials=role),
        module("ecr_repository_policy", lacking("PullByTheOther", name="team/b"), credentials=role),
    ]
    failures = [result.msg for result in results if result.failed]
    assert failures
    assert all(missing in message for message in failures)


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    role = operator(cloud, ACTIONS)
    assert not module("ecr_repository_policy", having(PULL), credentials=role).failed
    assert not module("ecr_repository_policy", lacking("PullByTheOther"), credentials=role).failed
    assert stored(cloud) is None


def test_no_warnings_and_no_changes_on_the_second_run(playbook: Callable[..., PlaybookRun]) -> None:
    task = local_play({"stevedore.ecr.ecr_repository_policy": having(PULL)})
    assert playbook(task).recap["changed"] == 1
    again = playbook(task)
    assert again.recap["changed"] == 0
    assert "[WARNING]" not in again.output
