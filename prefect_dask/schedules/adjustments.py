"""Adjustments: move the events that counted.

An adjustment is a function that is given the local time of an event, in the zone of its clock, and returns another;
any function of yours will do, as long as it moves forward or keeps the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prefect_dask.schedules.errors import WrongScheduleType
from prefect_dask.schedules.local_time import UTC

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Adjustment:
    """An adjustment that can say what it is and how far it moves an event.

    Args:
        name: The function that makes it.
        settings: What that function was given.
        moves: Called with the local time and the settings; returns the new time.
        least: It moves no event by less.
        most: It moves no event by more.
    """

    name: str
    moves: Callable[..., datetime]
    settings: Mapping[str, Any] = field(default_factory=dict)
    least: timedelta = timedelta(0)
    most: timedelta = timedelta(0)

    def __call__(self, moment: datetime) -> datetime:
        return self.moves(moment, **self.settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.name}({settings})" if settings else self.name


def add(interval: timedelta) -> Adjustment:
    """Move each event by an interval; whole days follow the clock on the wall.

    >>> add(timedelta(hours=2))(datetime(2024, 5, 1, 9, tzinfo=UTC)).isoformat()
    '2024-05-01T11:00:00+00:00'
    """
    if not isinstance(interval, timedelta):
        raise WrongScheduleType("add", f"a timedelta is wanted, got {interval!r}")
    # A day more each way: so far a zone has moved its clocks at most.
    slack = DAY if interval % DAY == timedelta(0) else timedelta(0)
    return Adjustment("add", _add, {"interval": interval}, interval - slack, interval + slack)


def _add(moment: datetime, interval: timedelta) -> datetime:
    if interval % DAY == timedelta(0):
        return moment + interval
    return (moment.astimezone(UTC) + interval).astimezone(moment.tzinfo)


def _to_weekday(moment: datetime) -> datetime:
    return moment + timedelta(days=max(0, 7 - moment.weekday()) if moment.weekday() >= 5 else 0)


#: Moves what falls on Saturday or Sunday to Monday, at the same time of the day.
next_weekday = Adjustment("next_weekday", _to_weekday, most=3 * DAY)
