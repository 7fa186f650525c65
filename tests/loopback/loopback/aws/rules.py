"""Scheduled rules of EventBridge, fired on the cloud's clock."""

from __future__ import annotations

import uuid

from loopback import aws
from loopback.clock import clock
from loopback.fidelity import assumed


@assumed("a clock that a test moves over several times of a rule fires it once")
def fire_due() -> None:
    from ministack.services import eventbridge

    if any(rule.get("ScheduleExpression") for rule in list(eventbridge._rules._data.values())):
        eventbridge._tick_scheduled_rules()


def fire(name: str) -> None:
    """Fire the targets of a scheduled rule of the default bus at once. KeyError when there is no such rule."""
    from ministack.services import eventbridge

    key = eventbridge._rule_key(name, "default")
    rule = eventbridge._rules[key]
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.events",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "EventBusName": "default",
        "Time": int(clock.now()),
        "Resources": [rule["Arn"]],
        "Account": aws.account(),
        "Region": aws.region(),
    }
    for target in eventbridge._targets.get(key, []):
        eventbridge._invoke_target(target, event, rule, eventbridge._pattern_event_view(event))
