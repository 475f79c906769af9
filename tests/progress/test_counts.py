"""Counting what a flow run is at: changes of state in, numbers out."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask import Flow, task, triggers
from prefect_dask.engine import signals
from prefect_dask.engine.errors import RunInterrupted
from prefect_dask.engine.state import Failed, Running, Success, TimedOut, TriggerFailed, state_at
from prefect_dask.engine.stream import StateChange
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.progress import Watch
from prefect_dask.progress.counting import Counts


@task
def number(n):
    return n


@task
def numbers(n):
    return list(range(n))


@task
def halve(x):
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x / 2


@task(max_retries=2, retry_delay=0)
def third_time(marks):
    marks.append(1)
    if len(marks) < 3:
        raise ValueError("not yet")


def by_name(progress):
    return {each.name: dict(each.states) for each in progress.tasks}


def run_of(flow, **settings):
    """What a run came to, counted."""
    watch = Watch()
    flow.run(progress=watch, ledger="none", **settings)
    return watch.look()


def test_each_task_and_child_is_counted_where_it_came_to():
    with Flow("counts") as flow:
        halves = halve.map(numbers(6))
        number(halves)

    for executor in (LocalExecutor(), LocalDaskExecutor("threads", num_workers=2)):
        now = run_of(flow, executor=executor)

        assert by_name(now) == {
            "numbers": {"Success": 1},
            "halve": {"Success": 3, "Failed": 3},
            "number": {"TriggerFailed": 1},
        }
        assert (now.done, now.known, now.state) == (8, 8, "Failed")
        assert sorted(each.task_run for each in now.failures) == [
            "halve[1]",
            "halve[3]",
            "halve[5]",
        ]
        assert {each.message for each in now.failures} == {"1 is odd", "3 is odd", "5 is odd"}
        halved = now.tasks[1]
        assert (halved.is_mapped, halved.width, halved.done) == (True, 6, 6)
        assert halved.ended is not None and halved.seconds_left is None


def test_what_workers_of_a_cluster_tell_is_counted_alike():
    with Flow("counts") as flow:
        number(halve.map(numbers(40)))

    of_one_worker = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": False,
    }
    now = run_of(flow, executor=DaskExecutor(cluster_kwargs=of_one_worker))

    assert by_name(now) == {
        "numbers": {"Success": 1},
        "halve": {"Success": 20, "Failed": 20},
        "number": {"TriggerFailed": 1},
    }
    assert (now.done, now.known, len(now.failures)) == (42, 42, 20)


def test_a_retry_is_counted_once_and_each_of_its_failures_told():
    with Flow("retries") as flow:
        third_time([])

    now = run_of(flow)

    assert by_name(now)["third_time"] == {"Success": 1}
    assert [each.message for each in now.failures] == ["not yet", "not yet"]


def test_a_loop_is_counted_once():
    @task
    def loop():
        from prefect_dask import context

        if context.get("task_loop_count", 1) < 4:
            raise signals.LOOP()

    with Flow("loops") as flow:
        loop()

    now = run_of(flow)
    assert by_name(now) == {"loop": {"Success": 1}}
    assert (now.done, now.known) == (1, 1)


def test_a_map_over_nothing_and_one_that_failed_as_a_whole_are_done():
    with Flow("maps") as flow:
        halve.map(numbers(0))
        halve.map(number(None))

    now = run_of(flow)

    empty, broken = (each for each in now.tasks if each.name.startswith("halve"))
    assert (empty.width, empty.done) == (0, 0) and empty.ended is not None
    assert (broken.states, broken.done) == ({"Failed": 1}, 1)


def test_a_task_that_is_not_run_yet_is_left_out_and_a_paused_one_is_not_done():
    @task(trigger=triggers.manual_only)
    def approve():
        pass

    with Flow("pauses") as flow:
        number(1, upstream_tasks=[approve()])

    now = run_of(flow)

    assert by_name(now) == {"approve": {"Paused": 1}, "number": {}}
    assert (now.done, now.known, now.state) == (0, 2, "Paused")


def test_what_runs_is_seen_while_it_does():
    begun, may_end = threading.Event(), threading.Event()

    @task
    def held():
        begun.set()
        may_end.wait(20)

    with Flow("held") as flow:
        held()

    watch = Watch()
    runs = threading.Thread(target=lambda: flow.run(progress=watch, ledger="none"))
    runs.start()
    try:
        assert begun.wait(20)
        from tests.waiting import wait_until

        wait_until(lambda: by_name(watch.look()) == {"held": {"Running": 1}})
        assert watch.look().state == "Running"
    finally:
        may_end.set()
        runs.join()
    assert by_name(watch.look()) == {"held": {"Success": 1}}


def test_an_interrupted_run_is_counted_as_far_as_it_came():
    @task
    def interrupted():
        raise KeyboardInterrupt

    with Flow("interrupted") as flow:
        number(1, upstream_tasks=[interrupted()])
    watch = Watch()
    with pytest.raises(RunInterrupted):
        flow.run(progress=watch, ledger="none")
    assert watch.look().state == "Cancelled"


def test_tasks_of_one_name_are_told_by_their_slugs():
    with Flow("twice") as flow:
        number(1)
        number(2)
    assert [each.name for each in run_of(flow).tasks] == ["number", "number-2"]


def test_of_a_large_flow_those_are_shown_where_something_goes_on():
    with Flow("large") as flow:
        for n in range(100):
            number(n)
    counts = Counts.of(flow.describe())
    changes = [change(n, -1, Success, began=1.0) for n in range(60)]
    counts.take([*changes, change(70, -1, Running)])

    shown = counts.tasks(0.0, most=5)

    assert len(shown) == 5
    assert {each.index for each in shown} == {56, 57, 58, 59, 70}
    assert len(counts.tasks(0.0)) == 100


# ---- any order of moves


def change(index, map_index, kind, *, attempt=1, is_over=True, began=None):
    state = state_at(kind, 1.0, None)
    return StateChange((index, map_index, 0), attempt, state, is_over, "", began)


KINDS = [Running, Success, Failed, TimedOut, TriggerFailed]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from(KINDS), st.booleans()), max_size=8),
        max_size=5,
    )
)
def test_the_counts_are_those_of_the_latest_state_of_each_task_run(batches):
    """Whatever comes in which batch; a Success is the last word of a task run."""
    with Flow("mapped") as flow:
        halve.map(numbers(6))
    counts = Counts.of(flow.describe())
    latest = {}
    for batch in batches:
        changes = []
        for child, kind, tells_running in batch:
            if latest.get(child) is Success:
                continue
            is_new = child not in latest
            latest[child] = kind
            tells = tells_running and kind is not Running and is_new
            changes.append(
                change(1, child, kind, is_over=kind is not Running, began=1.0 if tells else None)
            )
        counts.take(changes)

    wanted = {}
    for kind in latest.values():
        wanted[kind.__name__] = wanted.get(kind.__name__, 0) + 1
    assert counts.tasks(0.0)[1].states == wanted
    assert counts.totals()[0] == wanted
