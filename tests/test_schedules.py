"""Clocks, filters and adjustments, and the schedules made of them."""

import json
import pickle
import sys
from datetime import datetime, time, timedelta, timezone
from itertools import islice
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, FR, MONTHLY, rrule, rruleset

from prefect_dask import Flow
from prefect_dask.schedules import (
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
    adjustments,
    filters,
    schedules,
)
from prefect_dask.schedules.clocks import (
    ClockEvent,
    CronClock,
    DatesClock,
    IntervalClock,
    RRuleClock,
)
from prefect_dask.schedules.errors import WrongCron, WrongSchedule, WrongScheduleType

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def first(schedule, n=3, after=NEW_YEAR - timedelta(microseconds=1)):
    """The next moments, in short."""
    return [f"{moment:%a %d %b %H:%M}" for moment in schedule.next(n, after=after)]


# ---- clocks


def test_an_interval_clock_strikes_at_its_start_and_each_interval_after():
    schedule = IntervalSchedule(NEW_YEAR, interval=6 * HOUR)
    assert first(schedule) == ["Mon 01 Jan 00:00", "Mon 01 Jan 06:00", "Mon 01 Jan 12:00"]
    later = schedule.next(1, after=NEW_YEAR + timedelta(days=400, seconds=1))
    assert later == [NEW_YEAR + timedelta(days=400, hours=6)]


def test_a_moment_that_is_an_event_is_not_after_itself():
    assert IntervalSchedule(NEW_YEAR, interval=HOUR).next(1, after=NEW_YEAR) == [NEW_YEAR + HOUR]


def test_an_interval_clock_without_start_gives_the_same_moments_whenever_it_is_made():
    assert first(IntervalSchedule(interval=HOUR), after=NEW_YEAR + HOUR / 2) == [
        "Mon 01 Jan 01:00",
        "Mon 01 Jan 02:00",
        "Mon 01 Jan 03:00",
    ]


def test_a_clock_ends_with_its_end():
    schedule = IntervalSchedule(NEW_YEAR, interval=HOUR, end_date=NEW_YEAR + HOUR)
    assert schedule.next(5, after=NEW_YEAR - DAY) == [NEW_YEAR, NEW_YEAR + HOUR]
    assert schedule.next(5, after=NEW_YEAR + HOUR) == []


@pytest.mark.parametrize(
    "cron, expected",
    [
        ("0 9 * * MON-FRI", ["Mon 01 Jan 09:00", "Tue 02 Jan 09:00", "Wed 03 Jan 09:00"]),
        ("*/20 0 * * *", ["Mon 01 Jan 00:00", "Mon 01 Jan 00:20", "Mon 01 Jan 00:40"]),
        ("0 0 L * *", ["Wed 31 Jan 00:00", "Thu 29 Feb 00:00", "Sun 31 Mar 00:00"]),
        ("0 12 * * 5#2", ["Fri 12 Jan 12:00", "Fri 09 Feb 12:00", "Fri 08 Mar 12:00"]),
        ("@weekly", ["Sun 07 Jan 00:00", "Sun 14 Jan 00:00", "Sun 21 Jan 00:00"]),
    ],
)
def test_a_cron_clock_strikes_when_its_text_says(cron: str, expected: list[str]):
    assert first(CronSchedule(cron)) == expected


def test_a_cron_clock_strikes_at_its_start_when_that_is_an_event_and_never_before():
    schedule = CronSchedule("0 9 * * *", start_date=NEW_YEAR + 9 * HOUR)
    assert schedule.next(1, after=NEW_YEAR - 10 * DAY) == [NEW_YEAR + 9 * HOUR]


def test_of_two_days_in_cron_text_one_suffices_unless_both_are_wanted():
    assert first(CronSchedule("0 0 13 * FRI")) == [
        "Fri 05 Jan 00:00",
        "Fri 12 Jan 00:00",
        "Sat 13 Jan 00:00",
    ]
    assert first(CronSchedule("0 0 13 * FRI", day_or=False), n=2) == [
        "Fri 13 Sep 00:00",
        "Fri 13 Dec 00:00",
    ]


@pytest.mark.parametrize(
    "text, position, words",
    [
        ("61 * * * *", 0, "'61' is no minute; it goes from 0 to 59"),
        ("0 25 * * *", 2, "'25' is no hour"),
        ("0  7,24,9 * * *", 5, "'24' is no hour"),
        ("0 0 * JAB *", 6, "'JAB' is no month; it goes from 1 to 12 or JAN to DEC"),
        ("0 0 * * MON-", 8, "'MON-' is no day of the week"),
        ("*/0 * * * *", 0, "'*/0' is no minute"),
        ("0 0 * *", 7, "five fields are wanted"),
        ("0 0 0 * * *", 10, "there are 6"),
        ("0 0 30 2 *", 4, "no month of '2' has a day '30'"),
        ("@dayly", 0, "there is no '@dayly'; there are @yearly"),
        ("", 0, "there are 0"),
    ],
)
def test_cron_text_that_does_not_parse_is_an_error_that_says_where(
    text: str, position: int, words: str
):
    with pytest.raises(ValueError) as caught:
        CronClock(text)
    assert isinstance(caught.value, WrongCron)
    assert caught.value.position == position
    assert f"cron text {text!r}, character {position + 1}: " in str(caught.value)
    assert words in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_dates_clock_strikes_at_its_dates_in_order():
    schedule = Schedule([DatesClock([NEW_YEAR + 2 * HOUR, NEW_YEAR])])
    assert schedule.next(5, after=NEW_YEAR - HOUR) == [NEW_YEAR, NEW_YEAR + 2 * HOUR]


def test_a_rule_of_recurrence_follows_the_clocks_of_its_zone():
    fridays = rrule(MONTHLY, byweekday=FR(-1), dtstart=datetime(2024, 1, 1, 9, tzinfo=BERLIN))
    assert first(RRuleSchedule(fridays), n=4) == [
        "Fri 26 Jan 08:00",
        "Fri 23 Feb 08:00",
        "Fri 29 Mar 08:00",
        "Fri 26 Apr 07:00",
    ]


def test_a_rule_of_recurrence_may_be_a_set_or_text_and_ends_where_it_says():
    both = rruleset()
    both.rrule(rrule(DAILY, count=3, dtstart=datetime(2024, 1, 1, 9)))
    both.exdate(datetime(2024, 1, 2, 9))
    assert first(RRuleSchedule(both)) == ["Mon 01 Jan 09:00", "Wed 03 Jan 09:00"]
    text = "DTSTART:20240101T090000\nRRULE:FREQ=DAILY;COUNT=2"
    assert first(RRuleSchedule(text, start_date=datetime(2024, 1, 1, tzinfo=BERLIN))) == [
        "Mon 01 Jan 08:00",
        "Tue 02 Jan 08:00",
    ]
    with pytest.raises(ValueError, match="'every day' is no recurrence rule"):
        RRuleClock("every day")


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: IntervalClock(timedelta(0)), "interval must be above 0"),
        (lambda: IntervalClock(cast(Any, 60)), "interval is a timedelta, got 60"),
        (lambda: IntervalClock(DAY, NEW_YEAR, NEW_YEAR - DAY), "before it starts"),
        (lambda: IntervalClock(DAY, cast(Any, "today")), "start_date is a datetime, got 'today'"),
        (lambda: IntervalClock(DAY, labels="red"), "labels are a list"),
        (lambda: IntervalSchedule(), "interval=timedelta"),
        (lambda: DatesClock([]), "at least one date"),
        (lambda: Schedule([]), "at least one clock"),
        (lambda: Schedule(cast(Any, IntervalClock(DAY))), "clocks are a list of clocks"),
        (lambda: CronClock(cast(Any, 5)), "text such as"),
        (lambda: RRuleClock(cast(Any, 5)), "a dateutil rrule"),
        (lambda: filters.on_date(2, 30), "no year has a day 30 of month 2"),
        (lambda: filters.is_day_of_week(7), "0 .Monday. to 6 .Sunday."),
        (lambda: filters.between_datetimes(NEW_YEAR, NEW_YEAR - DAY), "before it starts"),
        (lambda: adjustments.add(cast(Any, 60)), "a timedelta is wanted"),
    ],
)
def test_what_cannot_be_is_an_error_when_it_is_made(make, words: str):
    with pytest.raises((WrongSchedule, WrongScheduleType), match=words):
        make()


# ---- schedules


def test_events_of_several_clocks_come_in_order_and_the_same_one_once():
    schedule = Schedule([IntervalClock(2 * HOUR, NEW_YEAR), IntervalClock(3 * HOUR, NEW_YEAR)])
    hours = [(moment - NEW_YEAR) // HOUR for moment in schedule.next(6, after=NEW_YEAR)]
    assert hours == [2, 3, 4, 6, 8, 9]


def test_events_at_one_moment_with_other_parameters_are_several():
    schedule = Schedule(
        [
            IntervalClock(DAY, NEW_YEAR, parameter_defaults={"region": "north"}, labels=["n"]),
            IntervalClock(DAY, NEW_YEAR, parameter_defaults={"region": "south"}),
        ]
    )
    events = schedule.next(3, after=NEW_YEAR, return_events=True)
    assert [(event.start_time.day, event.parameter_defaults["region"]) for event in events] == [
        (2, "north"),
        (2, "south"),
        (3, "north"),
    ]
    assert events[0].labels == ("n",)


def test_moments_are_aware_utc_whatever_the_zone():
    schedule = IntervalSchedule(datetime(2024, 7, 1, 9, tzinfo=BERLIN), interval=DAY)
    [moment] = schedule.next(1, after=datetime(2024, 7, 1, 9))
    assert (moment.tzinfo, moment.hour) == (UTC, 7)


@pytest.mark.parametrize(
    "kept, expected",
    [
        (filters.at_time(time(18)), ["Mon 01 Jan 18:00", "Tue 02 Jan 18:00"]),
        (filters.between_times(time(22), time(1)), ["Mon 01 Jan 00:00", "Mon 01 Jan 01:00"]),
        (filters.on_date(2, 29), ["Thu 29 Feb 00:00", "Thu 29 Feb 01:00"]),
        (filters.between_dates(12, 31, 1, 1), ["Mon 01 Jan 00:00", "Mon 01 Jan 01:00"]),
        (filters.is_weekend, ["Sat 06 Jan 00:00", "Sat 06 Jan 01:00"]),
        (filters.is_weekday, ["Mon 01 Jan 00:00", "Mon 01 Jan 01:00"]),
        (filters.is_month_end, ["Wed 31 Jan 00:00", "Wed 31 Jan 01:00"]),
        (filters.is_month_start, ["Mon 01 Jan 00:00", "Mon 01 Jan 01:00"]),
        (filters.is_day_of_week(2), ["Wed 03 Jan 00:00", "Wed 03 Jan 01:00"]),
        (filters.is_day_of_week("Wednesday"), ["Wed 03 Jan 00:00", "Wed 03 Jan 01:00"]),
        (filters.on_datetime(NEW_YEAR + 5 * HOUR), ["Mon 01 Jan 05:00"]),
        (
            filters.between_datetimes(datetime(2034, 1, 1), datetime(2034, 1, 1, 1)),
            ["Sun 01 Jan 00:00", "Sun 01 Jan 01:00"],
        ),
    ],
)
def test_a_filter_keeps_what_it_says(kept, expected: list[str]):
    schedule = IntervalSchedule(NEW_YEAR, interval=HOUR, filters=[kept])
    assert first(schedule, n=2) == expected


def test_all_filters_one_of_the_or_filters_and_none_of_the_not_filters_must_pass():
    schedule = IntervalSchedule(
        NEW_YEAR,
        interval=HOUR,
        filters=[filters.is_weekday],
        or_filters=[filters.at_time(time(9)), filters.at_time(time(18))],
        not_filters=[filters.is_month_start],
    )
    assert first(schedule) == ["Tue 02 Jan 09:00", "Tue 02 Jan 18:00", "Wed 03 Jan 09:00"]


def test_a_filter_looks_at_the_local_time_of_the_clock():
    tokyo = datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
    schedule = IntervalSchedule(tokyo, interval=HOUR, filters=[lambda moment: moment.hour == 8])
    assert first(schedule, n=1) == ["Mon 01 Jan 23:00"]


@pytest.mark.timeout(40)
def test_a_search_for_what_never_passes_ends_and_says_so(caplog, monkeypatch):
    monkeypatch.setattr(schedules, "MOST_MISSES", 1000)
    never = IntervalSchedule(NEW_YEAR, interval=HOUR, filters=[lambda _: False])
    assert never.next(1, after=NEW_YEAR) == []
    assert "passes the filters from 2024-01-01" in caplog.text
    caplog.clear()
    yearly = CronSchedule("0 0 1 1 *", filters=[filters.on_date(7, 1)])
    assert yearly.next(1, after=NEW_YEAR) == []
    assert "to 2125-01-01" in caplog.text


def test_a_schedule_that_a_filter_has_ended_ends_without_a_search(caplog):
    past = filters.between_datetimes(NEW_YEAR, NEW_YEAR + HOUR)
    schedule = IntervalSchedule(NEW_YEAR, interval=timedelta(milliseconds=1), filters=[past])
    assert schedule.next(1, after=NEW_YEAR + 2 * HOUR) == []
    assert not caplog.records


def test_what_is_moved_to_monday_is_one_event_with_that_of_monday():
    schedule = CronSchedule("0 9 * * *", adjustments=[adjustments.next_weekday])
    assert first(schedule, n=6)[-2:] == ["Fri 05 Jan 09:00", "Mon 08 Jan 09:00"]


def test_moved_events_come_in_order():
    hourly = IntervalSchedule(NEW_YEAR, interval=HOUR, adjustments=[adjustments.next_weekday])
    moments = hourly.next(24 * 12, after=NEW_YEAR - HOUR)
    assert moments == sorted(set(moments))
    assert {moment.weekday() for moment in moments} == {0, 1, 2, 3, 4}


def test_an_event_is_not_lost_while_it_is_moved():
    schedule = CronSchedule("0 9 * * SAT", adjustments=[adjustments.next_weekday])
    sunday = datetime(2024, 1, 7)
    assert first(schedule, n=2, after=sunday) == ["Mon 08 Jan 09:00", "Mon 15 Jan 09:00"]


def test_adjustments_move_what_passed_one_after_the_other():
    schedule = IntervalSchedule(
        NEW_YEAR - DAY,
        interval=DAY,
        filters=[filters.is_month_end],
        adjustments=[adjustments.add(timedelta(days=3)), lambda moment: moment + HOUR],
    )
    assert first(schedule) == ["Wed 03 Jan 01:00", "Sat 03 Feb 01:00", "Sun 03 Mar 01:00"]
    back = IntervalSchedule(NEW_YEAR, interval=DAY, adjustments=[adjustments.add(-HOUR)])
    assert first(back, n=2, after=NEW_YEAR) == ["Mon 01 Jan 23:00", "Tue 02 Jan 23:00"]


def test_whole_days_are_added_on_the_wall_and_hours_as_they_pass():
    eve = IntervalClock(365 * DAY, datetime(2024, 3, 30, 9, tzinfo=BERLIN))
    on_the_wall = Schedule([eve], adjustments=[adjustments.add(DAY)])
    passing = Schedule([eve], adjustments=[adjustments.add(25 * HOUR)])
    assert first(on_the_wall, n=1) == ["Sun 31 Mar 07:00"]
    assert first(passing, n=1) == ["Sun 31 Mar 09:00"]


# ---- as data


def everything() -> Schedule:
    return Schedule(
        [
            IntervalClock(DAY, datetime(2024, 1, 1, 9, tzinfo=BERLIN), parameter_defaults={"n": 1}),
            CronClock("0 18 * * *", labels=["evening"]),
            DatesClock([NEW_YEAR]),
            RRuleClock(rrule(DAILY, dtstart=NEW_YEAR)),
        ],
        filters=[filters.between_times(time(8), time(20)), filters.is_weekday],
        or_filters=[bool],
        adjustments=[adjustments.add(HOUR), adjustments.next_weekday],
    )


def test_a_schedule_is_the_same_after_pickle():
    schedule = everything()
    again = pickle.loads(pickle.dumps(schedule))
    assert again.next(20, after=NEW_YEAR, return_events=True) == schedule.next(
        20, after=NEW_YEAR, return_events=True
    )


def test_a_flow_says_its_schedule_as_plain_json():
    document = Flow("scheduled", schedule=everything()).serialize()["schedule"]
    assert json.loads(json.dumps(document)) == document
    interval, cron, *_ = document["clocks"]
    assert interval["type"] == "IntervalClock"
    assert interval["interval_seconds"] == 86400
    assert interval["timezone"] == "Europe/Berlin"
    assert interval["parameter_defaults"] == {"n": 1}
    assert (cron["cron"], cron["labels"]) == ("0 18 * * *", ["evening"])
    assert document["filters"] == [
        {"name": "between_times", "start": "08:00:00", "end": "20:00:00"},
        {"name": "prefect_dask.schedules.filters.is_weekday"},
    ]
    assert document["adjustments"] == [
        {"name": "add", "interval": 3600.0},
        {"name": "next_weekday"},
    ]
    assert Flow("unscheduled").serialize()["schedule"] is None


def test_events_are_in_order_by_their_moments():
    early, late = ClockEvent(NEW_YEAR, {"a": 1}), ClockEvent(NEW_YEAR + HOUR)
    assert sorted([late, early]) == [early, late]
    assert early != ClockEvent(NEW_YEAR)
    assert len({early, ClockEvent(NEW_YEAR, {"a": 1})}) == 1


def test_events_can_be_asked_for_without_end():
    events = IntervalClock(HOUR, NEW_YEAR).events(after=NEW_YEAR)
    assert [event.start_time.hour for event in islice(events, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "library, make",
    [
        ("cronsim", lambda: CronClock("0 9 * * *")),
        ("dateutil.rrule", lambda: RRuleClock("RRULE:FREQ=DAILY")),
    ],
)
def test_a_clock_without_its_library_names_the_extra(
    library: str, make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"pip install 'prefect-dask\[schedules\]'"):
        make()
    assert IntervalSchedule(interval=HOUR).next(1), "intervals need no library"
