"""Schedule: the events of clocks that pass the filters, moved by the adjustments, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import Any, Literal, overload

from prefect_dask.engine import clock
from prefect_dask.engine.logs import get_logger
from prefect_dask.schedules.clocks import Clock, ClockEvent, CronClock, IntervalClock, RRuleClock
from prefect_dask.schedules.errors import WrongSchedule, WrongScheduleType
from prefect_dask.schedules.filters import serialize_filter
from prefect_dask.schedules.local_time import moment_of, to_utc

#: How many events of a clock, one after the other, are looked at before a search for one that passes is given up,
#: some seconds of work: more than a year of minutes, six days of seconds.
MOST_MISSES = 550_000
#: How long a time is searched for an event that passes; dates that fall on a certain weekday come within 40 years.
LONGEST_SEARCH = timedelta(days=100 * 366)

EventFilter = Callable[[datetime], bool]
EventAdjustment = Callable[[datetime], datetime]


class Schedule:
    """When a flow runs.

    An event of a clock counts when all `filters` pass it, at least one of the `or_filters` does where there are
    any, and none of the `not_filters` does. What counts is moved by the adjustments. The same event of two clocks
    is one; events at one moment with other parameters or labels are several.

    Args:
        clocks: At least one.
        filters: All must pass.
        or_filters: One must pass.
        not_filters: None may pass.
        adjustments: Move an event, one after the other.

    Raises:
        WrongSchedule: There is no clock.

    Example:
        >>> from datetime import time, timezone
        >>> from prefect_dask.schedules import adjustments, clocks, filters
        >>> schedule = Schedule(
        ...     clocks=[clocks.IntervalClock(timedelta(hours=1))],
        ...     filters=[filters.at_time(time(18)), filters.is_month_end],
        ...     adjustments=[adjustments.next_weekday],
        ... )
        >>> [str(moment) for moment in schedule.next(2, after=datetime(2024, 3, 1))]
        ['2024-04-01 18:00:00+00:00', '2024-04-30 18:00:00+00:00']
    """

    def __init__(
        self,
        clocks: Iterable[Clock],
        filters: Iterable[EventFilter] | None = None,
        or_filters: Iterable[EventFilter] | None = None,
        not_filters: Iterable[EventFilter] | None = None,
        adjustments: Iterable[EventAdjustment] | None = None,
    ) -> None:
        if isinstance(clocks, Clock):
            raise WrongScheduleType("Schedule", f"clocks are a list of clocks, got {clocks!r}")
        self.clocks = list(clocks)
        self.filters = list(filters or ())
        self.or_filters = list(or_filters or ())
        self.not_filters = list(not_filters or ())
        self.adjustments = list(adjustments or ())
        if not self.clocks:
            raise WrongSchedule("Schedule", "it needs at least one clock")

    @overload
    def next(
        self, n: int, after: datetime | None = None, *, return_events: Literal[True]
    ) -> list[ClockEvent]: ...

    @overload
    def next(
        self, n: int, after: datetime | None = None, *, return_events: Literal[False] = False
    ) -> list[datetime]: ...

    @overload
    def next(
        self, n: int, after: datetime | None = None, *, return_events: bool = False
    ) -> list[Any]: ...

    def next(
        self, n: int, after: datetime | None = None, *, return_events: bool = False
    ) -> list[Any]:
        """The next events, fewer where the schedule ends or the search for more was given up.

        Args:
            n: How many.
            after: All are after it; now when not given.
            return_events: Whether to give ClockEvents, with parameters and labels, in place of moments.
        """
        events = list(islice(self.events(after), n))
        return events if return_events else [event.start_time for event in events]

    def events(self, after: datetime | None = None) -> Iterator[ClockEvent]:
        """The events after a moment, in order, as far as one asks."""
        after = clock.utc_now() if after is None else to_utc(after)
        at_this_moment: list[ClockEvent] = []
        streams = [self._moved(each, after) for each in self.clocks]
        # By moment alone, so that events at one moment stay in the order of their clocks.
        for event in heapq.merge(*streams, key=attrgetter("start_time")):
            if at_this_moment and at_this_moment[0].start_time != event.start_time:
                at_this_moment.clear()
            if event not in at_this_moment:
                at_this_moment.append(event)
                yield event

    def serialize(self) -> dict[str, Any]:
        """The schedule as plain JSON data; functions of your own by their names."""
        return {
            "type": "Schedule",
            "clocks": [each.serialize() for each in self.clocks],
            **{
                name: [serialize_filter(each) for each in getattr(self, name)]
                for name in ("filters", "or_filters", "not_filters", "adjustments")
            },
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(repr, self.clocks))}>"

    # ---- one clock

    def _moved(self, of: Clock, after: datetime) -> Iterator[ClockEvent]:
        """The events of one clock after a moment, filtered, moved and put in order."""
        least = sum((getattr(a, "least", timedelta(0)) for a in self.adjustments), timedelta(0))
        most = sum((getattr(a, "most", timedelta(0)) for a in self.adjustments), timedelta(0))
        held: list[ClockEvent] = []
        # What comes before `after` may be moved behind it.
        for event in self._passing(of, after - max(most, timedelta(0))):
            moved = self._adjusted(event)
            if moved.start_time > after:
                heapq.heappush(held, moved)
            # No later event is moved to before this.
            sure = event.start_time + least
            while held and held[0].start_time <= sure:
                yield heapq.heappop(held)
        while held:
            yield heapq.heappop(held)

    def _passing(self, of: Clock, after: datetime) -> Iterator[ClockEvent]:
        firsts = [first for f in self.filters if (first := getattr(f, "first", None)) is not None]
        lasts = [last for f in self.filters if (last := getattr(f, "last", None)) is not None]
        found, misses = max([after, *(f - timedelta(microseconds=1) for f in firsts)]), 0
        for event in of.events(found):
            if lasts and event.start_time > min(lasts):
                return
            if self._passes(event):
                found, misses = event.start_time, 0
                yield event
                continue
            misses += 1
            if misses >= MOST_MISSES or event.start_time - found > LONGEST_SEARCH:
                get_logger("Schedule").warning(
                    "%r: no event of %r passes the filters from %s to %s (%d were looked at); "
                    "the search ends there, and the clock counts as ended",
                    self,
                    of,
                    found,
                    event.start_time,
                    misses,
                )
                return

    def _passes(self, event: ClockEvent) -> bool:
        if not (self.filters or self.or_filters or self.not_filters):
            return True
        moment = event.local_time
        return (
            all(passes(moment) for passes in self.filters)
            and (not self.or_filters or any(passes(moment) for passes in self.or_filters))
            and not any(passes(moment) for passes in self.not_filters)
        )

    def _adjusted(self, event: ClockEvent) -> ClockEvent:
        for adjust in self.adjustments:
            moment = adjust(event.local_time)
            if moment.tzinfo is not None and moment.tzinfo is event.zone and moment.fold == 0:
                # It was reckoned on the wall, where a time may not exist.
                moment = moment_of(moment.replace(tzinfo=None), moment.tzinfo)
            event = replace(event, start_time=moment)
        return event


class IntervalSchedule(Schedule):
    """A schedule of one IntervalClock; `filters` and the rest of the settings as for Schedule."""

    def __init__(
        self,
        start_date: datetime | None = None,
        interval: timedelta | None = None,
        end_date: datetime | None = None,
        *,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
        **settings: Any,
    ) -> None:
        if interval is None:
            raise WrongScheduleType("IntervalSchedule", "give it an interval=timedelta(...)")
        one = IntervalClock(interval, start_date, end_date, parameter_defaults, labels)
        super().__init__([one], **settings)


class CronSchedule(Schedule):
    """A schedule of one CronClock; `filters` and the rest of the settings as for Schedule."""

    def __init__(
        self,
        cron: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        day_or: bool = True,
        *,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
        **settings: Any,
    ) -> None:
        one = CronClock(cron, start_date, end_date, parameter_defaults, labels, day_or)
        super().__init__([one], **settings)


class RRuleSchedule(Schedule):
    """A schedule of one RRuleClock; `filters` and the rest of the settings as for Schedule."""

    def __init__(
        self,
        rrule_obj: Any,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        *,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
        **settings: Any,
    ) -> None:
        one = RRuleClock(rrule_obj, start_date, end_date, parameter_defaults, labels)
        super().__init__([one], **settings)
