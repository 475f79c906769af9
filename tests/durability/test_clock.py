"""The machine's clock is set while a run goes on: nothing goes back, and what waits for a delay comes in time."""

import threading
from datetime import timedelta

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine import clock
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from tests.outside_ledger import check_executions, counts_in, histories_in, note_execution

EXECUTORS = [LocalExecutor(), LocalDaskExecutor("threads", 2)]


@pytest.mark.parametrize("executor", EXECUTORS, ids=["this thread", "threads"])
def test_a_run_during_which_the_clock_is_set_again_and_again(place, tmp_path, executor):
    notes = tmp_path / "notes"
    hours = [1, -2, 2, -1]

    @task(max_retries=1, retry_delay=1)
    def jump(x, jumps):
        execution = note_execution(notes)
        jumps.set_by(timedelta(hours=hours[x % len(hours)]))
        if execution.attempt == 1 and x % 2:
            raise ValueError("the first time")
        return x

    heard: dict[tuple[str, int], list[str]] = {}

    def hear(records):
        for record in records:
            if record.task_slug:
                heard.setdefault((record.task_slug, record.map_index), []).append(record.state)

    began = clock.monotonic()
    with clock.settable() as jumps:
        with Flow("jumps") as flow:
            jumped = jump.map(list(range(8)), [jumps] * 8)
        state = flow.run(executor=executor, ledger=place, on_state=hear)
    assert state.is_successful(), state.message
    assert state.result[jumped].result == list(range(8))
    assert clock.monotonic() - began < 20, "no retry waits for an hour"
    ledger = Ledger(place)
    run_id = ledger.flow_runs()[0].run_id
    check_executions(notes, ledger, run_id)
    slugs = {task.index: task.slug for task in ledger.flow(run_id).tasks}
    recorded = histories_in(ledger.states(run_id), slugs)
    for task_run, states in heard.items():
        assert [s.state for s in recorded[task_run]] == states, "counted, not dated"
    assert sum(counts_in(notes).values()) == 12


def test_a_retry_that_was_planned_before_the_clock_was_set_back_comes_after_its_delay(place):
    failed = threading.Event()

    @task(max_retries=1, retry_delay=1)
    def fail_once(began):
        began.append(clock.monotonic())
        if len(began) == 1:
            jumps.set_by(timedelta(hours=1))
            failed.set()
            raise ValueError("the first time")

    @task
    def set_back():
        failed.wait(20)
        # The clock is what it was, before anybody hears of a retry in an hour.
        jumps.set_by(timedelta(hours=-1))

    began: list[float] = []
    with clock.settable() as jumps:
        with Flow("planned before") as flow:
            fail_once(began)
            set_back()
        state = flow.run(ledger=place, executor=LocalDaskExecutor("threads", 2))
    assert state.is_successful()
    assert 0.9 < began[1] - began[0] < 10


def test_a_retry_that_waits_while_the_clock_is_set_back_comes_after_its_delay(place):
    @task(max_retries=1, retry_delay=1)
    def fail_once(began):
        began.append(clock.monotonic())
        if len(began) == 1:
            raise ValueError("the first time")

    def set_back(records):
        if any(record.state == "Retrying" for record in records):
            jumps.set_by(timedelta(hours=-1))

    began: list[float] = []
    with clock.settable() as jumps:
        with Flow("set back") as flow:
            fail_once(began)
        state = flow.run(ledger=place, on_state=set_back)
    assert state.is_successful()
    assert 0.9 < began[1] - began[0] < 10
