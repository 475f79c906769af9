"""A run that is cancelled ends soon on every executor: nothing begins, bodies are asked to end, then stopped."""

import threading
import time
from contextlib import suppress

import pytest

import prefect_dask
from prefect_dask import Flow, context, task, unmapped
from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.signals import LOOP
from prefect_dask.engine.state import STATES, Cancelled, Pending, State, Success
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.resources import ResourceManager
from tests.contracts.small_tasks import give
from tests.faults.bodies import marks, note
from tests.waiting import wait_until

IN_THIS_THREAD = ("local", "synchronous")


@pytest.fixture
def processes():
    """Two of each test's own: some end with it."""
    return LocalDaskExecutor("processes", num_workers=2)


class Cancelling:
    """Runs a flow in this thread, and cancels it from another one when a moment has come.

    Attributes:
        state: What the run came to.
        seconds: How long after it was asked.
        seen: What the one who cancelled it got.
    """

    def __init__(self, flow, executor, ledger, when, *, grace_seconds: float = 20.0) -> None:
        self.seen: State | None = None
        self.asked = 0.0
        self.run_id = ""

        def cancel() -> None:
            wait_until(when, 30, what="the moment to cancel")
            self.asked = time.monotonic()
            self.run_id = ledger.flow_runs()[0].run_id
            self.seen = prefect_dask.cancel(self.run_id, ledger=ledger, grace_seconds=grace_seconds)

        thread = threading.Thread(target=cancel)
        with executor.start():
            thread.start()
            try:
                self.state = flow.run(executor=executor, ledger=ledger)
                self.seconds = time.monotonic() - self.asked
            finally:
                thread.join()
        assert type(self.seen) is type(self.state)
        check_lawful(ledger, self.run_id)


def check_lawful(ledger, run_id) -> None:
    """Each history is a lawful path to a final state."""
    before: dict[tuple[int, int], str] = {}
    for state in ledger.states(run_id):
        task_run = (state.task, state.map_index)
        old = STATES[before.get(task_run, "Pending")]
        assert is_lawful(old, STATES[state.state]) or old is Pending, (task_run, old, state)
        before[task_run] = state.state
    assert all(STATES[kind]().is_finished() for kind in before.values()), before


@task
def until_cancelled(folder, name="asked"):
    """Ends when it is asked to; a quarter of a minute later if it is not."""
    note(folder, f"{name}-began")
    with suppress(TimeoutError):
        wait_until(lambda: context.cancelled, 15)
        note(folder, f"{name}-asked")
    return "asked"


@task
def sleeping(folder, seconds):
    """In calls of Python, so that it can be stopped, but does not ask."""
    note(folder, "sleeping-began")
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
    finally:
        note(folder, "sleeping-ended")


def began(folder, name, count=1):
    return lambda: len(marks(folder, f"{name}-began")) >= count


def test_a_body_is_asked_to_end_and_what_has_not_begun_does_not(folder, executor, ledger):
    with Flow("asked") as flow:
        done = give("done")
        asked = until_cancelled(folder, upstream_tasks=[done])
        below = give(asked)
        wide = give.map([1, 2, 3], upstream_tasks=[unmapped(asked)])

    run = Cancelling(flow, executor, ledger, began(folder, "asked"))

    assert type(run.state) is Cancelled
    states = run.state.result
    assert [type(states[t]) for t in (done, asked)] == [Success, Success]
    assert states[asked].result == "asked"
    assert [type(states[t]) for t in (below, wide)] == [Cancelled, Cancelled]
    assert "before it began" in str(states[below].message)
    assert run.seconds < 7
    assert [s.state for s in ledger.states(run.run_id, -1)] == [
        "Running",
        "Cancelling",
        "Cancelled",
    ]
    assert run.seen.result["until_cancelled-1"].result == "asked"


def test_a_body_that_does_not_ask_is_stopped_after_the_time_of_grace(folder, executor, ledger):
    with Flow("stopped") as flow:
        late = sleeping(folder, 60)

    run = Cancelling(flow, executor, ledger, began(folder, "sleeping"), grace_seconds=0.5)

    assert type(run.state) is Cancelled
    assert type(run.state.result[late]) is Cancelled
    assert "while it ran" in str(run.state.result[late].message)
    assert run.seconds < 0.5 + 5


def test_a_body_in_its_own_process_is_asked_too_and_stopped_wherever_it_is(
    folder, executor, ledger
):
    @task(isolation="process")
    def asked_apart(folder):
        note(folder, "apart-began")
        wait_until(lambda: context.cancelled)
        note(folder, "apart-asked")
        time.sleep(60)

    with Flow("isolated") as flow:
        late = asked_apart(folder)

    run = Cancelling(flow, executor, ledger, began(folder, "apart"), grace_seconds=2)

    assert type(run.state.result[late]) is Cancelled
    assert marks(folder, "apart-asked")
    assert run.seconds < 2 + 5


def test_of_a_wide_map_nothing_begins_after_the_call(folder, executor, ledger):
    @task
    def child(i, folder):
        note(folder, "child-began", str(time.time()))
        wait_until(lambda: context.cancelled)
        return i

    with Flow("wide") as flow:
        children = child.map(list(range(200)), unmapped(folder))
        total = give(children)

    run = Cancelling(flow, executor, ledger, began(folder, "child"))

    moment = time.time() - run.seconds
    assert len(run.state.result[children].map_states) == 200
    kinds = {type(each) for each in run.state.result[children].map_states}
    assert kinds == {Success, Cancelled}
    assert type(run.state.result[total]) is Cancelled
    assert max(float(path.read_text()) for path in marks(folder, "child-began")) < moment + 2
    assert len(marks(folder, "child-began")) < 100
    assert run.seconds < 7


class Room:
    def __init__(self, folder):
        self.folder = folder

    def setup(self):
        note(self.folder, "set-up")
        return "the room"

    def cleanup(self, room):
        assert not context.cancelled
        note(self.folder, "cleaned", room)


a_room = ResourceManager(Room)


def test_what_was_set_up_is_cleaned_up_and_what_was_not_is_not(folder, tmp_path, executor, ledger):
    other = tmp_path / "other"
    other.mkdir()
    with Flow("resources") as flow:
        with a_room(folder) as room:
            asked = until_cancelled(folder, upstream_tasks=[room])
        later = a_room(other)
        flow.set_dependencies(later.init_task, upstream_tasks=[asked])
        with later as other_room:
            give(other_room)

    run = Cancelling(flow, executor, ledger, began(folder, "asked"))

    assert type(run.state) is Cancelled
    assert [path.read_text() for path in marks(folder, "cleaned")] == ["the room"]
    assert not marks(other, "set-up") and not marks(other, "cleaned")
    states = {flow.slugs[task]: type(state) for task, state in run.state.result.items()}
    assert states["Room.cleanup-1"] is Success
    assert states["Room.cleanup-2"] is Cancelled


def test_a_loop_makes_no_other_turn_and_a_retry_no_other_attempt(folder, executor, ledger):
    @task
    def turning(folder):
        note(folder, "turning-began")
        wait_until(lambda: context.cancelled)
        raise LOOP(result=1)

    with Flow("turns") as flow:
        loop = turning(folder)

    run = Cancelling(flow, executor, ledger, began(folder, "turning"))

    assert type(run.state.result[loop]) is Cancelled
    assert len(marks(folder, "turning-began")) == 1


def test_what_waits_for_a_retry_is_cancelled_without_its_waiting(folder, executor, ledger):
    @task(max_retries=3, retry_delay=600)
    def unsteady(folder):
        note(folder, "unsteady-began")
        raise ValueError("not yet")

    with Flow("waits") as flow:
        unsteady(folder)

    def waits() -> bool:
        if not marks(folder, "unsteady-began"):
            return False
        return any(s.state == "Retrying" for s in ledger.states(ledger.flow_runs()[0].run_id))

    run = Cancelling(flow, executor, ledger, waits)

    assert [type(s) for s in run.state.result.values()] == [Cancelled]
    assert run.seconds < 7


def test_late_news_of_a_stopped_body_changes_nothing(folder, place, executor, ledger):
    """In a call of C code a thread cannot be stopped; in this one it ends when that returns."""

    @task
    def in_c(folder):
        try:
            note(folder, "in_c-began")
            time.sleep(3)
        finally:  # also where it is stopped before it sleeps
            note(folder, "in_c-ended")

    with Flow("late") as flow:
        late = in_c(folder)

    run = Cancelling(flow, executor, ledger, began(folder, "in_c"), grace_seconds=0)

    assert type(run.state.result[late]) is Cancelled
    if place not in IN_THIS_THREAD:
        assert run.seconds < 5
    if place != "processes":  # there it is killed
        wait_until(lambda: marks(folder, "in_c-ended"))
    told = [s.state for s in ledger.states(run.run_id, 0)]
    assert told[-1] == "Cancelled"
    assert told.count("Cancelled") == 1
