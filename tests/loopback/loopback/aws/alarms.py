"""Metric alarms on the cloud's clock. ministack's take no notice of dimensions, of missing data, or of M out of N."""

from __future__ import annotations

import operator
from typing import Any

from loopback import aws
from loopback.clock import clock
from loopback.fidelity import assumed, documented

Json = dict[str, Any]
_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def install() -> None:
    from ministack.services import cloudwatch

    cloudwatch._evaluate_alarm = evaluate


def evaluate_all() -> None:
    from ministack.services import cloudwatch

    for (account, region, _name), alarm in list(cloudwatch._alarms._data.items()):
        aws.act_in(account, region)
        evaluate(alarm)


def evaluate(alarm: Json) -> None:
    """Give the alarm the state that its metric asks for; its actions follow a change."""
    from ministack.services import cloudwatch

    if not alarm.get("MetricName") or alarm["ComparisonOperator"] not in _COMPARISONS:
        return
    new, reason = _state(alarm)
    old = alarm["StateValue"]
    if new in (None, old):
        return
    alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(clock.now()))
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


@documented("CloudWatch user guide, alarm-evaluation: M out of N datapoints, treatment of missing data")
@assumed("periods are counted back from now, and datapoints beyond the evaluation range are not looked for")
def _state(alarm: Json) -> tuple[str | None, str]:
    """The state, None for the one that it is in, and why."""
    values = _values(alarm)
    treatment = alarm.get("TreatMissingData") or "missing"
    known = [value for value in values if value is not None]
    if not known and treatment == "ignore":
        return None, ""
    if not known and treatment == "missing":
        return "INSUFFICIENT_DATA", f"Insufficient Data: {len(values)} datapoints were unknown."
    compare, threshold = _COMPARISONS[alarm["ComparisonOperator"]], alarm["Threshold"]
    breaching = sum(compare(value, threshold) for value in known)
    if treatment == "breaching":
        breaching += len(values) - len(known)
    alarmed = breaching >= (alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])
    shown = ", ".join("missing" if value is None else f"{value:g}" for value in values)
    crossed = f"{breaching} out of the last {len(values)} datapoints [{shown}] were breaching"
    return "ALARM" if alarmed else "OK", f"Threshold Crossed: {crossed} ({alarm['ComparisonOperator']} {threshold:g})."


def _values(alarm: Json) -> list[float | None]:
    """The statistic in each period, the latest first; None where there are no data."""
    from ministack.services import cloudwatch

    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions)) or []
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    now, period = clock.now(), alarm["Period"]
    found: list[float | None] = []
    for number in range(alarm["EvaluationPeriods"]):
        end = now - number * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        stats = cloudwatch._calc_stats(inside)
        found.append(cloudwatch._stat_value(stats, statistic, inside) if stats else None)
    return found
