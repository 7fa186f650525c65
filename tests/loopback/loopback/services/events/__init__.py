"""EventBridge rules: ministack's, with roles and requests checked, on the cloud's clock, and with targets that start.

POST /_cloud/fire {"rule": "name"}    a scheduled rule fires its targets at once
"""

from __future__ import annotations

import json
from typing import Any

from loopback import acting, aws, cloud, control, pass_role, targets, ticker
from loopback.aws import delivery, rules
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented
from loopback.services.scheduler import firing
from loopback.targets import TargetError
from loopback.validation import validate

NAME = "events"
Json = dict[str, Any]
_CHECKED = ("PutRule", "PutTargets")
_pass_role = pass_role.guard(
    delivery.EVENTS,
    _CHECKED,
    lambda request: [holder.get("RoleArn") for holder in (request, *request.get("Targets", []))],
)


@documented("EventBridge user guide, eb-targets: targets other than topics and queues need a role")
@assumed("wording")
def before(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    operation = pass_role.operation(headers)
    if operation in _CHECKED:
        request = json.loads(body or b"{}")
        validate("events", operation, request, "ValidationException")
        for target in request.get("Targets", []):
            if target["Arn"].split(":")[2] in delivery.STARTED and not target.get("RoleArn"):
                raise AwsError("ValidationException", f"RoleArn is required for target {target['Arn']}.")
    _pass_role(method, path, headers, body)


@documented("EventBridge user guide, eb-use-identity-based: the target is started in its role")
def _start(target: Json, given: str | None, rule_arn: str) -> None:
    actor = acting.assume(target.get("RoleArn", ""), delivery.EVENTS, "events", rule_arn)
    try:
        targets.start(actor, target, given)
    except TargetError as error:
        raise AwsError(error.code, error.message) from error


def _fire(document: Json) -> Json:
    """The control door: a schedule, or a rule."""
    if "schedule" in document:
        return firing.fire(document)
    settings = cloud.running().settings
    aws.act_in(document.get("account", settings.account), document.get("region", settings.region))
    rules.fire(document["rule"])
    return {}


delivery.start_targets_with(_start)
ticker.every_tick.append(rules.fire_due)
control.actions["POST /_cloud/fire"] = _fire
