"""Clocks in the weeks in which the clocks are put forward and back: one run per local time."""

from datetime import date, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, rrule
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.schedules import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule, clocks
from prefect_dask.schedules.local_time import moment_of, wall_of

UTC = timezone.utc
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)

#: Their clocks change at midnight, by half an hour, by a whole day, in Ramadan, for good, or not at all.
ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Johannesburg",
    "America/Anchorage",
    "America/Asuncion",
    "America/Caracas",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Norfolk",
]


def changes(zone: ZoneInfo, first_year: int = 2008, last_year: int = 2030) -> list[datetime]:
    """The days, as noons in UTC, before which the offset of a zone changed."""
    noons = [
        datetime(first_year, 1, 1, 12, tzinfo=UTC) + n * DAY
        for n in range((last_year - first_year) * 365)
    ]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    return [
        noon
        for noon, before, now in zip(noons[1:], offsets, offsets[1:], strict=False)
        if before != now
    ]


CHANGES = {name: changes(ZoneInfo(name)) for name in ZONES}


@st.composite
def weeks(draw) -> tuple[ZoneInfo, datetime]:
    """A zone, and a moment in the days before a change of its clocks, if it has any."""
    name = draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(CHANGES[name] or [datetime(2024, 3, 31, 12, tzinfo=UTC)]))
    minutes = draw(st.integers(24 * 60, 4 * 24 * 60))
    return ZoneInfo(name), change - timedelta(minutes=minutes)


WEEKS = weeks()
TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59))
#: Around the hours in which clocks are changed.
NIGHTS = st.builds(time, st.integers(0, 3), st.sampled_from([0, 15, 30, 45]))


def offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def by_day(moments: list[datetime], at: time, zone: ZoneInfo, after: datetime) -> list[date]:
    """Hold moments to one on each day, at the right time; returns the days."""
    days = []
    for moment in moments:
        assert moment > after
        local = moment.astimezone(zone)
        if local.time() == at:
            assert local.fold == 0, "the second time that the clocks show it"
            days.append(local.date())
        else:
            # Skipped: it is the first moment after the clocks were put forward.
            jump = offset(moment, zone) - offset(moment - SECOND, zone)
            assert jump > timedelta(0), f"{local} is not {at}"
            assert wall_of(moment, zone) - jump <= _wall_before(local, at, jump)
            days.append(_wall_before(local, at, jump).date())
    return days


def _wall_before(local: datetime, at: time, jump: timedelta) -> datetime:
    """The wall time `at` that lies in the time skipped just before a local time."""
    wall = local.replace(tzinfo=None)
    candidates = [datetime.combine(wall.date() - n * DAY, at) for n in (0, 1)]
    return next(each for each in candidates if wall - jump <= each < wall)


def holds_every_local_day(schedule: Schedule, at: time, zone: ZoneInfo, after: datetime) -> None:
    moments = schedule.next(8, after=after)
    assert moments == sorted(set(moments))
    days = by_day(moments, at, zone, after)
    expected = [days[0] + n * DAY for n in range(10)]
    if zone.key == "Pacific/Apia" and date(2011, 12, 30) in expected:
        # A day that was not, and so one with the day after it.
        expected = [day for day in expected if day in days]
    assert days == expected[: len(days)]
    before = datetime.combine(days[0], at) - DAY
    if moment_of(before, zone) == moments[0]:
        before -= DAY  # a day that was not, and so one with the day after it
    assert moment_of(before, zone) <= after


@given(WEEKS, TIMES | NIGHTS)
def test_a_daily_cron_runs_once_each_local_day(week, at: time):
    zone, after = week
    cron = f"{at.minute} {at.hour} * * *"
    schedule = CronSchedule(cron, start_date=datetime(2000, 1, 1, tzinfo=zone))
    holds_every_local_day(schedule, at, zone, after)


@given(WEEKS, TIMES | NIGHTS)
def test_a_daily_interval_runs_once_each_local_day(week, at: time):
    zone, after = week
    start = datetime.combine((after - 40 * DAY).date(), at, zone)
    if moment_of(start.replace(tzinfo=None), zone).astimezone(zone).time() != at:
        start -= DAY  # it would be skipped itself
    holds_every_local_day(IntervalSchedule(start, interval=DAY), at, zone, after)


@given(WEEKS, TIMES | NIGHTS)
def test_a_daily_rule_runs_once_each_local_day(week, at: time):
    zone, after = week
    rule = rrule(DAILY, dtstart=datetime.combine((after - 40 * DAY).date(), at, zone))
    holds_every_local_day(RRuleSchedule(rule), at, zone, after)


@given(WEEKS, st.sampled_from([5, 10, 15, 20, 30, 60, 120, 180]))
def test_a_cron_within_the_day_runs_once_per_local_time(week, minutes: int):
    zone, after = week
    cron = f"*/{minutes} * * * *" if minutes < 60 else f"0 */{minutes // 60} * * *"
    schedule = CronSchedule(cron, start_date=datetime(2000, 1, 1, tzinfo=zone))
    expected = walls_that_are_there(zone, after, minutes)
    moments = schedule.next(len(expected), after=after)
    assert moments == sorted(set(moments))
    walls = [wall_of(moment, zone) for moment in moments]
    assert len(set(walls)) == len(walls)
    # In the time that the clocks skip there is at most one more, when they are put forward.
    extra = [wall for wall in walls if wall not in expected]
    assert not [wall for wall in expected if wall not in walls and wall < walls[-1]]
    for wall in extra:
        moment = moment_of(wall, zone)
        assert offset(moment, zone) > offset(moment - SECOND, zone)


def walls_that_are_there(zone: ZoneInfo, after: datetime, minutes: int) -> list[datetime]:
    """An oracle: what the clocks show in six days, the first time, at full multiples of some minutes."""
    found: dict[datetime, None] = {}
    step = timedelta(minutes=5)
    start = after.replace(minute=after.minute - after.minute % 5, second=0, microsecond=0)
    seen = {wall_of(start - n * step, zone) for n in range(3 * 12)}
    for n in range(1, 6 * 24 * 12):
        wall = wall_of(start + n * step, zone)
        if (wall.hour * 60 + wall.minute) % minutes == 0 and wall not in seen:
            found.setdefault(wall)
    return list(found)


@given(WEEKS, st.integers(1, 24 * 3600 - 1))
def test_a_shorter_interval_takes_no_notice_of_the_clocks(week, seconds: int):
    zone, after = week
    start = (after - 3 * DAY).astimezone(zone)
    moments = IntervalSchedule(start, interval=seconds * SECOND).next(50, after=after)
    assert {b - a for a, b in pairwise(moments)} == {seconds * SECOND}
    assert (moments[0] - start.astimezone(UTC)) % (seconds * SECOND) == timedelta(0)
    assert moments[0] - seconds * SECOND <= after < moments[0]


@given(WEEKS, st.integers(0, 6 * 24 * 60))
def test_wall_times_in_order_are_moments_in_order(week, minutes: int):
    zone, moment = week
    wall = wall_of(moment, zone) + timedelta(minutes=minutes)
    one, other = moment_of(wall, zone), moment_of(wall + timedelta(minutes=1), zone)
    assert one <= other
    assert wall_of(one, zone) >= wall


@given(WEEKS, TIMES | NIGHTS)
def test_asking_event_by_event_gives_the_same_as_asking_once(week, at: time):
    zone, after = week
    schedule = Schedule(
        [
            clocks.CronClock(
                f"{at.minute} */6 * * *", start_date=datetime(2000, 1, 1, tzinfo=zone)
            ),
            clocks.IntervalClock(DAY, datetime.combine(date(2008, 1, 1), at, zone)),
        ]
    )
    one_by_one, moment = [], after
    for _ in range(12):
        [moment] = schedule.next(1, after=moment)
        one_by_one.append(moment)
    assert one_by_one == schedule.next(12, after=after)


@pytest.mark.parametrize(
    "day, local",
    [
        ("2024-03-30", "2024-03-30 02:30:00+01:00"),
        ("2024-03-31", "2024-03-31 03:00:00+02:00"),
        ("2024-10-27", "2024-10-27 02:30:00+02:00"),
        ("2024-10-28", "2024-10-28 02:30:00+01:00"),
    ],
)
def test_half_past_two_in_berlin(day: str, local: str):
    berlin = ZoneInfo("Europe/Berlin")
    schedule = CronSchedule("30 2 * * *", start_date=datetime(2024, 1, 1, tzinfo=berlin))
    [moment] = schedule.next(1, after=datetime.fromisoformat(day).replace(tzinfo=berlin))
    assert str(moment.astimezone(berlin)) == local


def test_a_start_in_the_second_showing_of_an_hour_is_when_it_was_said():
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=1)
    moments = IntervalSchedule(start, interval=DAY).next(2, after=start.astimezone(UTC) - HOUR)
    assert [str(moment) for moment in moments] == [
        "2024-10-27 01:30:00+00:00",
        "2024-10-28 01:30:00+00:00",
    ]
