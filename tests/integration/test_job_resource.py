"""The resources of scheduled jobs on the loopback cloud: made, left alone, changed and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult

Run = Callable[..., ModuleResult]
ACCOUNT = "123456789012"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": ["codebuild.amazonaws.com", "scheduler.amazonaws.com"]},
        }
    ],
}


@pytest.fixture
def role(cloud: Cloud) -> str:
    iam = cloud.client("iam")
    return str(iam.create_role(RoleName="job", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"])


def project(role: str, **more: Any) -> dict[str, Any]:
    definition = {
        "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": [
                {"name": "ONE", "value": "1", "type": "PLAINTEXT"},
                {"name": "TWO", "value": "2", "type": "PLAINTEXT"},
            ],
        },
        "serviceRole": role,
        "timeoutInMinutes": 60,
        "concurrentBuildLimit": 1,
        "vpcConfig": None,
        **more,
    }
    return {"kind": "codebuild_project", "name": "clone", "definition": definition, "tags": {"team": "a"}}


def schedule(role: str, **more: Any) -> dict[str, Any]:
    definition = {
        "ScheduleExpression": "cron(0 9 ? * * *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": {
            "Arn": f"arn:aws:codebuild:eu-west-1:{ACCOUNT}:project/clone",
            "RoleArn": role,
            "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
        },
        **more,
    }
    return {"kind": "schedule", "name": "clone", "definition": definition}


def parameter(secret: str = "hunter2-secret") -> dict[str, Any]:
    return {
        "kind": "ssm_parameter",
        "name": "/clone/token",
        "definition": {"Type": "SecureString", "Description": "for builds"},
        "secret": secret,
        "tags": {"team": "a"},
    }


def topic() -> dict[str, Any]:
    return {"kind": "sns_topic", "name": "clone", "definition": {"Attributes": {"DisplayName": "Clone"}}}


def kinds(role: str, region: str) -> list[dict[str, Any]]:
    subscription = {
        "kind": "sns_subscription",
        "name": "ops@example.com",
        "definition": {"TopicArn": f"arn:aws:sns:{region}:{ACCOUNT}:clone", "Protocol": "email"},
    }
    return [project(role), schedule(role), parameter(), topic(), subscription]


def absent(resource: dict[str, Any]) -> dict[str, Any]:
    return {**resource, "state": "absent"}


def test_what_is_made_is_left_alone_and_goes_again(cloud: Cloud, module: Run, role: str) -> None:
    resources = kinds(role, cloud.region)
    everything = {"resources": resources}
    foreseen = module("job_resource", everything, check=True)
    made = module("job_resource", everything)
    again = module("job_resource", everything, check=True)
    gone = module("job_resource", {"resources": [absent(one) for one in reversed(resources)]})
    once_more = module("job_resource", {"resources": [absent(one) for one in reversed(resources)]})

    assert foreseen["actions"] == made["actions"], "check mode says what is then done"
    assert len(made["actions"]) == 5
    assert all(one["arn"] is None for one in foreseen["resources"])
    assert all(one["arn"] for one in made["resources"])
    assert again["actions"] == []
    assert again["changed"] is False
    assert len(gone["actions"]) == 5
    assert once_more["changed"] is False


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({"timeoutInMinutes": 30}, "update timeoutInMinutes of the CodeBuild project clone"),
        ({"concurrentBuildLimit": None}, "update concurrentBuildLimit of the CodeBuild project clone"),
        (
            {"source": {"type": "NO_SOURCE", "buildspec": "version: 0.2 "}},
            "update source of the CodeBuild project clone",
        ),
    ],
)
def test_a_change_is_made_once(module: Run, role: str, change: dict[str, Any], action: str) -> None:
    module("job_resource", {"resources": [project(role)]})
    changed = module("job_resource", {"resources": [project(role, **change)]})
    again = module("job_resource", {"resources": [project(role, **change)]})
    assert changed["actions"] == [action]
    assert again["actions"] == []


def test_a_schedule_keeps_what_is_not_mentioned(cloud: Cloud, module: Run, role: str) -> None:
    module("job_resource", {"resources": [schedule(role, Description="by hand")]})
    changed = module("job_resource", {"resources": [schedule(role, State="DISABLED")]})
    now = cloud.client("scheduler").get_schedule(Name="clone")
    assert changed["actions"] == ["update State of the schedule clone"]
    assert (now["State"], now["Description"]) == ("DISABLED", "by hand")


def test_the_order_of_named_members_means_nothing(module: Run, role: str) -> None:
    module("job_resource", {"resources": [project(role)]})
    turned = project(role)
    turned["definition"]["environment"]["environmentVariables"].reverse()
    assert module("job_resource", {"resources": [turned]})["changed"] is False


def test_a_secret_is_changed_and_never_shown(cloud: Cloud, module: Run) -> None:
    module("job_resource", {"resources": [parameter()]})
    changed = module("job_resource", {"resources": [parameter("swordfish-secret")]}, diff=True)
    stored = cloud.client("ssm").get_parameter(Name="/clone/token", WithDecryption=True)["Parameter"]
    assert changed["actions"] == ["update Value of the SSM parameter /clone/token"]
    assert "secret" not in json.dumps(changed["resources"]).replace("(secret)", "").replace("(another secret)", "")
    assert "hunter2" not in json.dumps(changed.returned)
    assert "swordfish" not in json.dumps(changed.returned)
    assert (stored["Value"], stored["Type"]) == ("swordfish-secret", "SecureString")


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (
            {"kind": "schedule", "name": "x", "definition": {"Scheduleexpression": "rate(1 day)"}},
            "the schedule x: definition.Scheduleexpression: unknown, did you mean ScheduleExpression?",
        ),
        ({"kind": "codebuild_project", "name": "x", "definition": {}}, 'Missing required parameter in input: "source"'),
        ({"kind": "schedule", "name": "x", "tags": {"a": "b"}}, "the schedule x: tags: it can have none"),
    ],
)
def test_a_wrong_definition_is_refused_before_any_call(module: Run, resource: dict[str, Any], said: str) -> None:
    result = module("job_resource", {"resources": [resource]})
    assert result.failed
    assert said in result["msg"]
    assert "resources" not in result.returned


def test_one_that_fails_does_not_stop_the_others(module: Run, role: str) -> None:
    wrong = project(role)
    wrong["definition"]["environment"]["computeType"] = "NOPE"
    result = module("job_resource", {"resources": [wrong, parameter()]})
    assert result.failed
    assert "the CodeBuild project clone: Failed to create the CodeBuild project clone" in result["msg"]
    assert [one["changed"] for one in result["resources"]] == [False, True]
