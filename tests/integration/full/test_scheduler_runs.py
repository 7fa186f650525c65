"""A schedule that starts a real build at its time, a build that fails and tells, and starts that do not overlap."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from builds import Project, buildspec, service_role, until
from ecr_api import allow, policy, refused

from loopback.client import FullCloud

UNIVERSAL = "arn:aws:scheduler:::aws-sdk:codebuild:startBuild"


@pytest.fixture
def project(full: FullCloud) -> Project:
    return Project(full)


def arn(project: Project) -> str:
    return f"arn:aws:codebuild:{project.cloud.region}:{project.cloud.account}:project/{project.name}"


def builds(project: Project) -> list[str]:
    ids: list[str] = project.codebuild.list_builds_for_project(projectName=project.name)["ids"]
    return ids


def test_the_schedule_starts_a_build_at_its_time(project: Project) -> None:
    project.make(buildspec("echo hello $WHOM"))
    role = service_role(
        project.cloud, "schedule", "scheduler.amazonaws.com", [allow("codebuild:StartBuild", on=arn(project))]
    )
    variable = {"Name": "WHOM", "Value": "schedule", "Type": "PLAINTEXT"}
    given = json.dumps({"ProjectName": project.name, "EnvironmentVariablesOverride": [variable]})
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    project.cloud.client("scheduler").create_schedule(
        Name="once",
        ScheduleExpression=f"at({moment:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": UNIVERSAL, "RoleArn": role, "Input": given},
    )
    assert builds(project) == []
    project.cloud.advance(601)
    build = project.follow(until(lambda: builds(project))[0])
    assert (build.status, build.printed) == ("SUCCEEDED", ["hello schedule"])


def test_a_failed_build_reaches_a_queue(project: Project) -> None:
    cloud = project.make(buildspec("echo broken; exit 1")).cloud
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    queue = f"arn:aws:sqs:{cloud.region}:{cloud.account}:told"
    opening: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": queue}
    document = policy({**opening, "Action": "sqs:SendMessage"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    pattern = {"source": ["aws.codebuild"], "detail": {"build-status": ["FAILED"], "project-name": [project.name]}}
    events.put_rule(Name="failed", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="failed", Targets=[{"Id": "1", "Arn": queue}])
    build = project.build()
    (message,) = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    detail = json.loads(message["Body"])["detail"]
    assert detail["build-id"] == build.build["arn"]
    contexts = [
        one["phase-context"] for one in detail["additional-information"]["phases"] if one["phase-type"] == "BUILD"
    ]
    assert "exit status 1" in str(contexts)


def test_two_starts_do_not_overlap(project: Project) -> None:
    project.make(buildspec("echo started; sleep 600"), concurrentBuildLimit=1)
    first = project.start()
    until(lambda: "started" in project.log(project.describe(first)))
    with refused("AccountLimitExceededException"):
        project.start()
    project.codebuild.stop_build(id=first)
    project.follow(first)
    assert project.build(buildspecOverride=buildspec("true")).status == "SUCCEEDED"
