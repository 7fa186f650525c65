"""Events, metrics and messages: how services tell rules, topics and queues what happened.

The policies of topics and queues are judged.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from loopback import aws
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented

Json = dict[str, Any]
#: Starts what a rule's target names: (target, input or None, ARN of the rule). Set by services/events.
Start = Callable[[Json, str | None, str], None]

EVENTS, ALARMS = "events.amazonaws.com", "cloudwatch.amazonaws.com"
STARTED = ("codebuild", "ecs", "batch")


def emit(source: str, detail_type: str, detail: Json, resources: list[str]) -> None:
    """An event of an AWS service, on the default bus of this account and region."""
    from ministack.services import eventbridge

    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": resources}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def iso_time(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def record_metric(namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]) -> None:
    from ministack.services import cloudwatch

    cloudwatch.record_metric(namespace, name, value, unit, dimensions)


# ------------------------------------------------------------------ to queues and topics


@documented("SQS developer guide, sqs-basic-examples-of-sqs-policies: a service needs the queue's policy")
def send(queue_arn: str, body: str, service: str, source_arn: str, attributes: dict[str, str] | None = None) -> None:
    """A message from an AWS service into a queue; AwsError when the queue's policy does not let it."""
    from ministack.services import sqs

    queue = sqs._queue_by_arn(queue_arn)
    if queue is None:
        raise AwsError("QueueDoesNotExist", f"the queue {queue_arn} does not exist")
    _require(queue.get("attributes", {}).get("Policy"), "sqs:SendMessage", queue_arn, service, source_arn)
    now = time.time()
    message = {
        "id": str(uuid.uuid4()),
        "body": body,
        "md5_body": sqs.hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now + sqs.queue_delay(queue),
        "receive_count": 0,
        "attributes": {},
        "message_attributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()
        },
        "sys": {"SenderId": service, "SentTimestamp": str(int(now * 1000))},
    }
    queue["messages"].append(message)
    sqs._ensure_msg_fields(message)


@documented("SNS developer guide, sns-access-policy-use-cases: a service needs the topic's policy")
def publish(topic_arn: str, message: str, subject: str, service: str, source_arn: str) -> None:
    """A notification from an AWS service; AwsError when the topic's policy does not let it."""
    from ministack.services import sns

    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic is None:
        raise AwsError("NotFound", f"the topic {topic_arn} does not exist")
    _require(topic.get("attributes", {}).get("Policy"), "sns:Publish", topic_arn, service, source_arn)
    sns.publish_internal(topic_arn, message, subject)


@documented("EventBridge user guide, eb-use-resource-based: aws:SourceArn, aws:SourceAccount; no role is used")
@assumed("a topic's default policy, which asks for aws:SourceOwner, lets alarms in and rules not")
def _require(policy: str | None, action: str, resource: str, service: str, source_arn: str) -> None:
    import ministack.app as ministack
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    if not ministack.AUTH:
        return
    owner = {"aws:sourceowner": aws.account()} if service == ALARMS else {}
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=aws.region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": aws.account(), **owner},
    )
    if not policy or evaluate_resource_policy(policy, context, service=service).decision != "Allow":
        raise AwsError("AccessDenied", f"{service} is not authorized to perform: {action} on resource: {resource}")


# ------------------------------------------------------------------ targets of rules

_start: list[Start] = []


def start_targets_with(function: Start) -> None:
    """Have this start what rules name that is neither queue nor topic: builds, tasks, jobs."""
    _start[:] = [function]


def install() -> None:
    """Take over the targets that ministack delivers to without asking, or not at all."""
    from ministack.services import cloudwatch, eventbridge

    others = eventbridge._invoke_target

    def invoke(target: Json, event: Json, rule: Json, view: Any = None) -> None:
        service = target["Arn"].split(":")[2]
        if service not in (*STARTED, "sqs", "sns"):
            others(target, event, rule, view)
            return
        given = _input(target, event, rule, view)
        try:
            _deliver(service, target, given, event, rule["Arn"], view)
        except AwsError as error:
            _give_up(target, given, error, rule["Arn"])

    eventbridge._invoke_target = invoke
    cloudwatch._dispatch_alarm_actions = _notify_of_alarm


def _deliver(service: str, target: Json, given: str | None, event: Json, rule_arn: str, view: Any) -> None:
    if service in STARTED:
        _start[0](target, given, rule_arn)
        return
    body = given if given is not None else _whole(event, view)
    if service == "sqs":
        send(target["Arn"], body, EVENTS, rule_arn)
    else:
        publish(target["Arn"], body, "", EVENTS, rule_arn)


@documented("EventBridge user guide, eb-rule-dlq: attributes of a message, sent as the service by the queue's policy")
@assumed("what EventBridge retries for a day is tried once")
def _give_up(target: Json, given: str | None, error: AwsError, rule_arn: str) -> None:
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        print(f"event rule {rule_arn}: target {target['Arn']}: {error}", flush=True)
        return
    code = "NO_PERMISSIONS" if "AccessDenied" in error.code else "SDK_CLIENT_ERROR"
    attributes = {
        "RULE_ARN": rule_arn,
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": code,
        "ERROR_MESSAGE": error.message,
        "RETRY_ATTEMPTS": "0",
    }
    try:
        send(queue, given or "{}", EVENTS, rule_arn, attributes)
    except AwsError as refused:
        print(f"event rule {rule_arn}: dead-letter queue: {refused}", flush=True)


def _input(target: Json, event: Json, rule: Json, view: Any) -> str | None:
    """What the target says of its input; None where it gets the whole event."""
    from ministack.services import eventbridge

    if target.get("InputTransformer"):
        view = view or eventbridge._pattern_event_view(event)
        return str(eventbridge._apply_input_transformer(target["InputTransformer"], rule, view))
    if target.get("InputPath"):
        value: Any = json.loads(_whole(event, view))
        for part in filter(None, target["InputPath"].strip("$.").split(".")):
            value = value[part]
        return json.dumps(value)
    given: str | None = target.get("Input")
    return given


def _whole(event: Json, view: Any) -> str:
    from ministack.services import eventbridge

    return json.dumps((view or eventbridge._pattern_event_view(event)).event_with_detail())


# ------------------------------------------------------------------ alarms


@documented("CloudWatch user guide, AlarmThatSendsEmail: what a notification says")
def _notify_of_alarm(alarm: Json, old_state: str, new_state: str, reason: str) -> None:
    from ministack.services import cloudwatch

    if not alarm.get("ActionsEnabled", True):
        return
    field = {"ALARM": "AlarmActions", "OK": "OKActions"}.get(new_state, "InsufficientDataActions")
    message = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": aws.account(),
        "AlarmArn": alarm["AlarmArn"],
        "NewStateValue": new_state,
        "NewStateReason": reason,
        "StateChangeTime": cloudwatch._ts_iso(cloudwatch.time.time()),
        "Region": aws.region(),
        "OldStateValue": old_state,
        "Trigger": {
            name: alarm.get(name)
            for name in (
                *("MetricName", "Namespace", "Statistic", "Unit", "Dimensions", "Period", "EvaluationPeriods"),
                *("ComparisonOperator", "Threshold", "TreatMissingData"),
            )
        },
    }
    subject = f'{new_state}: "{alarm["AlarmName"]}" in {aws.region()}'[:100]
    for topic in alarm.get(field) or []:
        try:
            publish(topic, json.dumps(message), subject, ALARMS, alarm["AlarmArn"])
        except AwsError as error:
            print(f"alarm {alarm['AlarmName']}: {error}", flush=True)
