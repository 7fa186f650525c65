# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions of Amazon EventBridge Scheduler, checked as far as can be without asking it. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from datetime import datetime

_RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_AT = re.compile(r"at\(([^()]*)\)")
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT"
_FIELDS = (
    ("minute", 0, 59, "", ""),
    ("hour", 0, 23, "", ""),
    ("day of month", 1, 31, "", "?LW"),
    ("month", 1, 12, _MONTHS, ""),
    ("day of week", 1, 7, _DAYS, "?L#"),
    ("year", 1970, 2199, "", ""),
)


def schedule_problem(text: object) -> str:
    """What is wrong with it, or nothing."""
    if not isinstance(text, str):
        return f"must be a text such as rate(1 day), not {text!r}"
    rate, cron, at = _RATE.fullmatch(text), _CRON.fullmatch(text), _AT.fullmatch(text)
    if rate:
        return _rate_problem(int(rate.group(1)), plural=bool(rate.group(3)))
    if cron:
        return _cron_problem(cron.group(1).split())
    if at:
        return _at_problem(at.group(1))
    return f"must be rate(1 day), cron(0 9 ? * * *) or at(2030-01-31T09:00:00), or alike, not {text!r}"


def _rate_problem(count: int, *, plural: bool) -> str:
    if count == 0:
        return "a rate must be at least 1"
    return (
        "" if plural == (count != 1) else "a rate is written with minute, hour or day for 1, and with their plural else"
    )


def _cron_problem(fields: list[str]) -> str:
    if len(fields) != len(_FIELDS):
        return f"cron() has six fields, of minute, hour, day of month, month, day of week and year, not {len(fields)}"
    for value, (name, low, high, names, signs) in zip(fields, _FIELDS, strict=True):
        if not all(_part_is_fine(part, low, high, names, signs) for part in value.split(",")):
            return f"{value!r} is no {name} of cron()"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "cron() needs a ? for one of day of month and day of week, and for one alone"
    return ""


def _part_is_fine(part: str, low: int, high: int, names: str, signs: str) -> bool:
    if part == "*" or (part == "?" and "?" in signs):
        return True
    if "L" in signs and re.fullmatch(r"L|L-\d{1,2}|[1-7]L", part):
        return True
    if "W" in signs and re.fullmatch(r"\d{1,2}W|LW", part):
        return True
    value = rf"\d{{1,4}}|{names}" if names else r"\d{1,4}"
    if "#" in signs and re.fullmatch(rf"({value})#[1-5]", part):
        return True
    found = re.fullmatch(rf"(?:(\*)|({value})(?:-({value}))?)(?:/(\d{{1,4}}))?", part)
    numbers = [int(one) for one in found.groups()[1:3] if one and one.isdigit()] if found else []
    return found is not None and all(low <= number <= high for number in numbers) and found.group(4) != "0"


def _at_problem(moment: str) -> str:
    try:
        datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return f"at() has a moment such as 2030-01-31T09:00:00, not {moment!r}"
    return ""
