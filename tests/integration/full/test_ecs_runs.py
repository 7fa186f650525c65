"""ECS tasks that really run: pulled with the execution role, acting in the task role."""

from __future__ import annotations

import sys

import pytest
from builds import until
from ecr_api import allow
from fargate_api import LOGGING, PULLING, Tasks, command, push_host_image

from loopback.client import FullCloud

WHO = 'python3 -c \'import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])\''


@pytest.fixture
def tasks(full: FullCloud) -> Tasks:
    full.knobs(host_image__venv=sys.prefix)
    return Tasks(full, push_host_image(full))


def test_a_task_acts_in_its_role_and_tells_its_exit_code(tasks: Tasks) -> None:
    tasks.make(allow("ecr:CreateRepository", on="arn:aws:ecr:*:*:repository/ours/*"))
    create = "aws ecr create-repository --query repository.repositoryName --output text --repository-name"
    task = tasks.run(overrides=command(f"{WHO}; {create} ours/app; {create} other/app; exit 7"))
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (7, "EssentialContainerExited")
    said = tasks.log(task)
    assert said[0].startswith(f"arn:aws:sts::{tasks.cloud.account}:assumed-role/task/")
    assert said[1] == "ours/app"
    assert "not authorized to perform: ecr:CreateRepository" in "\n".join(said)
    assert task["containers"][0]["imageDigest"].startswith("sha256:")


@pytest.mark.parametrize("missing", PULLING)
def test_each_permission_to_pull_is_needed(tasks: Tasks, missing: str) -> None:
    tasks.make(allow("ecr:*"))
    tasks.execution_role(missing)
    task = tasks.run(overrides=command("echo never"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert missing in task["stoppedReason"]
    assert tasks.log(task) == []


def test_secrets_are_read_with_the_execution_role(tasks: Tasks) -> None:
    cloud = tasks.cloud
    arn = cloud.client("secretsmanager").create_secret(Name="hub", SecretString='{"accessToken": "value"}')["ARN"]
    cloud.client("ssm").put_parameter(Name="/sync/token", Value="other", Type="SecureString")
    secrets = [
        {"name": "TOKEN", "valueFrom": f"{arn}:accessToken::"},
        {"name": "OTHER", "valueFrom": f"arn:aws:ssm:{cloud.region}:{cloud.account}:parameter/sync/token"},
    ]
    tasks.make(allow("ecr:*"), container={"secrets": secrets})
    task = tasks.run(overrides=command("echo $TOKEN $OTHER"))
    assert "secretsmanager:GetSecretValue" in task["stoppedReason"]
    reading = (allow("secretsmanager:GetSecretValue", on=arn), allow("ssm:GetParameters"))
    tasks.execution_role(also=reading)
    assert tasks.log(tasks.run(overrides=command("echo $TOKEN $OTHER"))) == ["value other"]


def test_the_environment_is_the_definitions_and_the_overrides(tasks: Tasks) -> None:
    environment = [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]
    container = {"entryPoint": ["/bin/sh", "-c"], "command": ['echo "$A $B $AWS_REGION"'], "environment": environment}
    tasks.make(allow("ecr:*"), container=container)
    overrides = {"containerOverrides": [{"name": "runner", "environment": [{"name": "B", "value": "2 3"}]}]}
    assert tasks.log(tasks.run(overrides=overrides)) == [f"1 2 3 {tasks.cloud.region}"]


def test_the_root_file_system_may_be_read_only(tasks: Tasks) -> None:
    mounts = [{"sourceVolume": "scratch", "containerPath": "/scratch"}]
    container = {"readonlyRootFilesystem": True, "user": "65534", "mountPoints": mounts}
    tasks.make(allow("ecr:*"), container=container, volumes=[{"name": "scratch"}])
    task = tasks.run(overrides=command("id -u; touch /file 2>/dev/null || echo refused; ls -d /scratch"))
    assert tasks.log(task) == ["65534", "refused", "/scratch"]


def test_a_stopped_task_is_told_to_end(tasks: Tasks) -> None:
    tasks.make(allow("ecr:*"), container={"stopTimeout": 5})
    arn = tasks.start(overrides=command("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"))
    until(lambda: tasks.log(tasks.describe(arn)) == ["up"])
    tasks.ecs.stop_task(cluster="ours", task=arn, reason="enough")
    task = tasks.follow(arn)
    assert (task["containers"][0]["exitCode"], task["stoppedReason"]) == (3, "enough")
    assert tasks.log(task) == ["up", "bye"]


def test_an_image_that_is_not_there_stops_the_task(tasks: Tasks) -> None:
    tasks.image = tasks.image.replace(":1", ":2")
    task = tasks.make(allow("ecr:*")).run()
    assert "CannotPullContainerError" in task["stoppedReason"]


def test_logs_need_the_execution_role(tasks: Tasks) -> None:
    tasks.make(allow("ecr:*"))
    tasks.execution_role(LOGGING[0])
    assert LOGGING[0] in tasks.run(overrides=command("echo never"))["stoppedReason"]
