"""What ministack does otherwise than AWS, mended in place."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from loopback.clock import clock
from loopback.fidelity import assumed, documented


def apply() -> None:
    _follow_the_clouds_clock()
    _let_nothing_fire_by_itself()
    _name_the_resources_of_calls()
    _keep_prefix_lists_of_rules()
    _name_the_role_of_a_session()
    _take_every_request_for_one_over_tls()


class _CloudTime:
    """The module `time`, on the cloud's clock."""

    def __getattr__(self, name: str) -> Any:
        return clock.now if name == "time" else getattr(time, name)


@assumed("logs, metrics, alarms and rules see the same time as everything else; credentials live in real time")
def _follow_the_clouds_clock() -> None:
    from ministack.services import cloudwatch, cloudwatch_logs, eventbridge

    for module in (cloudwatch, cloudwatch_logs, eventbridge):
        module.time = _CloudTime()


def _let_nothing_fire_by_itself() -> None:
    """ministack's loop fires every ten seconds of real time: rules are fired by services/events instead."""
    from ministack.services import eventbridge

    eventbridge.start_scheduler = lambda: None


def _name_the_resources_of_calls() -> None:
    """What a call is about, where ministack says `*` or less than AWS does."""
    from ministack.core import iam_actions

    inner = iam_actions.extract_resource_arn

    def extract(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: Any,
        region: str,
        account: str,
    ) -> str:
        arn = str(inner(service, method, path, headers, body, query, region, account))
        if service not in ("logs", "ssm"):
            return arn
        request = json.loads(body or b"{}")
        if not isinstance(request, dict):
            return arn
        if service == "ssm":
            # services/ssm judges the others.
            names = request.get("Names") or []
            return parameter_arn(names[0], region, account) if names else arn
        return _log_resource(arn, headers.get("x-amz-target", ""), request)

    iam_actions.extract_resource_arn = extract


@documented("IAM user guide, reference_policies_condition-keys: of a session, aws:PrincipalArn is the ARN of its role")
def _name_the_role_of_a_session() -> None:
    """ministack gives the ARN of the session. Of a role with a path, which that has not, it stays without."""
    from ministack.core import iam_evaluator

    inner = iam_evaluator._resolve_condition_key

    def resolve(key: str, context: Any) -> Any:
        value = inner(key, context)
        if key.lower() != "aws:principalarn":
            return value
        return re.sub(r"^arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.*", r"arn:\1:iam::\2:role/\3", str(value))

    iam_evaluator._resolve_condition_key = resolve


@assumed("clients ask AWS over TLS: that this cloud is asked without is its own affair, and none of policies")
def _take_every_request_for_one_over_tls() -> None:
    from ministack.core import iam_evaluator

    inner = iam_evaluator._resolve_condition_key

    def resolve(key: str, context: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else inner(key, context)

    iam_evaluator._resolve_condition_key = resolve


@documented("EC2 API reference, IpPermission: PrefixListIds")
def _keep_prefix_lists_of_rules() -> None:
    """ministack reads the addresses and groups of a security group's rules, and drops their prefix lists."""
    from ministack.services import ec2

    inner = ec2._parse_ip_permissions

    def parse(params: dict[str, list[str]], prefix: str) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = inner(params, prefix)
        for number, rule in enumerate(rules, 1):
            for key, values in sorted(params.items()):
                if key.startswith(f"{prefix}.{number}.PrefixListIds.") and key.endswith(".PrefixListId"):
                    rule["PrefixListIds"].append({"PrefixListId": values[0]})
        return rules

    ec2._parse_ip_permissions = parse


@documented("Systems Manager user guide, sysman-paramstore-access")
def parameter_arn(name: str, region: str, account: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"


@documented("CloudWatch Logs user guide, iam-access-control-overview-cwl: the ARN of a log group ends in :*")
def _log_resource(arn: str, target: str, request: dict[str, Any]) -> str:
    """A call about a log group or stream is about `log-group:NAME:log-stream:STREAM`; a policy on :* covers it."""
    if ":log-group:" not in arn or target.endswith(("TagResource", "UntagResource", "TagsForResource")):
        return arn
    return f"{arn.removesuffix(':*')}:log-stream:{request.get('logStreamName', '')}"
