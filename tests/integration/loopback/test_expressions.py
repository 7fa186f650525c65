"""When schedules run, by table."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from loopback.expressions import BadExpression, parse

START = datetime(2024, 3, 13, 10, 30, tzinfo=timezone.utc)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("cron(0 9 * * ? *)", "UTC", "2024-03-14T09:00"),
        ("cron(0 9 * * ? *)", "America/New_York", "2024-03-13T13:00"),
        ("cron(0/15 * * * ? *)", "UTC", "2024-03-13T10:45"),
        ("cron(30 10 * * ? *)", "UTC", "2024-03-14T10:30"),
        ("cron(0 12 ? * MON-FRI *)", "UTC", "2024-03-13T12:00"),
        ("cron(0 12 ? * 1 *)", "UTC", "2024-03-17T12:00"),
        ("cron(0 12 ? * SAT,SUN *)", "UTC", "2024-03-16T12:00"),
        ("cron(0 12 ? * 2#1 *)", "UTC", "2024-04-01T12:00"),
        ("cron(0 12 ? * 6L *)", "UTC", "2024-03-29T12:00"),
        ("cron(0 12 L * ? *)", "UTC", "2024-03-31T12:00"),
        ("cron(0 12 16W * ? *)", "UTC", "2024-03-15T12:00"),
        ("cron(0 12 LW 3 ? *)", "UTC", "2024-03-29T12:00"),
        ("cron(0 0 29 FEB ? *)", "UTC", "2028-02-29T00:00"),
        ("cron(0 0 1 1 ? 2030)", "UTC", "2030-01-01T00:00"),
        ("cron(30 2 31 MAR ? *)", "Europe/Berlin", "2025-03-31T00:30"),  # in 2024 that hour is skipped
        ("cron(30 2 27 OCT ? *)", "Europe/Berlin", "2024-10-27T00:30"),  # that hour comes twice: once is enough
        ("cron(0 0 1 1 ? 2020)", "UTC", None),
        ("at(2024-03-13T11:00:00)", "UTC", "2024-03-13T11:00"),
        ("at(2024-03-13T11:45:00)", "Europe/Berlin", "2024-03-13T10:45"),
        ("at(2024-03-13T10:00:00)", "UTC", None),
    ],
)
def test_the_next_time(text: str, zone: str, expected: str | None) -> None:
    moment = parse(text, zone).after(START.timestamp())
    found = None if moment is None else datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M")
    assert found == expected


def test_a_time_that_comes_twice_is_used_once() -> None:
    cron = parse("cron(30 2 27 OCT ? 2024)", "Europe/Berlin")
    first = cron.after(START.timestamp())
    assert first is not None
    assert cron.after(first) is None


def test_a_rate_counts_from_its_start() -> None:
    rate = parse("rate(15 minutes)", created=1000.0)
    assert [rate.after(moment) for moment in (0.0, 999.9, 1000.0, 1899.9, 1900.0)] == [1000, 1000, 1900, 1900, 2800]


@pytest.mark.parametrize(
    "text",
    [
        *("", "daily", "rate(5)", "rate(0 hours)", "rate(-1 hours)", "rate(1 week)", "cron(* * * * *)"),
        *("cron(* * * * * *)", "cron(* * ? * ? *)", "cron(60 * * * ? *)", "cron(* 24 * * ? *)", "cron(* * 32 * ? *)"),
        *("cron(* * * 13 ? *)", "cron(* * ? * 8 *)", "cron(* * ? * MOON *)", "cron(* * * * ? 1492)"),
        *("cron(5-1 * * * ? *)", "cron(*/0 * * * ? *)", "at(2024-13-01T00:00:00)", "at(tomorrow)"),
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        parse(text)
