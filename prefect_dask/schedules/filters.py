"""Filters: which events of a clock count.

A filter is a function that is given the local time of an event, in the zone of its clock, and answers whether it
counts; any function of yours will do. Times and dates are those of that zone, ends are included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from prefect_dask.documents import name_of, plain
from prefect_dask.schedules.errors import WrongSchedule
from prefect_dask.schedules.local_time import to_utc

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Filter:
    """A filter that can say what it is.

    Args:
        name: The function that makes it.
        settings: What that function was given.
        passes: Called with the local time and the settings.
        first: Nothing before it passes.
        last: Nothing after it passes.
    """

    name: str
    settings: Mapping[str, Any]
    passes: Callable[..., bool]
    first: datetime | None = None
    last: datetime | None = None

    def __call__(self, moment: datetime) -> bool:
        return self.passes(moment, **self.settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.name}({settings})"


def serialize_filter(function: Any) -> dict[str, Any]:
    """A filter or adjustment as plain JSON data; a function by its name.

    >>> serialize_filter(at_time(time(9)))
    {'name': 'at_time', 'time': '09:00:00'}
    """
    if not hasattr(function, "settings"):
        return {"name": name_of(function) if hasattr(function, "__qualname__") else repr(function)}
    settings = {
        name: value.isoformat() if isinstance(value, date | time) else plain(value)
        for name, value in function.settings.items()
    }
    return {"name": function.name, **settings}


def on_datetime(dt: datetime) -> Filter:
    """Only this moment; without a time zone it means UTC."""
    return Filter("on_datetime", {"start": dt, "end": dt}, _is_between, to_utc(dt), to_utc(dt))


def between_datetimes(start: datetime, end: datetime) -> Filter:
    """Only from one moment to another; without a time zone they mean UTC.

    Raises:
        WrongSchedule: The end is before the start.
    """
    if to_utc(end) < to_utc(start):
        raise WrongSchedule("between_datetimes", f"it ends ({end}) before it starts ({start})")
    settings = {"start": start, "end": end}
    return Filter("between_datetimes", settings, _is_between, to_utc(start), to_utc(end))


def on_date(month: int, day: int) -> Filter:
    """Only on one day of each year.

    >>> on_date(12, 24)(datetime(2024, 12, 24, 18))
    True
    """
    _check_day("on_date", month, day)
    return Filter("on_date", {"month": month, "day": day}, _is_on_date)


def between_dates(start_month: int, start_day: int, end_month: int, end_day: int) -> Filter:
    """Only from one day to another of each year, over the new year where the end comes first.

    >>> winter = between_dates(12, 21, 3, 20)
    >>> winter(datetime(2024, 1, 6)), winter(datetime(2024, 7, 1))
    (True, False)
    """
    _check_day("between_dates", start_month, start_day)
    _check_day("between_dates", end_month, end_day)
    settings = {
        "start_month": start_month,
        "start_day": start_day,
        "end_month": end_month,
        "end_day": end_day,
    }
    return Filter("between_dates", settings, _is_between_dates)


def at_time(t: time) -> Filter:
    """Only at one time of the day.

    >>> at_time(time(9))(datetime(2024, 5, 1, 9))
    True
    """
    return Filter("at_time", {"time": t}, _is_at_time)


def between_times(start: time, end: time) -> Filter:
    """Only from one time of the day to another, over midnight where the end comes first.

    >>> night = between_times(time(22), time(6))
    >>> night(datetime(2024, 5, 1, 23)), night(datetime(2024, 5, 1, 12))
    (True, False)
    """
    return Filter("between_times", {"start": start, "end": end}, _is_between_times)


def is_day_of_week(day_of_week: int | str) -> Filter:
    """Only on one day of the week.

    Args:
        day_of_week: Its name, or its number as Python counts: 0 is Monday, 6 is Sunday.

    Example:
        >>> is_day_of_week("sunday")(datetime(2024, 5, 5))
        True
    """
    name = str(day_of_week).lower()
    day = DAYS.index(name) if name in DAYS else day_of_week
    if day not in range(7):
        raise WrongSchedule(
            "is_day_of_week", f"0 (Monday) to 6 (Sunday) or a name is wanted, got {day_of_week!r}"
        )
    return Filter("is_day_of_week", {"day_of_week": day}, _is_on_day_of_week)


def is_weekday(dt: datetime) -> bool:
    """Only from Monday to Friday."""
    return dt.weekday() < 5


def is_weekend(dt: datetime) -> bool:
    """Only on Saturday and Sunday."""
    return dt.weekday() >= 5


def is_month_start(dt: datetime) -> bool:
    """Only on the first day of a month."""
    return dt.day == 1


def is_month_end(dt: datetime) -> bool:
    """Only on the last day of a month.

    >>> is_month_end(datetime(2024, 2, 29)), is_month_end(datetime(2024, 12, 30))
    (True, False)
    """
    return (dt.date() + timedelta(days=1)).day == 1


def _check_day(name: str, month: int, day: int) -> None:
    try:
        date(2024, month, day)  # a leap year
    except (ValueError, TypeError) as exc:
        raise WrongSchedule(name, f"no year has a day {day!r} of month {month!r}") from exc


def _is_between(moment: datetime, start: datetime, end: datetime) -> bool:
    return to_utc(start) <= to_utc(moment) <= to_utc(end)


def _is_on_date(moment: datetime, month: int, day: int) -> bool:
    return (moment.month, moment.day) == (month, day)


def _is_between_dates(
    moment: datetime, start_month: int, start_day: int, end_month: int, end_day: int
) -> bool:
    return _is_in_circle((moment.month, moment.day), (start_month, start_day), (end_month, end_day))


def _is_at_time(moment: datetime, time: time) -> bool:
    return moment.time() == time


def _is_between_times(moment: datetime, start: time, end: time) -> bool:
    return _is_in_circle(moment.time(), start, end)


def _is_on_day_of_week(moment: datetime, day_of_week: int) -> bool:
    return moment.weekday() == day_of_week


def _is_in_circle(value: Any, start: Any, end: Any) -> bool:
    """Whether a value lies between two on a circle, such as the hours of the day."""
    return bool(start <= value <= end if start <= end else value >= start or value <= end)
