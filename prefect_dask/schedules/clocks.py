"""Clocks: rules that give the moments of a schedule, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import count
from typing import Any

from prefect_dask.documents import plain
from prefect_dask.engine import clock
from prefect_dask.schedules.cron import check_cron, wall_times
from prefect_dask.schedules.errors import (
    MissingScheduleLibrary,
    WrongSchedule,
    WrongScheduleType,
)
from prefect_dask.schedules.local_time import (
    UTC,
    moment_of,
    name_of_zone,
    to_utc,
    wall_of,
    zone_of,
)

#: Where an IntervalClock without start begins to count, so that the same code gives the same moments every day.
FIRST_START = datetime(2019, 1, 1, tzinfo=UTC)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClockEvent:
    """One event of a clock: a moment, and what the run at that moment gets.

    Events are in order when their moments are.

    Args:
        start_time: The moment, kept as an aware UTC datetime.
        parameter_defaults: Values of parameters for that run.
        labels: Words for that run.
        zone: Whose clocks filters and adjustments look at; that of `start_time` when not given.
    """

    start_time: datetime
    parameter_defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    labels: tuple[str, ...] = ()
    zone: tzinfo | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.zone is None:
            object.__setattr__(self, "zone", zone_of(self.start_time))
        if self.start_time.tzinfo is not UTC:
            object.__setattr__(self, "start_time", to_utc(self.start_time))

    def __lt__(self, other: ClockEvent) -> bool:
        return self.start_time < other.start_time

    @property
    def local_time(self) -> datetime:
        """The moment as the clocks of its zone show it."""
        return self.start_time.astimezone(self.zone)


class Clock:
    """Gives events; the kinds of clocks say when.

    Args:
        start_date: No event is before it; the clock follows its time zone. Without a zone it means UTC.
        end_date: No event is after it.
        parameter_defaults: Values of parameters for the runs at this clock's events.
        labels: Words for these runs.
    """

    def __init__(
        self,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        what = type(self).__name__
        if isinstance(labels, str):
            raise WrongScheduleType(what, f"labels are a list of words, got {labels!r}")
        for name, moment in (("start_date", start_date), ("end_date", end_date)):
            if moment is not None and not isinstance(moment, datetime):
                raise WrongScheduleType(what, f"{name} is a datetime, got {moment!r}")
        if (
            start_date is not None
            and end_date is not None
            and to_utc(end_date) < to_utc(start_date)
        ):
            raise WrongSchedule(what, f"it ends ({end_date}) before it starts ({start_date})")
        self.start_date, self.end_date = start_date, end_date
        self.parameter_defaults = dict(parameter_defaults or {})
        self.labels = tuple(labels or ())
        self.zone = zone_of(start_date)

    def events(self, after: datetime | None = None) -> Iterator[ClockEvent]:
        """The events after a moment, in order and without end, unless the clock has one.

        Args:
            after: Now when not given; without a zone it means UTC.
        """
        after = clock.utc_now() if after is None else to_utc(after)
        start = None if self.start_date is None else to_utc(self.start_date)
        end = None if self.end_date is None else to_utc(self.end_date)
        last = after
        moments = self._moments(after if start is None else max(after, start))
        while True:
            try:
                moment = next(moments)
            except (StopIteration, OverflowError):  # the latter in the year 9999
                return
            if moment <= last or (start is not None and moment < start):
                continue
            if end is not None and moment > end:
                return
            last = moment
            yield self._event(moment)

    def serialize(self) -> dict[str, Any]:
        """The clock as plain JSON data."""
        return {
            "type": type(self).__name__,
            "start_date": _as_text(self.start_date),
            "end_date": _as_text(self.end_date),
            "timezone": name_of_zone(self.zone),
            "parameter_defaults": plain(self.parameter_defaults),
            "labels": list(self.labels),
        }

    def _moments(self, after: datetime) -> Iterator[datetime]:
        """UTC moments in order, from `after` or somewhat before it; some may come twice."""
        raise NotImplementedError(f"{type(self).__name__} does not say when")

    def _event(self, moment: datetime) -> ClockEvent:
        return ClockEvent(moment, self.parameter_defaults, self.labels, self.zone)


class IntervalClock(Clock):
    """An event at the start, and each time an interval has gone by.

    An interval of a day or more follows the clocks of the start's time zone: each day at nine is at nine in summer
    and in winter. A shorter one is the same time, whatever the clocks do.

    Args:
        interval: Above 0.
        start_date: The first event; the beginning of 2019, UTC, when not given, so that an hourly clock strikes on
            the hour.
        end_date: No event is after it.
        parameter_defaults: Values of parameters for the runs at this clock's events.
        labels: Words for these runs.

    Raises:
        WrongSchedule: The interval is not above 0, or the end is before the start.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> start = datetime(2024, 3, 30, 9, tzinfo=ZoneInfo("Europe/Berlin"))
        >>> daily = IntervalClock(timedelta(days=1), start).events(after=start)
        >>> [str(next(daily).local_time) for _ in range(2)]
        ['2024-03-31 09:00:00+02:00', '2024-04-01 09:00:00+02:00']
    """

    def __init__(
        self,
        interval: timedelta,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(interval, timedelta):
            raise WrongScheduleType("IntervalClock", f"interval is a timedelta, got {interval!r}")
        if interval <= timedelta(0):
            raise WrongSchedule("IntervalClock", f"interval must be above 0, got {interval}")
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.interval = interval

    def _moments(self, after: datetime) -> Iterator[datetime]:
        first = to_utc(self.start_date or FIRST_START)
        if self.interval < DAY:
            passed = max(0, (after - first) // self.interval)
            return (first + number * self.interval for number in count(passed))
        return self._wall_moments(first, after)

    def _wall_moments(self, first: datetime, after: datetime) -> Iterator[datetime]:
        first_wall = wall_of(first, self.zone)
        passed = max(0, (wall_of(after, self.zone) - first_wall) // self.interval)
        if passed == 0:
            # As it was given, should the clocks show that time twice.
            yield first
        for number in count(max(1, passed)):
            yield moment_of(first_wall + number * self.interval, self.zone)

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "interval_seconds": self.interval.total_seconds()}

    def __repr__(self) -> str:
        return f"<IntervalClock: {self.interval}>"


class CronClock(Clock):
    """An event whenever the clocks show what a line of cron text says.

    Each local time is one event: what the clocks skip in spring happens when they are put forward, and what they
    show twice in autumn happens the first time.

    Args:
        cron: Minute, hour, day of the month, month and day of the week, such as "0 9 * * MON-FRI"; or "@daily" and
            the like.
        start_date: No event is before it; the clock follows its time zone.
        end_date: No event is after it.
        parameter_defaults: Values of parameters for the runs at this clock's events.
        labels: Words for these runs.
        day_or: Where both days are told, whether one of them suffices, as cron has it, or both must be.

    Raises:
        WrongCron: The text does not parse; the error, a ValueError, says at which character.
        MissingScheduleLibrary: cronsim is not installed; it comes with the extra `schedules`.
    """

    def __init__(
        self,
        cron: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
        day_or: bool = True,
    ) -> None:
        check_cron(cron)
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.cron, self.day_or = cron, day_or

    def _moments(self, after: datetime) -> Iterator[datetime]:
        # A second before, so that a start that is an event is one.
        wall = wall_of(after - timedelta(seconds=1), self.zone)
        return (
            moment_of(each, self.zone) for each in wall_times(self.cron, wall, day_or=self.day_or)
        )

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "cron": self.cron, "day_or": self.day_or}

    def __repr__(self) -> str:
        return f"<CronClock: {self.cron}>"


class DatesClock(Clock):
    """An event at each moment of a list.

    Args:
        dates: At least one; each has its own time zone, and without one means UTC.
        parameter_defaults: Values of parameters for the runs at this clock's events.
        labels: Words for these runs.
    """

    def __init__(
        self,
        dates: Iterable[datetime],
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        self.dates = sorted(dates, key=to_utc)
        if not self.dates:
            raise WrongSchedule("DatesClock", "it needs at least one date")
        super().__init__(self.dates[0], self.dates[-1], parameter_defaults, labels)
        self._zones = {to_utc(date): zone_of(date) for date in self.dates}

    def _moments(self, after: datetime) -> Iterator[datetime]:
        return (to_utc(date) for date in self.dates)

    def _event(self, moment: datetime) -> ClockEvent:
        return ClockEvent(moment, self.parameter_defaults, self.labels, self._zones[moment])

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "dates": [date.isoformat() for date in self.dates]}

    def __repr__(self) -> str:
        return f"<DatesClock: {len(self.dates)} dates>"


class RRuleClock(Clock):
    """An event at each date of a recurrence rule, which follows the clocks of its time zone.

    Args:
        rrule_obj: A `dateutil.rrule.rrule` or `rruleset`, or its text as RFC 5545 has it. Where its own start
            has no time zone it follows that of `start_date`, else UTC. Give it a start: without, it counts
            from when it was made.
        start_date: No event is before it.
        end_date: No event is after it.
        parameter_defaults: Values of parameters for the runs at this clock's events.
        labels: Words for these runs.

    Raises:
        WrongSchedule: The text is no rule.
        MissingScheduleLibrary: python-dateutil is not installed; it comes with the extra `schedules`.
    """

    def __init__(
        self,
        rrule_obj: Any,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__(start_date, end_date, parameter_defaults, labels)
        if isinstance(rrule_obj, str):
            rrule_obj = _rule_of(rrule_obj)
        if not hasattr(rrule_obj, "xafter"):
            raise WrongScheduleType(
                "RRuleClock", f"a dateutil rrule, rruleset or its text is wanted, got {rrule_obj!r}"
            )
        self.rrule_obj = rrule_obj
        first = next(iter(rrule_obj), None)
        self._rule_zone = None if first is None else first.tzinfo
        if self._rule_zone is not None:
            self.zone = zone_of(first)

    def _moments(self, after: datetime) -> Iterator[datetime]:
        # A day before, because dateutil reckons in wall times, and in a zone's own way.
        wall = wall_of(after - DAY, self.zone).replace(tzinfo=self._rule_zone)
        for found in self.rrule_obj.xafter(wall, inc=True):
            yield moment_of(found.replace(tzinfo=None, fold=0), self.zone)

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "rrule": str(self.rrule_obj)}

    def __repr__(self) -> str:
        return f"<RRuleClock: {type(self.rrule_obj).__name__}>"


def _rule_of(text: str) -> Any:
    try:
        from dateutil.rrule import rrulestr
    except ImportError as exc:
        raise MissingScheduleLibrary("RRuleClock", "python-dateutil") from exc
    try:
        return rrulestr(text)
    except ValueError as exc:
        raise WrongSchedule("RRuleClock", f"{text!r} is no recurrence rule: {exc}") from exc


def _as_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
