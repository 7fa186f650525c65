"""EventBridge Scheduler: schedules that really start builds, in their role, on the cloud's clock."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from builds import Project, buildspec, service_role, until, variables
from ecr_api import allow, refused

from loopback.client import Cloud

SERVICE = "scheduler.amazonaws.com"
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:codebuild:startBuild"
OFF = {"Mode": "OFF"}
OVERRIDE = '{"timeoutInMinutesOverride": 5}'
DAY = 24 * 3600


@pytest.fixture
def project(cloud: Cloud) -> Project:
    cloud.knobs(codebuild__light="SUCCEEDED")
    return Project(cloud).make(buildspec("true"))


def arn(cloud: Cloud, name: str) -> str:
    return f"arn:aws:codebuild:{cloud.region}:{cloud.account}:project/{name}"


def role(cloud: Cloud, *statements: dict[str, Any]) -> str:
    may = list(statements) or [allow("codebuild:StartBuild", on=arn(cloud, "cloner"))]
    return service_role(cloud, "schedule", SERVICE, may)


def schedule(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """The arguments of CreateSchedule: daily at nine."""
    target = {"Arn": arn(cloud, "cloner"), "RoleArn": role(cloud), **changes.pop("Target", {})}
    return {
        "Name": "daily",
        "ScheduleExpression": "cron(0 9 * * ? *)",
        "FlexibleTimeWindow": OFF,
        "Target": target,
        **changes,
    }


def builds(project: Project) -> list[str]:
    ids: list[str] = project.codebuild.list_builds_for_project(projectName=project.name)["ids"]
    return ids


def now(cloud: Cloud) -> datetime:
    """The cloud's time."""
    cloud.client("events").put_rule(Name="clock", EventPattern='{"source": ["nobody"]}')
    logs = cloud.client("logs")
    name = f"/clock/{datetime.now(timezone.utc).timestamp()}"
    logs.create_log_group(logGroupName=name)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return datetime.fromtimestamp(group["creationTime"] / 1000, timezone.utc)


# ------------------------------------------------------------------ the API


def test_a_schedule_keeps_what_it_is_given(cloud: Cloud, project: Project) -> None:
    scheduler = cloud.client("scheduler")
    given = schedule(
        cloud,
        ScheduleExpressionTimezone="Europe/Berlin",
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        Description="clones",
        State="DISABLED",
        ActionAfterCompletion="DELETE",
        Target={
            "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 600},
            "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{cloud.region}:{cloud.account}:dead"},
        },
    )
    made = scheduler.create_schedule(**given)["ScheduleArn"]
    assert made == f"arn:aws:scheduler:{cloud.region}:{cloud.account}:schedule/default/daily"
    read = scheduler.get_schedule(Name="daily")
    assert {name: read[name] for name in given} == given
    with refused("ConflictException"):
        scheduler.create_schedule(**given)
    scheduler.update_schedule(**schedule(cloud))
    read = scheduler.get_schedule(Name="daily")
    assert (read["ScheduleExpressionTimezone"], read["State"], "Description" in read) == ("UTC", "ENABLED", False)
    scheduler.delete_schedule(Name="daily")
    with refused("ResourceNotFoundException"):
        scheduler.get_schedule(Name="daily")


def test_groups_hold_schedules_and_tags(cloud: Cloud, project: Project) -> None:
    scheduler = cloud.client("scheduler")
    with refused("ResourceNotFoundException", "ours"):
        scheduler.create_schedule(**schedule(cloud, GroupName="ours"))
    group = scheduler.create_schedule_group(Name="ours", Tags=[{"Key": "a", "Value": "1"}])["ScheduleGroupArn"]
    scheduler.create_schedule(**schedule(cloud, GroupName="ours"))
    scheduler.create_schedule(**schedule(cloud))
    listed = scheduler.list_schedules()["Schedules"]
    assert [(one["GroupName"], one["Name"]) for one in listed] == [("default", "daily"), ("ours", "daily")]
    assert len(scheduler.list_schedules(GroupName="ours")["Schedules"]) == 1
    assert len(scheduler.list_schedules(MaxResults=1)["Schedules"]) == 1
    scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "b", "Value": "2"}])
    scheduler.untag_resource(ResourceArn=group, TagKeys=["a"])
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == [{"Key": "b", "Value": "2"}]
    scheduler.delete_schedule_group(Name="ours")
    assert [one["GroupName"] for one in scheduler.list_schedules()["Schedules"]] == ["default"]
    with refused("ValidationException"):
        scheduler.delete_schedule_group(Name="default")


@pytest.mark.parametrize(
    "change",
    [
        {"ScheduleExpression": "daily"},
        {"ScheduleExpression": "rate(0 minutes)"},
        {"ScheduleExpression": "rate(5 fortnights)"},
        {"ScheduleExpression": "cron(0 9 * * *)"},
        {"ScheduleExpression": "cron(0 9 * * * *)"},
        {"ScheduleExpression": "cron(61 9 * * ? *)"},
        {"ScheduleExpression": "cron(0 9 ? * FUNDAY *)"},
        {"ScheduleExpression": "at(2024-02-30T09:00:00)"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        {"StartDate": datetime(2030, 1, 2), "EndDate": datetime(2030, 1, 1)},
        {"Target": {"Arn": "not an arn"}},
        {"Target": {"Arn": UNIVERSAL, "Input": '{"projectName": "cloner"}'}},
        {"Target": {"Arn": UNIVERSAL, "Input": "{}"}},
        {"Target": {"Arn": UNIVERSAL, "Input": "no json"}},
        {"Target": {"Arn": UNIVERSAL.replace("startBuild", "startParty"), "Input": "{}"}},
        {"Target": {"Arn": UNIVERSAL.replace("startBuild", "listProjects"), "Input": "{}"}},
        {"Target": {"Arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/c"}},
        {"Target": {"RoleArn": "arn:aws:iam::123456789012:role/absent"}},
        {"Name": "no spaces"},
    ],
    ids=lambda change: json.dumps(change, default=str)[:60],
)
def test_what_a_schedule_may_not_be(cloud: Cloud, project: Project, change: dict[str, Any]) -> None:
    with refused("ValidationException"):
        cloud.client("scheduler").create_schedule(**schedule(cloud, **change))


def test_calls_are_judged_by_group_and_name(cloud: Cloud, project: Project) -> None:
    root = cloud.client("scheduler")
    root.create_schedule_group(Name="ours")
    mine = f"arn:aws:scheduler:{cloud.region}:{cloud.account}:schedule/ours/daily"
    may = [allow("scheduler:*", on=mine), allow("iam:PassRole", on=role(cloud))]
    somebody = cloud.client("scheduler", credentials=cloud.role("somebody", may))
    somebody.create_schedule(**schedule(cloud, GroupName="ours"))
    somebody.get_schedule(Name="daily", GroupName="ours")
    for call in (
        lambda: somebody.create_schedule(**schedule(cloud)),
        lambda: somebody.get_schedule(Name="daily"),
        lambda: somebody.get_schedule_group(Name="ours"),
    ):
        with refused("AccessDeniedException"):
            call()


# ------------------------------------------------------------------ firing


def test_a_daily_schedule_fires_each_day_at_nine(cloud: Cloud, project: Project) -> None:
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(**schedule(cloud))
    moment = now(cloud)
    nine = moment.replace(hour=9, minute=0, second=0, microsecond=0)
    to_nine = ((nine if nine > moment else nine + timedelta(days=1)) - moment).total_seconds()
    cloud.advance(to_nine - 60)
    assert builds(project) == []
    cloud.advance(61)
    until(lambda: len(builds(project)) == 1)
    cloud.advance(DAY)
    until(lambda: len(builds(project)) == 2)
    scheduler.update_schedule(**schedule(cloud, State="DISABLED"))
    cloud.advance(DAY)
    assert cloud.fire(schedule="daily")["answer"]["build"]["projectName"] == "cloner"
    assert len(builds(project)) == 3


def test_the_time_zone_of_a_schedule_counts(cloud: Cloud, project: Project) -> None:
    moment = now(cloud)
    tokyo = moment + timedelta(hours=9, minutes=10)
    at = f"at({tokyo:%Y-%m-%dT%H:%M:%S})"
    given = schedule(
        cloud, ScheduleExpression=at, ScheduleExpressionTimezone="Asia/Tokyo", ActionAfterCompletion="DELETE"
    )
    cloud.client("scheduler").create_schedule(**given)
    cloud.advance(9 * 60)
    assert builds(project) == []
    cloud.advance(61)
    until(lambda: len(builds(project)) == 1)
    until(lambda: cloud.client("scheduler").list_schedules()["Schedules"] == [])


def test_a_rate_without_a_start_date_fires_at_once_and_again(cloud: Cloud, project: Project) -> None:
    cloud.client("scheduler").create_schedule(**schedule(cloud, ScheduleExpression="rate(15 minutes)"))
    until(lambda: len(builds(project)) == 1)
    cloud.advance(15 * 60)
    until(lambda: len(builds(project)) == 2)


def test_dates_bound_a_schedule(cloud: Cloud, project: Project) -> None:
    start = now(cloud) + timedelta(hours=1)
    given = schedule(cloud, ScheduleExpression="rate(1 hour)", StartDate=start, EndDate=start + timedelta(minutes=30))
    cloud.client("scheduler").create_schedule(**given)
    cloud.advance(3601)
    until(lambda: len(builds(project)) == 1)
    cloud.advance(3600)
    cloud.client("scheduler").create_schedule(**schedule(cloud, Name="other", ScheduleExpression="rate(1 day)"))
    until(lambda: len(builds(project)) == 2)  # the other one's: by now this one would have fired


def test_a_flexible_schedule_fires_within_its_window(cloud: Cloud, project: Project) -> None:
    at = f"at({now(cloud) + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S})"
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
    cloud.client("scheduler").create_schedule(**schedule(cloud, ScheduleExpression=at, FlexibleTimeWindow=window))
    cloud.advance(16 * 60)
    until(lambda: len(builds(project)) == 1)


def test_a_universal_target_passes_its_input(cloud: Cloud, project: Project) -> None:
    given = {
        "ProjectName": "cloner",
        "EnvironmentVariablesOverride": [{"Name": "A", "Value": "1", "Type": "PLAINTEXT"}],
    }
    target = {"Arn": UNIVERSAL, "Input": json.dumps(given)}
    cloud.client("scheduler").create_schedule(**schedule(cloud, Target=target))
    build = cloud.fire(schedule="default/daily")["answer"]["build"]
    assert build["environment"]["environmentVariables"] == variables(A="1")
    assert build["initiator"].startswith("schedule/")


def test_a_schedule_starts_batches_too(cloud: Cloud, project: Project) -> None:
    elements = [{"identifier": "one"}, {"identifier": "two"}]
    may = [allow("codebuild:StartBuild", "codebuild:StopBuild")]
    batch = service_role(cloud, "batch", "codebuild.amazonaws.com", may)
    Project(cloud, "wide").make(
        buildspec("true", batch={"build-list": elements}), buildBatchConfig={"serviceRole": batch}
    )
    role(cloud, allow("codebuild:StartBuildBatch", on=arn(cloud, "wide")))
    target = {"Arn": f"{UNIVERSAL}Batch", "Input": '{"ProjectName": "wide"}'}
    request = schedule(cloud, Target=target)
    role(cloud, allow("codebuild:StartBuildBatch", on=arn(cloud, "wide")))
    cloud.client("scheduler").create_schedule(**request)
    assert cloud.fire(schedule="daily")["answer"]["buildBatch"]["projectName"] == "wide"


# ------------------------------------------------------------------ when it fails


def dead_letters(cloud: Cloud) -> tuple[Any, str, str]:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    return sqs, url, f"arn:aws:sqs:{cloud.region}:{cloud.account}:dead"


def received(sqs: Any, url: str) -> tuple[str, dict[str, str]]:
    message = until(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))[0]
    return message["Body"], {name: one["StringValue"] for name, one in message["MessageAttributes"].items()}


def test_a_role_that_may_not_start_the_build_gives_a_dead_letter(cloud: Cloud, project: Project) -> None:
    sqs, url, queue = dead_letters(cloud)
    request = schedule(cloud, Target={"DeadLetterConfig": {"Arn": queue}, "Input": OVERRIDE})
    role(cloud, allow("codebuild:StartBuild", on=arn(cloud, "other")), allow("sqs:SendMessage", on=queue))
    cloud.client("scheduler").create_schedule(**request)
    assert "codebuild:StartBuild" in cloud.fire(schedule="daily")["error"]
    body, attributes = received(sqs, url)
    assert body == OVERRIDE
    assert attributes["ERROR_CODE"] == "AccessDeniedException"
    assert attributes["TARGET_ARN"] == arn(cloud, "cloner")
    assert builds(project) == []


def test_the_dead_letter_needs_the_role_too(cloud: Cloud, project: Project) -> None:
    sqs, url, queue = dead_letters(cloud)
    request = schedule(cloud, Target={"DeadLetterConfig": {"Arn": queue}})
    role(cloud, allow("codebuild:ListProjects"))
    cloud.client("scheduler").create_schedule(**request)
    cloud.fire(schedule="daily")
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    assert "sqs:SendMessage" in cloud.output()


def test_a_busy_project_is_tried_again(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="IN_PROGRESS")
    sqs, url, queue = dead_letters(cloud)
    project.codebuild.update_project(name="cloner", concurrentBuildLimit=1)
    first = project.start()
    retries = {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 3600}
    request = schedule(
        cloud,
        ScheduleExpression="rate(10 days)",
        Target={"DeadLetterConfig": {"Arn": queue}, "RetryPolicy": retries},
    )
    role(cloud, allow("codebuild:StartBuild"), allow("sqs:SendMessage"))
    cloud.client("scheduler").create_schedule(**request)

    def attempts() -> int:
        return len([call for call in cloud.calls("StartBuild") if call["status"] == 400])

    until(lambda: attempts() == 1)
    cloud.advance(61)
    _body, attributes = received(sqs, url)
    assert attempts() == 2
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert attributes["ERROR_CODE"] == "AccountLimitExceededException"
    assert builds(project) == [first]
