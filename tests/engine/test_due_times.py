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


def test_a_state_waits_until_its_time_unless_somebody_let_it_go_on():
    assert waits(Scheduled(start_time=at(NOW + 1)), NOW)
    assert not waits(Scheduled(start_time=at(NOW)), NOW)
    assert waits(Paused(), NOW)
    assert not waits(Resume(), NOW)
    assert not waits(Pending(), NOW)


# ---- the clock is set


def retries(*delays: float) -> list[Retrying]:
    """Retries that somebody asks for now."""
    return [Retrying(start_time=at(clock.now() + delay)) for delay in delays]


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def is_left(due_times: DueTimes, seconds: float) -> bool:
    """Whether the next one is due in so long, to within a second."""
    due = due_times.next()
    return due is not None and abs(due - clock.now() - seconds) < 1


def test_a_clock_that_is_set_back_makes_a_delay_no_longer_and_a_scheduled_start_no_earlier():
    with clock.settable() as hands:
        scheduled = Scheduled(start_time=at(clock.now() + 5))
        _, due_times = planned(*retries(5), scheduled)
        hands.set_by(hours(-1))

        due_times.heed_clock()

        assert is_left(due_times, 5)
        assert due_times.take(clock.now()) == set()
        assert due_times.take(clock.now() + 6) == {(0, 0)}
        assert due_times.next() == clock.to_seconds(scheduled.start_time)


def test_the_state_of_a_retry_says_when_it_is_due_by_the_clock_as_it_is():
    with clock.settable() as hands:
        runs, due_times = planned(*retries(5))
        hands.set_by(hours(-1))
        due_times.heed_clock()

        state = runs.states[0]

        assert isinstance(state, Retrying)
        assert clock.to_seconds(state.start_time) == due_times.next()
        assert waits(state, clock.now())
        assert not waits(state, clock.now() + 5)


def test_a_clock_that_is_set_back_again_and_again_makes_no_delay_longer_or_shorter():
    with clock.settable() as hands:
        _, due_times = planned(*retries(5))
        for _ in range(3):
            hands.set_by(hours(-1))
            due_times.heed_clock()
            due_times.heed_clock()
            assert is_left(due_times, 5)


def test_each_of_several_retries_keeps_its_delay_however_the_clock_was_set_before_it():
    with clock.settable() as hands:
        runs = TaskRuns(3)
        due_times = DueTimes(runs)
        for index, set_by in enumerate((0, -1, 2)):
            hands.set_by(hours(set_by))
            due_times.heed_clock()
            runs.set_state(index, index, *retries(5 + index))
            due_times.plan(index, 0)

        hands.set_by(hours(-3))
        due_times.heed_clock()

        for index in range(3):
            assert is_left(due_times, 5 + index)
            assert due_times.take(clock.now() + 5.9 + index) == {(index, 0)}


def test_a_delay_of_which_is_heard_after_the_clock_was_set_back_is_no_longer_and_not_shortened_twice():
    with clock.settable() as hands:
        runs = TaskRuns(2)
        due_times = DueTimes(runs)
        for index, state in enumerate(retries(5, 6)):
            runs.set_state(index, index, state)
        due_times.plan(0, 0)
        hands.set_by(hours(-1))
        due_times.plan(1, 0)  # only now

        due_times.heed_clock()

        assert is_left(due_times, 5)
        assert due_times.take(clock.now() + 5.5) == {(0, 0)}
        assert is_left(due_times, 6)


def test_a_time_that_was_set_by_a_clock_just_set_back_follows_that_when_it_is_set_back_again():
    with clock.settable() as hands:
        runs = TaskRuns(1)
        due_times = DueTimes(runs)
        runs.set_state(0, 0, *retries(5))
        hands.set_by(hours(-1))
        due_times.plan(0, 0)
        hands.set_by(hours(-1))

        due_times.heed_clock()

        assert is_left(due_times, 5)


def test_a_clock_that_was_set_forwards_and_back_between_two_looks_makes_no_delay_longer():
    with clock.settable() as hands:
        due_times = DueTimes(runs := TaskRuns(1))
        due_times.heed_clock()
        hands.set_by(hours(1))
        runs.set_state(0, 0, *retries(5))
        due_times.plan(0, 0)
        hands.set_by(hours(-1))

        due_times.heed_clock()

        assert is_left(due_times, 5)


def test_a_clock_that_is_set_forwards_and_back_leaves_the_times_set_before_as_they_were():
    with clock.settable() as hands:
        runs, due_times = planned(*retries(7_200), Pending())
        hands.set_by(hours(1.5))
        due_times.heed_clock()
        runs.set_state(1, 1, *retries(60))
        due_times.plan(1, 0)

        hands.set_by(hours(-0.5))
        due_times.heed_clock()
        assert due_times.take(clock.now() + 61) == {(1, 0)}
        runs.set_out(1, 1, is_out=True)
        assert is_left(due_times, 3_600), "by the clock as it is"
        assert not waits(runs.state(0), clock.now() + 3_601)

        hands.set_by(hours(-1))
        due_times.heed_clock()
        assert is_left(due_times, 7_200)
        assert not waits(runs.state(0), clock.now() + 7_201)


def test_a_retry_that_was_due_and_is_held_back_stays_due_when_the_clock_is_set_back():
    with clock.settable() as hands:
        _, due_times = planned(*retries(0))
        for _ in range(2):
            assert due_times.take(clock.now()) == {(0, 0)}
            hands.set_by(hours(-1))
            due_times.heed_clock()
        assert due_times.take(clock.now()) == {(0, 0)}


def test_a_clock_that_a_test_turns_back_is_no_accident():
    with clock.turned(at(NOW), is_held=True) as hands:
        runs, due_times = planned(*retries(5), Pending())
        runs.set_state(1, 1, *retries(6))
        hands.turn_by(hours(-1))

        due_times.plan(1, 0)
        due_times.heed_clock()

        assert due_times.next() == NOW + 5
        assert due_times.take(NOW + 5) == {(0, 0)}
        assert due_times.next() == NOW + 6


def test_a_clock_that_a_test_turns_while_a_retry_waits_is_no_accident():
    _, due_times = planned(*retries(5))
    with clock.turned(at(NOW)):
        due_times.heed_clock()
    assert is_left(due_times, 5)
