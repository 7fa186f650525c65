"""CloudWatch Logs: ministack's, with metrics in embedded metric format taken out of the lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from loopback import pass_role
from loopback.aws import delivery
from loopback.fidelity import assumed, documented

NAME = "logs"
Json = dict[str, Any]


def before(_method: str, _path: str, headers: dict[str, str], body: bytes) -> None:
    if pass_role.operation(headers) != "PutLogEvents" or b"_aws" not in body:
        return
    for event in json.loads(body).get("logEvents", []):
        for namespace, name, value, unit, dimensions in _metrics(event["message"]):
            delivery.record_metric(namespace, name, value, unit, dimensions)


@documented("CloudWatch user guide, CloudWatch_Embedded_Metric_Format_Specification")
@assumed("a malformed line is a line like any other, and the time of a metric is when its line comes")
def _metrics(message: str) -> Iterator[tuple[str, str, float, str, dict[str, str]]]:
    try:
        document = json.loads(message)
        directives = document["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return
    for directive in directives:
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document.get(name, "")) for name in names}
            for metric in directive.get("Metrics", []):
                given = document.get(metric["Name"], [])
                for value in given if isinstance(given, list) else [given]:
                    yield directive["Namespace"], metric["Name"], float(value), metric.get("Unit", "None"), dimensions
