"""Which schedule expressions are refused before EventBridge Scheduler is asked."""

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.schedules import schedule_problem


@pytest.mark.parametrize(
    "text",
    [
        "rate(1 day)",
        "rate(15 minutes)",
        "cron(0 9 ? * * *)",
        "cron(0/15 8-17 ? * MON-FRI *)",
        "cron(0 0 1,15 * ? *)",
        "cron(0 10 L * ? *)",
        "cron(0 10 L-2 * ? 2026-2030)",
        "cron(0 10 15W JAN,JUL ? *)",
        "cron(0 10 ? * 6#3 *)",
        "cron(0 10 ? * FRI#1 *)",
        "cron(*/5 * ? * 5L *)",
        "at(2030-01-31T09:00:00)",
    ],
)
def test_what_scheduler_takes(text: str) -> None:
    assert schedule_problem(text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("daily", "must be rate(1 day)"),
        ("rate(1 days)", "with minute, hour or day for 1"),
        ("rate(2 day)", "with their plural else"),
        ("rate(0 days)", "at least 1"),
        ("cron(0 9 * * *)", "six fields"),
        ("cron(0 9 * * * *)", "needs a ?"),
        ("cron(0 9 ? * ? *)", "needs a ?"),
        ("cron(60 9 ? * * *)", "'60' is no minute"),
        ("cron(0 24 ? * * *)", "'24' is no hour"),
        ("cron(0 9 ? * MOON *)", "'MOON' is no day of week"),
        ("cron(0 9 ? 13 * *)", "'13' is no month"),
        ("cron(0 9/0 ? * * *)", "'9/0' is no hour"),
        ("at(2030-02-31T09:00:00)", "at() has a moment"),
        ("at(tomorrow)", "at() has a moment"),
        (None, "must be a text"),
        ("rate(5 minutes) ", "must be rate(1 day)"),
    ],
)
def test_what_it_does_not(text: object, said: str) -> None:
    assert said in schedule_problem(text)
