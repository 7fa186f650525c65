"""Events of builds, scheduled rules, metrics and alarms: what they start, whom they tell, and who must allow it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest
from builds import Project, buildspec, service_role, until
from ecr_api import allow, policy, refused

from loopback.client import Cloud

EVENTS, ALARMS = "events.amazonaws.com", "cloudwatch.amazonaws.com"
HOUR = 3600
FAILURES = {
    "source": ["aws.codebuild"],
    "detail-type": ["CodeBuild Build State Change"],
    "detail": {"build-status": ["FAILED"], "project-name": ["cloner"]},
}


@pytest.fixture
def project(cloud: Cloud) -> Project:
    cloud.knobs(codebuild__light="SUCCEEDED")
    return Project(cloud).make(buildspec("true"))


@dataclass
class Queue:
    cloud: Cloud
    name: str = "told"

    def make(self, *senders: str) -> Queue:
        """A queue into which these services may send."""
        opening = {"Effect": "Allow", "Principal": {"Service": list(senders)}, "Action": "sqs:SendMessage"}
        attributes = {"Policy": policy({**opening, "Resource": self.arn})} if senders else {}
        self.cloud.client("sqs").create_queue(QueueName=self.name, Attributes=attributes)
        return self

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{self.cloud.region}:{self.cloud.account}:{self.name}"

    @property
    def url(self) -> str:
        return str(self.cloud.client("sqs").get_queue_url(QueueName=self.name)["QueueUrl"])

    def messages(self, most: int = 10) -> list[dict[str, Any]]:
        answer = self.cloud.client("sqs").receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=most, MessageAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))

    def next(self) -> dict[str, Any]:
        message: dict[str, Any] = until(lambda: self.messages(1))[0]
        self.cloud.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return message

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.next()["Body"])
        return found


def topic(cloud: Cloud, queue: Queue, *publishers: str) -> str:
    """A topic that tells the queue; without publishers it has the default policy."""
    sns = cloud.client("sns")
    arn = str(sns.create_topic(Name="alerts")["TopicArn"])
    if publishers:
        opening = {"Effect": "Allow", "Principal": {"Service": list(publishers)}, "Action": "sns:Publish"}
        document = policy({**opening, "Resource": arn})
        sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=document)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue.arn)
    return arn


def rule(cloud: Cloud, *targets: dict[str, Any], **given: Any) -> None:
    events = cloud.client("events")
    events.put_rule(Name="rule", **given)
    answer = events.put_targets(Rule="rule", Targets=[{"Id": str(n), **one} for n, one in enumerate(targets)])
    assert answer["FailedEntryCount"] == 0


# ------------------------------------------------------------------ events of builds


def test_a_failed_build_tells_a_queue(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make(EVENTS)
    rule(cloud, {"Arn": queue.arn}, EventPattern=json.dumps(FAILURES))
    project.build()
    Project(cloud, "other").make(buildspec("true"))
    cloud.knobs(codebuild__light="FAILED")
    Project(cloud, "other").build()
    build = project.build().build
    event = queue.body()
    assert (event["source"], event["account"], event["resources"]) == ("aws.codebuild", cloud.account, [build["arn"]])
    detail = event["detail"]
    assert (detail["build-status"], detail["project-name"], detail["build-id"]) == ("FAILED", "cloner", build["arn"])
    assert detail["additional-information"]["logs"]["deep-link"] == build["logs"]["deepLink"]
    phases = {one["phase-type"]: one.get("phase-status") for one in detail["additional-information"]["phases"]}
    assert phases["BUILD"] == "FAILED"
    assert queue.messages() == []


def test_each_state_of_a_build_is_an_event(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make(EVENTS)
    shape = {"InputPathsMap": {"status": "$.detail.build-status"}, "InputTemplate": '{"is": <status>}'}
    rule(cloud, {"Arn": queue.arn, "InputTransformer": shape}, EventPattern='{"source": ["aws.codebuild"]}')
    project.build()
    assert [queue.body(), queue.body()] == [{"is": "IN_PROGRESS"}, {"is": "SUCCEEDED"}]


def test_a_rule_tells_a_topic_that_lets_it(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make("sns.amazonaws.com")
    rule(cloud, {"Arn": topic(cloud, queue, EVENTS)}, EventPattern=json.dumps(FAILURES))
    cloud.knobs(codebuild__light="FAILED")
    project.build()
    assert json.loads(queue.body()["Message"])["detail"]["build-status"] == "FAILED"


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_a_rule_tells_nobody_who_does_not_let_it(cloud: Cloud, project: Project, kind: str) -> None:
    queue = Queue(cloud).make("sns.amazonaws.com")
    dead = Queue(cloud, "dead").make(EVENTS)
    target = queue.arn if kind == "queue" else topic(cloud, queue, ALARMS)
    rule(cloud, {"Arn": target, "DeadLetterConfig": {"Arn": dead.arn}}, EventPattern=json.dumps(FAILURES))
    cloud.knobs(codebuild__light="FAILED")
    project.build()
    attributes = dead.next()["MessageAttributes"]
    assert attributes["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert attributes["TARGET_ARN"]["StringValue"] == target
    assert queue.messages() == []


def test_a_policy_may_be_for_one_rule_only(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make(EVENTS)
    rule(cloud, {"Arn": queue.arn}, EventPattern='{"source": ["aws.codebuild"]}')
    arn = cloud.client("events").describe_rule(Name="rule")["Arn"]
    for source, told in ((f"{arn}-other", 0), (arn, 2)):
        opening = {"Effect": "Allow", "Principal": {"Service": EVENTS}, "Action": "sqs:SendMessage"}
        condition = {"ArnEquals": {"aws:SourceArn": source}}
        document = policy({**opening, "Resource": queue.arn, "Condition": condition})
        cloud.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": document})
        project.build()
        assert len(queue.messages()) == told


# ------------------------------------------------------------------ scheduled rules


def target(cloud: Cloud, *statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:codebuild:{cloud.region}:{cloud.account}:project/cloner"
    return {"Arn": arn, "RoleArn": service_role(cloud, "rule", EVENTS, statements), **more}


def test_a_scheduled_rule_starts_a_build_in_its_role(cloud: Cloud, project: Project) -> None:
    override = {"environmentVariablesOverride": [{"name": "A", "value": "1", "type": "PLAINTEXT"}]}
    may = allow("codebuild:StartBuild")
    rule(cloud, target(cloud, may, Input=json.dumps(override)), ScheduleExpression="rate(1 hour)")
    assert project.codebuild.list_builds()["ids"] == []
    cloud.advance(HOUR + 1)
    (identity,) = until(lambda: project.codebuild.list_builds()["ids"])
    build = project.describe(identity)
    assert build["environment"]["environmentVariables"][0]["value"] == "1"
    cloud.fire(rule="rule")
    assert len(project.codebuild.list_builds()["ids"]) == 2


def test_a_rule_whose_role_may_not_starts_nothing(cloud: Cloud, project: Project) -> None:
    dead = Queue(cloud, "dead").make(EVENTS)
    may = allow("codebuild:StartBuild", on="arn:aws:codebuild:*:*:project/other")
    rule(cloud, target(cloud, may, DeadLetterConfig={"Arn": dead.arn}), ScheduleExpression="rate(1 hour)")
    cloud.fire(rule="rule")
    assert "codebuild:StartBuild" in dead.next()["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    assert project.codebuild.list_builds()["ids"] == []


def test_a_build_as_a_target_needs_a_role(cloud: Cloud, project: Project) -> None:
    events = cloud.client("events")
    events.put_rule(Name="rule", ScheduleExpression="rate(1 hour)")
    arn = f"arn:aws:codebuild:{cloud.region}:{cloud.account}:project/cloner"
    with refused("ValidationException", "RoleArn"):
        events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": arn}])


# ------------------------------------------------------------------ alarms


def alarm(cloud: Cloud, topic_arn: str, **changes: Any) -> Any:
    """An alarm on builds of the project; no successful one for a day by default."""
    cloudwatch = cloud.client("cloudwatch")
    given = {
        "AlarmName": "alarm",
        "Namespace": "AWS/CodeBuild",
        "MetricName": "SucceededBuilds",
        "Dimensions": [{"Name": "ProjectName", "Value": "cloner"}],
        "Statistic": "Sum",
        "Period": HOUR,
        "EvaluationPeriods": 24,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [topic_arn],
        "OKActions": [topic_arn],
    }
    cloudwatch.put_metric_alarm(**{**given, **changes})

    def state() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=["alarm"])["MetricAlarms"][0]["StateValue"])

    return state


def test_no_successful_build_for_a_day_is_an_alarm(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make("sns.amazonaws.com")
    project.build()
    state = alarm(cloud, topic(cloud, queue))
    assert state() == "OK"
    assert "OK" in queue.body()["Subject"]
    cloud.advance(23 * HOUR)
    cloud.knobs(codebuild__light="FAILED")
    project.build()
    assert state() == "OK"
    cloud.advance(HOUR + 60)
    until(lambda: state() == "ALARM")
    told = json.loads(queue.body()["Message"])
    assert (told["AlarmName"], told["NewStateValue"], told["OldStateValue"]) == ("alarm", "ALARM", "OK")
    cloud.knobs(codebuild__light="SUCCEEDED")
    project.build()
    until(lambda: state() == "OK")
    assert json.loads(queue.body()["Message"])["NewStateValue"] == "OK"


def test_an_alarm_on_failed_builds_is_about_its_project(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make("sns.amazonaws.com")
    changes = {"MetricName": "FailedBuilds", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0}
    state = alarm(cloud, topic(cloud, queue), **changes, EvaluationPeriods=1, TreatMissingData="notBreaching")
    cloud.knobs(codebuild__light="FAILED")
    Project(cloud, "other").make(buildspec("true")).build()
    until(lambda: state() == "OK")
    project.build()
    until(lambda: state() == "ALARM")


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("missing", "INSUFFICIENT_DATA"), ("ignore", "INSUFFICIENT_DATA"), ("notBreaching", "OK"), ("breaching", "ALARM")],
)
def test_what_an_alarm_makes_of_missing_data(cloud: Cloud, treatment: str, expected: str) -> None:
    state = alarm(cloud, topic(cloud, Queue(cloud).make()), TreatMissingData=treatment)
    until(lambda: state() == expected)


def test_an_alarm_tells_no_topic_that_does_not_let_it(cloud: Cloud, project: Project) -> None:
    queue = Queue(cloud).make("sns.amazonaws.com")
    state = alarm(cloud, topic(cloud, queue, EVENTS))
    until(lambda: state() == "ALARM")
    until(lambda: "cloudwatch.amazonaws.com is not authorized to perform: sns:Publish" in cloud.output())
    assert queue.messages() == []


def test_embedded_metrics_are_taken_out_of_log_lines(cloud: Cloud) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="group")
    logs.create_log_stream(logGroupName="group", logStreamName="stream")
    directive = {"Namespace": "stevedore", "Dimensions": [["Run"]], "Metrics": [{"Name": "Copied", "Unit": "Count"}]}
    line = {"_aws": {"Timestamp": 0, "CloudWatchMetrics": [directive]}, "Run": "nightly", "Copied": [3, 4]}
    now = int(datetime.now(timezone.utc).timestamp())
    events = [{"timestamp": now * 1000, "message": text} for text in ("plain _aws", json.dumps(line))]
    logs.put_log_events(logGroupName="group", logStreamName="stream", logEvents=events)
    answer = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="stevedore",
        MetricName="Copied",
        Dimensions=[{"Name": "Run", "Value": "nightly"}],
        StartTime=now - HOUR,
        EndTime=now + HOUR,
        Period=2 * HOUR,
        Statistics=["Sum", "SampleCount"],
    )
    assert [(point["Sum"], point["SampleCount"]) for point in answer["Datapoints"]] == [(7, 2)]
