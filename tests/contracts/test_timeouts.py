"""A time limit holds on every executor, and touches nothing but its own task."""

import os
import threading
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from prefect_dask import Flow, task, triggers
from prefect_dask.engine.state import Success, TimedOut
from prefect_dask.executors import LocalDaskExecutor
from tests.contracts.observed import logged_records
from tests.contracts.places import ELSEWHERE
from tests.contracts.small_tasks import give, take_long
from tests.waiting import wait_for_file, wait_until

LIMIT_SECONDS = 0.5


@task
def sleep(seconds, pid_file=None):
    """In one call into C, which no exception interrupts."""
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()))
    time.sleep(seconds)


def run_timed(flow, executor):
    """The flow's state, and the seconds that it took; starting the executor is not counted."""
    with executor.start():
        began = time.monotonic()
        state = flow.run(executor=executor)
        return state, time.monotonic() - began


def test_a_body_that_sleeps_is_given_up_within_two_seconds_of_its_limit(place, executor):
    # In this process a sleeper outlives the test; it should not do so for a minute.
    seconds = 60 if place in ELSEWHERE else 6
    with Flow("sleeper") as flow:
        before = give("before")
        late = sleep(seconds, upstream_tasks=[before], task_args={"timeout": LIMIT_SECONDS})
        after = give("after", upstream_tasks=[late], task_args={"trigger": triggers.all_failed})
        beside = [give(i) for i in range(5)]

    records: list[Any] = []
    state = flow.run(executor=executor, on_state=records.extend)

    assert type(state.result[late]) is TimedOut
    assert "timed out after 0.5 s" in str(state.result[late].message)
    began, given_up = (r.timestamp for r in records if r.task_name == "sleep")
    assert given_up - began < LIMIT_SECONDS + 2
    assert [type(state.result[t]) for t in (before, after, *beside)] == [Success] * 7


def test_a_body_in_its_own_process_is_really_stopped_and_its_slot_is_free_again(executor, tmp_path):
    """More sleepers than slots: the later ones run only when the slots of the first are free."""
    pids = [tmp_path / f"pid {i}" for i in range(3)]
    limit = {"timeout": LIMIT_SECONDS, "isolation": "process"}
    with Flow("isolated sleepers") as flow:
        late = [sleep(60, path, task_args=limit) for path in pids]
        after = give(1, upstream_tasks=late, task_args={"trigger": triggers.all_failed})

    state, seconds = run_timed(flow, executor)

    assert [type(state.result[t]) for t in late] == [TimedOut] * 3
    assert state.result[after].result == 1
    assert seconds < 3 * LIMIT_SECONDS + 5
    for path in pids:
        assert not psutil.pid_exists(int(path.read_text()))


def test_a_timeout_never_touches_another_task(executor):
    """Short bodies and late ones in turn, in the same threads and processes."""
    with Flow("mixed") as flow:
        late, sound = [], []
        for i in range(8):
            late.append(take_long(60, task_args={"timeout": 0.1}))
            sound += [give(i, task_args={"timeout": 20}), give(i)]

    state = flow.run(executor=executor)

    assert {type(state.result[t]) for t in late} == {TimedOut}
    assert {type(state.result[t]) for t in sound} == {Success}


def test_what_a_late_body_returns_is_discarded_and_logged(place, executor, tmp_path):
    """The last task of the flow runs until the log line about the late body has come home."""
    if place == "processes":
        # A process sends lines home while it runs a node; here the one that has the late body does.
        executor = LocalDaskExecutor("processes", num_workers=1)

    @task(timeout=0.2)
    def stubborn():
        for _ in range(2):  # the stop comes once, wherever it finds this
            with suppress(BaseException):  # what users write
                wait_until((tmp_path / "go").exists)
        return "too late"

    @task(trigger=triggers.all_failed)
    def wait_for_the_line(after):
        (tmp_path / "go").touch()
        return wait_for_file(tmp_path / "told", 20)

    with Flow("late") as flow:
        late = stubborn()
        told = wait_for_the_line(late)

    with logged_records() as lines:
        teller = threading.Thread(target=tell_when_logged, args=(lines, tmp_path / "told"))
        teller.start()
        state = flow.run(executor=executor)
        teller.join()

    assert state.result[told].result == "ended after its time limit"
    assert type(state.result[late]) is TimedOut
    assert "timed out" in str(state.result[late].result)


def tell_when_logged(lines, path):
    text = "ended after its time limit"
    with suppress(TimeoutError):  # the task that waits for it tells
        wait_until(lambda: any(text in line.getMessage() for line in lines), 20)
        path.write_text(text)


@pytest.mark.parametrize("limit", [0.2, 30])
def test_a_limit_holds_for_each_attempt_alone(limit, executor):
    rule = {"timeout": limit, "max_retries": 2, "retry_delay": 0}
    with Flow("attempts") as flow:
        slow = take_long(0.01 if limit == 30 else 60, task_args=rule)
    attempts: list[Any] = []
    state = flow.run(executor=executor, on_state=attempts.extend)
    assert type(state.result[slow]) is (Success if limit == 30 else TimedOut)
    assert attempts[-1].attempt == (1 if limit == 30 else 3)
