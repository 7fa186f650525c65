"""Schedules start their targets, in their role: at their time on the cloud's clock, or at once by the control door.

POST /_cloud/fire {"schedule": "name" or "group/name"}    what became of it: {"answer": ...} or {"error": ...}
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from loopback import acting, aws, cloud, runs, targets, ticker
from loopback.acting import Actor, reason
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.expressions import Once
from loopback.fidelity import assumed, documented
from loopback.runs import Run
from loopback.services.scheduler import state
from loopback.services.scheduler.service import SERVICE, group_arn
from loopback.targets import TargetError

Json = dict[str, Any]
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0


def fire_due() -> None:
    """Fire what is due, and settle when it is due again."""
    now = clock.now()
    for schedule in state.everywhere():
        if schedule.next is None or now < schedule.next + _delay(schedule):
            continue
        due, schedule.next = schedule.next, schedule.expression.after(now)
        if schedule.document["State"] == "ENABLED" and not _has_ended(schedule, due):
            aws.act_in(schedule.account, schedule.region)
            runs.start(_invocation(schedule))
        if isinstance(schedule.expression, Once):
            _complete(schedule)


def _invocation(schedule: state.Schedule) -> Callable[[Run], None]:
    def invoke(run: Run) -> None:
        _invoke(schedule, run)

    return invoke


@assumed("a clock that a test moves over several times of a schedule fires it once")
def _has_ended(schedule: state.Schedule, due: float) -> bool:
    end = schedule.document.get("EndDate")
    return end is not None and due >= end


@documented("EventBridge Scheduler user guide, managing-schedule-flexible-time-windows: at any time in the window")
def _delay(schedule: state.Schedule) -> float:
    window: float = schedule.document["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0) * 60
    share = int(hashlib.sha256(f"{schedule.document['Arn']}{schedule.next}".encode()).hexdigest()[:8], 16) / 2**32
    return window * share


@documented("EventBridge Scheduler user guide, managing-schedule-delete: ActionAfterCompletion")
def _complete(schedule: state.Schedule) -> None:
    if schedule.document["ActionAfterCompletion"] == "DELETE":
        aws.act_in(schedule.account, schedule.region)
        state.here().schedules.pop((schedule.document["GroupName"], schedule.document["Name"]), None)


# ------------------------------------------------------------------ one invocation


@documented("EventBridge Scheduler user guide, managing-schedule-retry: until attempts or age are exhausted")
@assumed("pauses between attempts: a minute, doubled each time, up to an hour; permission errors are not retried")
def _invoke(schedule: state.Schedule, run: Run | None) -> Json:
    target = schedule.document["Target"]
    group = group_arn(schedule.document["GroupName"])
    policy, begun, attempts, pause = target["RetryPolicy"], clock.now(), 0, _FIRST_PAUSE
    while True:
        try:
            actor = acting.assume(target["RoleArn"], SERVICE, str(uuid.uuid4()).replace("-", ""), group)
            return {"answer": targets.start(actor, target, _input(schedule))}
        except AwsError as error:
            failure, exhausted = TargetError(error.code, error.message), None
        except TargetError as error:
            failure, exhausted = error, None
        if not failure.is_final and run is not None:
            exhausted = _exhausted(policy, attempts, begun + policy["MaximumEventAgeInSeconds"])
            if exhausted is None and _pause(run, pause):
                attempts, pause = attempts + 1, min(pause * 2, _LONGEST_PAUSE)
                continue
        _to_dead_letters(schedule, failure, attempts, exhausted)
        return {"error": str(failure)}


def _exhausted(policy: Json, attempts: int, end: float) -> str | None:
    if attempts >= policy["MaximumRetryAttempts"]:
        return "MaximumRetryAttempts"
    return "MaximumEventAgeInSeconds" if clock.now() >= end else None


def _pause(run: Run, seconds: float) -> bool:
    """Wait on the cloud's clock; False when the cloud ends."""
    end = clock.now() + seconds
    while clock.now() < end:
        if run.wait(0.05):
            return False
    return True


@documented("EventBridge Scheduler user guide, managing-schedule-context-attributes")
def _input(schedule: state.Schedule) -> str | None:
    given: str | None = schedule.document["Target"].get("Input")
    if given is None:
        return None
    values = {"schedule-arn": schedule.document["Arn"], "execution-id": str(uuid.uuid4()), "attempt-number": "1"}
    for name, value in values.items():
        given = given.replace(f"<aws.scheduler.{name}>", value)
    return given


@documented("EventBridge Scheduler user guide, configuring-schedule-dlq: sent in the schedule's role, with attributes")
@assumed("the body of a dead letter is the target's input")
def _to_dead_letters(schedule: state.Schedule, failure: TargetError, retries: int, exhausted: str | None) -> None:
    target = schedule.document["Target"]
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        print(f"schedule {schedule.document['Arn']}: {failure}", flush=True)
        return
    attributes = {
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": failure.message,
        "SCHEDULE_ARN": schedule.document["Arn"],
        "TARGET_ARN": target["Arn"],
        "EXECUTION_ID": str(uuid.uuid4()),
        "RETRY_ATTEMPTS": str(retries),
        "IS_PAYLOAD_TRUNCATED": "false",
        **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
    }
    try:
        group = group_arn(schedule.document["GroupName"])
        actor = acting.assume(target["RoleArn"], SERVICE, "dead-letters", group)
        _send(actor, queue, target.get("Input") or "{}", attributes)
    except (AwsError, ClientError) as error:
        print(f"schedule {schedule.document['Arn']}: dead-letter queue: {reason(error)}", flush=True)


def _send(actor: Actor, queue: str, body: str, attributes: dict[str, str]) -> None:
    actor.client("sqs").send_message(
        QueueUrl=targets.queue_url(queue),
        MessageBody=body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
        },
    )


# ------------------------------------------------------------------ the door


def fire(document: Json) -> Json:
    """Fire one schedule at once, whatever its state, and tell what became of it; nothing is retried."""
    settings = cloud.running().settings
    aws.act_in(document.get("account", settings.account), document.get("region", settings.region))
    group, _slash, name = document["schedule"].rpartition("/")
    schedule = state.here().schedules[group or "default", name]
    return json.loads(json.dumps(_invoke(schedule, None), default=str))  # type: ignore[no-any-return]


ticker.every_tick.append(fire_due)
