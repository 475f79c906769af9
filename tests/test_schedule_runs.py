"""Flows that run on their schedules, on a clock that is turned."""

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.engine import clock
from prefect_dask.engine.signals import FAIL
from prefect_dask.errors import NoMoreEvents, UnknownParameters
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.schedules import CronSchedule, IntervalSchedule, Schedule, filters
from prefect_dask.schedules.clocks import DatesClock, IntervalClock

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)  # a Wednesday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Notes:
    """What the runs of a flow noted: when they were meant to be, when they were, and a parameter."""

    def __init__(self) -> None:
        self.meant: list[datetime] = []
        self.at: list[datetime] = []
        self.given: list[Any] = []

    def take(self, given: Any) -> None:
        self.meant.append(context.scheduled_start_time)
        self.at.append(clock.utc_now())
        self.given.append(given)


def noting(notes: Notes, schedule: Schedule) -> Flow:
    with Flow("noting", schedule=schedule) as flow:
        task(notes.take, name="note")(Parameter("given", default="nothing"))
    return flow


def test_a_flow_runs_at_each_event_of_its_schedule_until_the_end():
    notes = Notes()
    schedule = CronSchedule("0 9 * * MON-FRI", end_date=NOON + 6 * DAY)
    with clock.turned(NOON):
        state = noting(notes, schedule).run()
        assert clock.utc_now() == NOON + 5 * DAY + 21 * HOUR
    assert state.is_successful()
    assert [f"{moment:%a %H:%M}" for moment in notes.at] == [
        "Thu 09:00",
        "Fri 09:00",
        "Mon 09:00",
        "Tue 09:00",
    ]
    assert notes.meant == notes.at


def test_the_parameters_of_the_clock_win_for_its_events():
    notes = Notes()
    dates = [NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    schedule = Schedule(
        [
            DatesClock(dates[:1]),
            DatesClock(dates[1:2], parameter_defaults={"given": "by the clock"}),
            DatesClock(dates[2:], parameter_defaults={"given": None}),
        ]
    )
    with clock.turned(NOON):
        noting(notes, schedule).run(given="by the caller")
    assert notes.given == ["by the caller", "by the clock", None]


def test_clocks_that_strike_together_make_a_run_each():
    notes = Notes()
    each = [
        IntervalClock(HOUR, end_date=NOON + 2 * HOUR, parameter_defaults={"given": region})
        for region in ("north", "south", "east")
    ]
    with clock.turned(NOON):
        noting(notes, Schedule(each)).run()
    assert notes.given == ["north", "south", "east"] * 2
    assert notes.meant == [NOON + HOUR] * 3 + [NOON + 2 * HOUR] * 3


def test_parameters_that_the_flow_does_not_have_are_an_error_before_the_time_has_come():
    wrong = DatesClock([NOON + DAY], parameter_defaults={"gaven": 1})
    with clock.turned(NOON):
        with pytest.raises(UnknownParameters, match="'gaven'"):
            noting(Notes(), Schedule([wrong])).run()
        assert clock.utc_now() == NOON


def test_a_flow_told_not_to_wait_runs_now_and_once():
    notes = Notes()
    with clock.turned(NOON):
        noting(notes, IntervalSchedule(interval=DAY)).run(run_on_schedule=False)
    assert notes.at == [NOON]


def test_an_event_that_passes_while_the_flow_runs_is_left_out():
    started: list[datetime] = []

    def take_ninety_minutes() -> None:
        started.append(clock.utc_now())
        clock.wait_until(clock.now() + 90 * 60)

    schedule = IntervalSchedule(interval=HOUR, end_date=NOON + 4 * HOUR)
    with Flow("slow", schedule=schedule) as flow:
        task(take_ninety_minutes)()
    with clock.turned(NOON):
        flow.run()
    assert started == [NOON + HOUR, NOON + 3 * HOUR]


def test_a_schedule_that_is_over_or_never_passes_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("prefect_dask.schedules.schedules.MOST_MISSES", 100)
    never = IntervalSchedule(interval=HOUR, filters=[lambda _: False])
    over = IntervalSchedule(interval=HOUR, filters=[filters.on_datetime(NOON - HOUR)])
    for schedule in (never, over):
        with clock.turned(NOON), pytest.raises(NoMoreEvents, match="no event left"):
            noting(Notes(), schedule).run()


def test_a_failed_run_does_not_end_the_schedule():
    attempts: list[datetime] = []

    def fail_first() -> None:
        attempts.append(clock.utc_now())
        if len(attempts) == 1:
            raise FAIL("not yet")

    schedule = IntervalSchedule(interval=HOUR, end_date=NOON + 2 * HOUR)
    with Flow("twice", schedule=schedule) as flow:
        task(fail_first)()
    with clock.turned(NOON):
        assert flow.run().is_successful()
    assert len(attempts) == 2


@pytest.mark.parametrize("executor", [None, LocalDaskExecutor(num_workers=2)], ids=repr)
def test_a_retry_in_an_hour_passes_at_once_on_a_turned_clock(executor: Any):
    attempts: list[datetime] = []

    def fail_first() -> str:
        attempts.append(clock.utc_now())
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "done"

    with Flow("patient") as flow:
        patient = task(fail_first, max_retries=2, retry_delay=HOUR)()
    with clock.turned(NOON):
        state = flow.run(executor=executor)
    assert state.result[patient].result == "done"
    assert attempts == [NOON, NOON + HOUR, NOON + 2 * HOUR]


def test_a_flow_waits_for_its_hour_until_the_clock_is_turned():
    notes = Notes()
    flow = noting(notes, CronSchedule("0 13,15 * * *", end_date=NOON + 4 * HOUR))
    with clock.turned(NOON, is_held=True) as hands:
        runs = threading.Thread(target=flow.run)
        runs.start()
        assert hands.next_waited_for() == NOON + HOUR
        hands.turn_to(NOON + HOUR - timedelta(seconds=1))
        assert not notes.at
        hands.turn_by(timedelta(seconds=1))
        assert hands.next_waited_for() == NOON + 3 * HOUR
        assert notes.at == [NOON + HOUR]
        hands.turn_to(NOON + 3 * HOUR)
        runs.join(timeout=20)
    assert notes.at == [NOON + HOUR, NOON + 3 * HOUR]
