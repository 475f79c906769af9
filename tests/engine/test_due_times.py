"""When which waiting task run goes on."""

from datetime import datetime, timedelta, timezone

from prefect_dask.engine import clock
from prefect_dask.engine.due_times import DueTimes, waits
from prefect_dask.engine.state import Paused, Pending, Resume, Retrying, Scheduled, State
from prefect_dask.engine.task_runs import TaskRuns

NOW = 1_000.0


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def planned(*states: State) -> tuple[TaskRuns, DueTimes]:
    """A task for each state, which waits for the time that it says."""
    runs = TaskRuns(len(states))
    due_times = DueTimes(runs)
    for index, state in enumerate(states):
        runs.set_state(index, index, state)
        due_times.plan(index, 0)
    return runs, due_times


def test_those_whose_time_has_come_are_taken_once():
    _, due_times = planned(*(Retrying(start_time=at(NOW + wait)) for wait in (3, 1, 2)))

    assert due_times.next_of() == (NOW + 1, 1, -1)
    assert due_times.take(NOW) == set()
    assert due_times.take(NOW + 2) == {(1, 0), (2, 0)}
    assert due_times.take(NOW + 2) == set()
    assert due_times.next() == NOW + 3


def test_a_pause_and_what_asks_for_no_time_are_never_due():
    _, due_times = planned(Paused(), Pending())

    assert due_times.next() is None


def test_what_was_handed_over_meanwhile_or_is_gone_is_not_due_any_more():
    runs, due_times = planned(*(Scheduled(start_time=at(NOW)) for _ in range(3)))
    runs.generation[0] += 1
    runs.set_out(1, 1, is_out=True)
    runs.grow(2, 1)
    runs.set_state(2, runs.row(2, 1), Scheduled(start_time=at(NOW)))
    due_times.plan(2, 1)
    runs.cut(2)

    assert due_times.take(NOW) == {(2, 0)}


def test_a_clock_that_is_set_back_makes_a_delay_no_longer_and_a_scheduled_start_no_earlier():
    _, due_times = planned(Retrying(start_time=at(NOW + 5)), Scheduled(start_time=at(NOW + 5)))

    due_times.note_set_back(3_600.0)

    assert due_times.take(NOW + 5 - 3_600) == {(0, 0)}
    assert due_times.as_of(NOW + 5 - 3_600) == NOW + 5
    assert due_times.next() == NOW + 5


def test_a_state_waits_until_its_time_unless_somebody_let_it_go_on():
    assert waits(Scheduled(start_time=at(NOW + 1)), NOW)
    assert not waits(Scheduled(start_time=at(NOW)), NOW)
    assert waits(Paused(), NOW)
    assert not waits(Resume(), NOW)
    assert not waits(Pending(), NOW)


def test_a_delay_of_which_is_heard_after_the_clock_was_set_back_is_no_longer_and_not_shortened_twice():
    with clock.settable() as hands:
        runs = TaskRuns(2)
        due_times = DueTimes(runs)
        for index in (0, 1):
            runs.set_state(index, index, Retrying(start_time=at(clock.now() + 5)))
        due_times.plan(0, 0)
        hands.set_by(timedelta(hours=-1))
        due_times.plan(1, 0)  # only now
        # Where it goes on, its state is the one that it was handed back with.
        assert due_times.as_of(clock.now() + 5) > clock.now() + 3_600 + 4

        due_times.note_set_back(3_600.0)

        assert due_times.take(clock.now()) == set()
        assert due_times.take(clock.now() + 6) == {(0, 0), (1, 0)}


def test_a_clock_that_was_set_forwards_and_back_between_two_looks_makes_no_delay_longer():
    with clock.settable() as hands:
        runs = TaskRuns(1)
        due_times = DueTimes(runs)
        set_back = clock.SetBack()
        hands.set_by(timedelta(hours=1))
        runs.set_state(0, 0, Retrying(start_time=at(clock.now() + 5)))
        due_times.plan(0, 0)
        hands.set_by(timedelta(hours=-1))
        assert set_back.seconds() == 0

        due_times.note_set_back(0)

        assert due_times.take(clock.now()) == set()
        assert due_times.take(clock.now() + 6) == {(0, 0)}
        # Its state is the one that was made while the clock was ahead.
        assert due_times.as_of(clock.now() + 5) > clock.now() + 3_600 + 4


def test_a_time_that_was_set_by_a_clock_just_set_back_follows_that_when_it_is_set_back_again():
    with clock.settable() as hands:
        runs = TaskRuns(1)
        due_times = DueTimes(runs)
        set_back = clock.SetBack()
        runs.set_state(0, 0, Retrying(start_time=at(clock.now() + 5)))
        hands.set_by(timedelta(hours=-1))
        due_times.plan(0, 0)
        hands.set_by(timedelta(hours=-1))

        due_times.note_set_back(set_back.seconds())

        assert due_times.take(clock.now()) == set()
        assert due_times.take(clock.now() + 6) == {(0, 0)}
