"""ECS's control plane, and tasks whose end a knob decides: no container runs in light mode."""

from __future__ import annotations

from typing import Any

import pytest
from builds import service_role, until
from ecr_api import allow, policy, refused
from fargate_api import TASKS, Tasks

from loopback.client import Cloud


@pytest.fixture
def tasks(cloud: Cloud) -> Tasks:
    cloud.knobs(tasks__light=0)
    return Tasks(cloud).make(allow("ecr:*"))


def test_clusters_come_and_go(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    tags = [{"key": "a", "value": "1"}]
    made = ecs.create_cluster(clusterName="ours", tags=tags)["cluster"]
    assert ecs.create_cluster(clusterName="ours")["cluster"]["clusterArn"] == made["clusterArn"]
    answer = ecs.describe_clusters(clusters=["ours", made["clusterArn"], "absent"], include=["TAGS"])
    assert [(one["status"], one["tags"]) for one in answer["clusters"]] == [("ACTIVE", tags)] * 2
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]
    ecs.untag_resource(resourceArn=made["clusterArn"], tagKeys=["a"])
    assert ecs.list_tags_for_resource(resourceArn=made["clusterArn"])["tags"] == []
    ecs.delete_cluster(cluster="ours")
    assert ecs.list_clusters()["clusterArns"] == []
    with refused("ClusterNotFoundException"):
        ecs.delete_cluster(cluster="ours")


def test_task_definitions_have_revisions(cloud: Cloud, tasks: Tasks) -> None:
    ecs = tasks.ecs
    second = ecs.register_task_definition(**tasks.definition({"name": "runner", "image": "busybox:2"}))[
        "taskDefinition"
    ]
    assert second["revision"] == 2
    assert ecs.describe_task_definition(taskDefinition="sync")["taskDefinition"]["revision"] == 2
    assert ecs.describe_task_definition(taskDefinition="sync:1")["taskDefinition"]["revision"] == 1
    assert len(ecs.list_task_definitions(familyPrefix="sync")["taskDefinitionArns"]) == 2
    ecs.deregister_task_definition(taskDefinition="sync:2")
    assert ecs.describe_task_definition(taskDefinition="sync")["taskDefinition"]["revision"] == 1
    assert ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"] == [second["taskDefinitionArn"]]
    deleted = ecs.delete_task_definitions(taskDefinitions=["sync:1", "sync:2"])
    assert [one["revision"] for one in deleted["taskDefinitions"]] == [2]
    assert len(deleted["failures"]) == 1
    with refused("ClientException"):
        ecs.describe_task_definition(taskDefinition="absent")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cpu": "256", "memory": "4096"}, "No Fargate configuration"),
        ({"cpu": "300", "memory": "512"}, "No Fargate configuration"),
        ({"networkMode": "bridge"}, "awsvpc"),
        ({"executionRoleArn": ""}, "execution role"),
        ({"ephemeralStorage": {"sizeInGiB": 20}}, "Ephemeral"),
        ({"taskRoleArn": "arn:aws:iam::123456789012:role/absent"}, "Role is not valid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_fargate_refuses(cloud: Cloud, tasks: Tasks, change: dict[str, Any], says: str) -> None:
    image = f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com/runner:1"
    with refused("ClientException", says):
        tasks.ecs.register_task_definition(**{**tasks.definition({"name": "runner", "image": image}), **change})


def test_sizes_may_be_written_in_words(cloud: Cloud, tasks: Tasks) -> None:
    given = {**tasks.definition({"name": "runner", "image": "busybox:1"}), "cpu": "1 vCPU", "memory": "2 GB"}
    assert tasks.ecs.register_task_definition(**given)["taskDefinition"]["memory"] == "2 GB"


# ------------------------------------------------------------------ tasks


def test_a_task_ends_as_the_knob_says(cloud: Cloud, tasks: Tasks) -> None:
    task = tasks.run(startedBy="test")
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (0, "EssentialContainerExited")
    assert task["stoppedReason"] == "Essential container in task exited"
    cloud.knobs(tasks__light=7)
    assert tasks.run()["containers"][0]["exitCode"] == 7
    assert tasks.ecs.list_tasks(cluster="ours")["taskArns"] == []
    assert len(tasks.ecs.list_tasks(cluster="ours", desiredStatus="STOPPED")["taskArns"]) == 2
    assert len(tasks.ecs.list_tasks(cluster="ours", desiredStatus="STOPPED", startedBy="test")["taskArns"]) == 1


def test_a_running_task_is_stopped(cloud: Cloud, tasks: Tasks) -> None:
    cloud.knobs(tasks__light="RUNNING")
    arn = tasks.start()
    until(lambda: tasks.describe(arn)["lastStatus"] == "RUNNING")
    with refused("ClusterContainsTasksException"):
        tasks.ecs.delete_cluster(cluster="ours")
    tasks.ecs.stop_task(cluster="ours", task=arn, reason="enough")
    task = tasks.follow(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")


def test_without_the_knob_a_task_says_why_it_cannot_run(cloud: Cloud) -> None:
    task = Tasks(cloud).make(allow("ecr:*")).run()
    assert task["stopCode"] == "TaskFailedToStart"
    assert "FullCloud" in task["stoppedReason"]
    assert "exitCode" not in task["containers"][0]


@pytest.mark.parametrize(
    ("request_change", "code"),
    [
        ({"cluster": "absent"}, "ClusterNotFoundException"),
        ({"taskDefinition": "absent"}, "ClientException"),
        ({"networkConfiguration": {}}, "InvalidParameterException"),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-absent"]}}},
            "InvalidParameterException",
        ),
        ({"overrides": {"containerOverrides": [{"name": "other"}]}}, "InvalidParameterException"),
        ({"count": 11}, "InvalidParameterException"),
    ],
    ids=["cluster", "definition", "network", "subnet", "override", "count"],
)
def test_what_run_task_refuses(tasks: Tasks, request_change: dict[str, Any], code: str) -> None:
    with refused(code):
        tasks.start(**request_change)


def test_who_runs_a_task_must_be_allowed_to_pass_its_roles(cloud: Cloud, tasks: Tasks) -> None:
    arn = f"arn:aws:ecs:{cloud.region}:{cloud.account}:task-definition/sync:*"
    cluster = f"arn:aws:ecs:{cloud.region}:{cloud.account}:cluster/ours"
    run = allow("ecs:RunTask", on=arn, Condition={"ArnEquals": {"ecs:cluster": cluster}})
    given = {
        "cluster": "ours",
        "taskDefinition": "sync",
        "launchType": "FARGATE",
        "networkConfiguration": tasks.network(),
    }
    roles = [f"arn:aws:iam::{cloud.account}:role/{name}" for name in ("task", "execution")]
    for missing in roles:
        passing = allow("iam:PassRole", on=next(role for role in roles if role != missing))
        somebody = cloud.client("ecs", credentials=cloud.role("somebody", [run, passing]))
        with refused("AccessDeniedException", "iam:PassRole", missing):
            somebody.run_task(**given)
    passing = {**allow("iam:PassRole"), "Resource": roles}
    somebody = cloud.client("ecs", credentials=cloud.role("somebody", [run, passing]))
    assert somebody.run_task(**given)["tasks"]
    tasks.ecs.create_cluster(clusterName="other")
    with refused("AccessDeniedException", "ecs:RunTask"):
        somebody.run_task(**{**given, "cluster": "other"})


@pytest.mark.parametrize("missing", ["logs:CreateLogStream"])
def test_an_execution_role_that_may_not_log_stops_the_task(tasks: Tasks, missing: str) -> None:
    tasks.execution_role(missing)
    task = tasks.run()
    assert task["stopCode"] == "TaskFailedToStart"
    assert "ResourceInitializationError" in task["stoppedReason"]
    assert missing in task["stoppedReason"]


def test_a_task_role_must_trust_tasks(cloud: Cloud, tasks: Tasks) -> None:
    other = service_role(cloud, "other", "ec2.amazonaws.com", [])
    task = tasks.run(overrides={"taskRoleArn": other})
    assert "unable to assume the role" in task["stoppedReason"]


def test_a_task_that_stops_is_an_event(cloud: Cloud, tasks: Tasks) -> None:
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:told"
    opening = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    document = policy({**opening, "Resource": arn})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    pattern = '{"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"], "containers": {"exitCode": [7]}}}'
    events.put_rule(Name="failed", EventPattern=pattern)
    events.put_targets(Rule="failed", Targets=[{"Id": "1", "Arn": arn}])
    tasks.run()
    cloud.knobs(tasks__light=7)
    task = tasks.run()
    (message,) = until(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"))
    assert task["taskArn"] in message["Body"]


def test_a_schedule_runs_a_task(cloud: Cloud, tasks: Tasks) -> None:
    roles = [f"arn:aws:iam::{cloud.account}:role/{name}" for name in ("task", "execution")]
    definition = f"arn:aws:ecs:{cloud.region}:{cloud.account}:task-definition/sync"
    network = tasks.network()["awsvpcConfiguration"]
    target = {
        "Arn": f"arn:aws:ecs:{cloud.region}:{cloud.account}:cluster/ours",
        "RoleArn": service_role(
            cloud, "schedule", "scheduler.amazonaws.com", [allow("ecs:RunTask", on=f"{definition}:*")]
        ),
        "EcsParameters": {
            "TaskDefinitionArn": definition,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": network["subnets"]}},
        },
        "Input": '{"containerOverrides": [{"name": "runner", "environment": [{"name": "A", "value": "1"}]}]}',
    }
    cloud.client("scheduler").create_schedule(
        Name="sync", ScheduleExpression="cron(0 9 * * ? *)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    assert "iam:PassRole" in cloud.fire(schedule="sync")["error"]
    passing = {**allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": TASKS}}), "Resource": roles}
    service_role(cloud, "schedule", "scheduler.amazonaws.com", [allow("ecs:RunTask", on=f"{definition}:*"), passing])
    (task,) = cloud.fire(schedule="sync")["answer"]["tasks"]
    assert tasks.follow(task["taskArn"])["overrides"]["containerOverrides"][0]["environment"][0]["value"] == "1"
