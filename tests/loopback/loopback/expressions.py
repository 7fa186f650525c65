"""When schedules run: at(), rate() and cron(), in a time zone."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from loopback.fidelity import assumed, documented

_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_YEARS = (1970, 2199)
_HORIZON = 30  # years that a cron expression is searched ahead


class BadExpression(ValueError):
    """No expression that AWS takes."""


@dataclass(frozen=True)
class Once:
    moment: float

    def after(self, moment: float) -> float | None:
        return self.moment if self.moment > moment else None


@dataclass(frozen=True)
class Rate:
    seconds: int
    start: float  # the first time

    def after(self, moment: float) -> float | None:
        if moment < self.start:
            return self.start
        return self.start + (int((moment - self.start) // self.seconds) + 1) * self.seconds


@dataclass(frozen=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    day_of_month: str
    months: frozenset[int]
    day_of_week: str
    years: frozenset[int]
    zone: ZoneInfo

    @documented("EventBridge Scheduler user guide, schedule-types: daylight saving skips times, and repeats none")
    def after(self, moment: float) -> float | None:
        now = datetime.fromtimestamp(moment, self.zone)
        for day in self._days(now):
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                    stamp = local.timestamp()
                    exists = datetime.fromtimestamp(stamp, self.zone).replace(tzinfo=None) == local.replace(tzinfo=None)
                    if exists and stamp > moment:
                        return stamp
        return None

    def _days(self, start: datetime) -> Iterator[datetime]:
        day = datetime(start.year, start.month, start.day, tzinfo=timezone.utc)
        end = day.replace(year=day.year + _HORIZON, day=1)
        while day < end:
            if day.year in self.years and day.month in self.months and self._runs_on(day):
                yield day
            day += timedelta(days=1)

    def _runs_on(self, day: datetime) -> bool:
        if self.day_of_week == "?":
            return _is_day_of_month(day, self.day_of_month)
        return _is_day_of_week(day, self.day_of_week)


Expression = Once | Rate | Cron


@documented("EventBridge Scheduler user guide, schedule-types")
def parse(text: str, zone_name: str = "UTC", created: float = 0.0) -> Expression:
    """`created` is when a rate begins to count."""
    zone = time_zone(zone_name)
    match = re.fullmatch(r"(at|rate|cron)\((.*)\)", text)
    if match is None:
        raise BadExpression(text)
    kind, inner = match.groups()
    if kind == "at":
        return Once(_moment(inner, zone))
    return _rate(inner, created) if kind == "rate" else _cron(inner, zone)


def time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise BadExpression(name) from error


def _moment(text: str, zone: ZoneInfo) -> float:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        raise BadExpression(text)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except ValueError as error:
        raise BadExpression(text) from error


def _rate(text: str, created: float) -> Rate:
    match = re.fullmatch(r"(\d+) (minute|hour|day)s?", text)
    if match is None or int(match[1]) == 0:
        raise BadExpression(text)
    return Rate(int(match[1]) * _UNITS[match[2]], created)


def _cron(text: str, zone: ZoneInfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise BadExpression(text)
    minutes, hours, day_of_month, months, day_of_week, years = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise BadExpression(text)
    cron = Cron(
        _numbers(minutes, 0, 59),
        _numbers(hours, 0, 23),
        day_of_month,
        _numbers(months, 1, 12, _MONTHS),
        day_of_week,
        _numbers(years, *_YEARS),
        zone,
    )
    cron._runs_on(datetime(2024, 1, 1, tzinfo=timezone.utc))  # refuses days that cannot be read
    return cron


def _numbers(text: str, low: int, high: int, names: dict[str, int] | None = None) -> frozenset[int]:
    """The numbers that one field of a cron expression stands for."""
    found: set[int] = set()
    for part in text.split(","):
        whole, _slash, step = part.partition("/")
        first, dash, last = whole.partition("-")
        if whole == "*":
            start, end = low, high
        else:
            start = _number(first, names)
            end = _number(last, names) if dash else (high if step else start)
        if not low <= start <= end <= high or (_slash and (not step.isdigit() or int(step) == 0)):
            raise BadExpression(text)
        found.update(range(start, end + 1, int(step) if step else 1))
    return frozenset(found)


def _number(text: str, names: dict[str, int] | None) -> int:
    number = (names or {}).get(text.upper())
    if number is None and not text.isdigit():
        raise BadExpression(text)
    return int(text) if number is None else number


@assumed("of the days near a weekday (15W) only those of the same month count")
def _is_day_of_month(day: datetime, field: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if field == "L":
        return day.day == last
    if field.endswith("W"):
        wanted = last if field == "LW" else _number(field[:-1], None)
        return day.day == _nearest_weekday(day, min(wanted, last), last)
    return day.day in _numbers(field, 1, 31)


def _nearest_weekday(day: datetime, wanted: int, last: int) -> int:
    weekday = day.replace(day=wanted).weekday()
    if weekday == calendar.SATURDAY:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == calendar.SUNDAY:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _is_day_of_week(day: datetime, field: str) -> bool:
    number = day.isoweekday() % 7 + 1  # Sunday is 1
    if field.upper() == "L":
        return number == _DAYS["SAT"]
    if field.upper().endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return number == _number(field[:-1], _DAYS) and day.day > last - 7
    name, hash_sign, which = field.partition("#")
    if hash_sign:
        if not which.isdigit():
            raise BadExpression(field)
        return number == _number(name, _DAYS) and (day.day - 1) // 7 + 1 == int(which)
    return number in _numbers(field, 1, 7, _DAYS)
