"""Workers die in the middle of recorded runs: what is finished and stored is not run again."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from prefect_dask import Flow, unmapped
from prefect_dask.engine import clock
from prefect_dask.engine.errors import WorkerDied
from prefect_dask.engine.state import Crashed, Failed, TriggerFailed
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.settings import set_temporary_config
from tests.durability.flows_of_deaths import (
    deadly_list,
    die,
    die_beside,
    die_once,
    die_with,
    double,
    fail_twice,
    hold,
    numbers,
    outlast,
    tidy_up,
    total,
    turn,
    wide_flow,
)
from tests.faults.cluster import cluster_of
from tests.outside_ledger import check_executions, counts_in, executions_in, histories_in
from tests.waiting import wait_until

WIDTH = 1000

#: Of the two maps together; half of the second one waits until the worker is dead.
KILL_AT = WIDTH // 2


class KillAt:
    """A listener that kills the worker that did most, when so many children are finished; then the others go on."""

    def __init__(self, count: int, notes: Path) -> None:
        self.count, self.notes = count, notes
        self.killed: int | None = None
        self.finished_before: set[tuple[str, int]] = set()

    def __call__(self, records) -> None:
        for record in records:
            if self.killed is None and record.state == "Success" and record.map_index >= 0:
                self.finished_before.add((record.task_slug, record.map_index))
                if len(self.finished_before) >= self.count:
                    done = Counter(each.pid for each in executions_in(self.notes))
                    self.killed = done.most_common(1)[0][0]
                    os.kill(self.killed, signal.SIGKILL)
                    self.notes.with_name("go").touch()


def last_run(place):
    ledger = Ledger(place)
    return ledger, ledger.flow_runs()[0].run_id


def test_a_worker_killed_in_the_middle_of_a_map_costs_nothing_that_is_stored(place, tmp_path):
    notes = tmp_path / "notes"
    flow = wide_flow(notes, WIDTH)
    with cluster_of(tmp_path / "cluster", "one", "two", "three", "four") as cluster:
        killing = KillAt(KILL_AT, notes)
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=killing)

    assert state.is_successful(), state.message
    [whole] = [s.result for t, s in state.result.items() if t.name == "total"]
    assert whole == sum(2 * x + 1 for x in range(WIDTH))
    counts = counts_in(notes)
    assert not {task_run for task_run in killing.finished_before if counts[task_run] > 1}
    check_executions(notes, *last_run(place))


def test_of_results_in_memory_only_those_are_made_again_that_lay_on_the_dead_worker(
    place, tmp_path
):
    notes = tmp_path / "notes"
    flow = wide_flow(notes, WIDTH, durable=False)
    flow.durable = False
    with cluster_of(tmp_path / "cluster", "one", "two", "three", "four") as cluster:
        killing = KillAt(KILL_AT, notes)
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=killing)

    assert state.is_successful(), state.message
    ledger, run_id = last_run(place)
    check_executions(notes, ledger, run_id)
    by_run = {}
    for each in executions_in(notes):
        by_run.setdefault(each.task_run, []).append(each.pid)
    again = {task_run: pids for task_run, pids in by_run.items() if len(pids) > 1}
    assert again, "nothing had lain there"
    assert all(killing.killed in pids[:-1] and len(pids) == 2 for pids in again.values())
    slugs = {task.index: task.slug for task in ledger.flow(run_id).tasks}
    histories = histories_in(ledger.states(run_id), slugs)
    for task_run in again:
        causes = [s.message for s in histories[task_run] if s.state == "Pending"]
        assert len(causes) == 1
        assert "died while it held this task" in str(causes[0])


def test_of_results_in_memory_one_that_lies_on_another_worker_too_is_not_made_again(
    place, tmp_path
):
    """`shared` and `alone` are made on the worker that dies; `hold` has taken `shared` to the other one."""
    notes = tmp_path / "notes"
    with Flow("two copies", durable=False) as flow:
        shared = double(notes, 1, task_args={"name": "shared", "tags": ["dask-resource:DIES=1"]})
        alone = double(notes, 10, task_args={"name": "alone", "tags": ["dask-resource:DIES=1"]})
        held = hold(notes, shared, task_args={"tags": ["dask-resource:STAYS=1"]})
        whole = total(notes, [shared, alone, held])

    def most_copies(dask_scheduler) -> int:
        return max(len(each.who_has or ()) for each in dask_scheduler.tasks.values())

    def kill(records) -> None:
        known.update(r.task_name for r in records if r.state == "Success")
        known.update("held" for r in records if r.task_name == "hold" and r.state == "Running")
        if {"shared", "alone", "held"} <= known and cluster.workers["dies"].poll() is None:
            with cluster.client() as client:
                wait_until(lambda: client.run_on_scheduler(most_copies) == 2)
            cluster.workers["dies"].kill()
            cluster.workers["dies"].wait()
            cluster.add_worker("another", "--resources", "DIES=1")
            notes.with_name("go").touch()

    known: set[str] = set()
    with cluster_of(tmp_path / "cluster", is_ready=False) as cluster:
        cluster.add_worker("dies", "--resources", "DIES=1")
        cluster.add_worker("stays", "--resources", "STAYS=1")
        cluster.wait_for_workers()
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=kill)
    assert state.is_successful(), state.message
    assert state.result[whole].result == 2 + 20 + 2
    check_executions(notes, *last_run(place))
    names = Counter(each.task.partition("-")[0] for each in executions_in(notes))
    assert names == {"shared": 1, "alone": 2, "hold": 1, "total": 1}


@pytest.mark.parametrize("is_stored", [False, "auto"], ids=["in memory", "stored"])
def test_what_was_let_go_is_made_again_only_where_that_is_needed(place, tmp_path, is_stored):
    notes = tmp_path / "notes"
    with Flow("let go", durable=is_stored) as flow:
        first = double(notes, 1)
        second = double(notes, first)
        last = die_once(notes, second)

    def tell(records) -> None:
        done = [r for r in records if r.task_slug == "double-2" and r.state == "Success"]
        if done:
            notes.with_name("known").touch()

    # What nobody asked to keep is let go when nothing below needs it any more.
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(
            executor=DaskExecutor(cluster.address, grouping="never"),
            ledger=place,
            on_state=tell,
            return_tasks=[last],
        )
    assert state.is_successful(), state.message
    assert state.result[last].result == 4
    check_executions(notes, *last_run(place))
    counts = counts_in(notes)
    assert counts["die_once-1", -1] == 2
    times = 1 if is_stored else 2
    assert (counts["double-1", -1], counts["double-2", -1]) == (times, times)


def test_a_loop_goes_on_at_the_turn_in_which_its_worker_died(place, tmp_path):
    notes = tmp_path / "notes"
    with Flow("turns") as flow:
        counted = turn(notes, 5)

    def tell(records) -> None:
        told.extend(records)
        if sum(record.state == "Looped" for record in told) == 2:
            notes.with_name("known").touch()

    told: list[StateRecord] = []
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=tell)
    assert state.is_successful(), state.message
    assert state.result[counted].result == [1, 2, 3, 4, 5]
    assert counts_in(notes)["turn-1", -1] == 6, "the third one twice"
    check_executions(notes, *last_run(place))


@pytest.mark.parametrize("has_nanny", [True, False], ids=["nanny", "no nanny"])
def test_what_kills_each_worker_that_runs_it_is_crashed_and_the_rest_goes_on(
    place, tmp_path, has_nanny
):
    notes = tmp_path / "notes"
    with Flow("deadly") as flow:
        fatal = die(notes, task_args={"max_retries": 2, "retry_delay": 60})
        siblings = double.map([notes] * 40, list(range(40)))
        below = double(notes, fatal)
        last = tidy_up(notes, upstream_tasks=[fatal])
    crashed_at: list[float] = []

    def tell(records) -> None:
        crashed_at.extend(clock.monotonic() for r in records if r.state == "Crashed")

    with set_temporary_config({"engine.fault_tolerance.worker_deaths": 1}):
        if has_nanny:
            executor = DaskExecutor(
                cluster_kwargs={"n_workers": 2, "threads_per_worker": 1, "processes": True}
            )
            state = flow.run(executor=executor, ledger=place, on_state=tell)
        else:
            with cluster_of(tmp_path / "cluster", "one", "two", "three") as cluster:
                executor = DaskExecutor(cluster.address)
                state = flow.run(executor=executor, ledger=place, on_state=tell)
                results = state.result[siblings].result

    tasks = state.result
    assert type(tasks[fatal]) is Crashed
    error = tasks[fatal].result
    assert type(error) is WorkerDied
    assert error.deaths == 2
    assert error.worker.startswith("tcp://")
    assert error.exit_code == (3 if has_nanny else None)
    assert ("with exit code 3" in str(error)) == has_nanny
    results = tasks[siblings].result if has_nanny else results
    assert results == [2 * x for x in range(40)]
    assert type(tasks[below]) is TriggerFailed
    assert tasks[last].is_successful()
    ledger, run_id = last_run(place)
    check_executions(notes, ledger, run_id)
    assert counts_in(notes)["die-1", -1] == 2, "infrastructure deaths use up no retry"
    last_death = max(e.time_ns for e in executions_in(notes) if e.task == "die-1") / 1e9
    assert [0 < at - last_death < 30 for at in crashed_at] == [True]
    exits = [e.details for e in ledger.cluster_events(run_id) if e.kind == "exited"]
    assert exits == [{"exit_code": 3}] * (2 if has_nanny else 0)
    attempts = ledger.attempts(
        run_id, next(t.index for t in ledger.flow(run_id).tasks if t.name == "die")
    )
    assert [each.state for each in attempts] == ["Pending", "Crashed"]
    assert all("died" in str(each.cause_of_death) for each in attempts)


@pytest.mark.parametrize("what", ["a body", "the laying out of a map"])
def test_what_kills_each_worker_is_given_up_also_where_its_input_is_made_again(
    place, tmp_path, what
):
    """The input lies in the memory of the worker that dies, so that whoever takes it waits for it once more."""
    notes = tmp_path / "notes"
    with Flow("deadly", durable=False) as flow:
        if what == "a body":
            fatal = die_with(notes, numbers(3))
        else:
            fatal = double.map(unmapped(notes), deadly_list(notes))
        over, below = double.map(unmapped(notes), fatal), total(notes, fatal)
        last = tidy_up(notes, upstream_tasks=[fatal])
    with (
        set_temporary_config({"engine.fault_tolerance.worker_deaths": 1}),
        # Without nannies, for whose word how a worker ended is waited before a task run is given up.
        cluster_of(tmp_path / "cluster", "one", "two", "three", "four") as cluster,
    ):
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place)
        tasks = state.result

        assert type(tasks[fatal]) is Crashed, tasks[fatal]
        assert tasks[fatal].result.deaths == 2
        assert type(tasks[over]) is Failed
        assert type(tasks[below]) is TriggerFailed
        assert tasks[last].is_successful()
    check_executions(notes, *last_run(place))


def test_what_is_at_work_in_another_thread_of_a_worker_that_a_task_ends_is_not_given_up(
    place, tmp_path
):
    notes = tmp_path / "notes"
    with Flow("beside") as flow:
        fatal, beside = die_beside(notes), outlast(notes)
        waits = double.map([notes] * 20, list(range(20)))
    with (
        set_temporary_config({"engine.fault_tolerance.worker_deaths": 1}),
        cluster_of(tmp_path / "cluster", is_ready=False) as cluster,
    ):
        cluster.add_worker("two threads", "--nanny", "--nthreads", "2")
        cluster.wait_for_workers()
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place)
        tasks = state.result

        assert (type(tasks[fatal]), tasks[fatal].result.deaths) == (Crashed, 2)
        assert tasks[beside].result == "there", tasks[beside].message
        assert tasks[waits].result == [2 * x for x in range(20)]
    check_executions(notes, *last_run(place))
    assert counts_in(notes)["die_beside-1", -1] == 2


def test_a_retry_during_which_a_worker_dies_is_the_same_retry_again(place, tmp_path):
    notes = tmp_path / "notes"
    with Flow("twice") as flow:
        fail_twice(notes)
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place)
    assert state.is_failed()
    check_executions(notes, *last_run(place))
    assert [each.attempt for each in executions_in(notes)] == [1, 2, 2]


def test_a_worker_that_leaves_in_good_order_costs_no_retry_and_fails_nothing(place, tmp_path):
    notes = tmp_path / "notes"
    with Flow("leaving") as flow:
        retried = {"max_retries": 1, "retry_delay": 0}
        held = hold.map([notes] * 4, list(range(4)), task_args=retried)
    with (
        set_temporary_config({"engine.fault_tolerance.worker_deaths": 0}),
        cluster_of(tmp_path / "cluster", "stays") as cluster,
    ):
        # Walltime: as batch systems end workers.
        cluster.add_worker("short", "--lifetime", "2s")
        cluster.add_worker("retired")
        cluster.wait_for_workers()
        is_told = threading.Event()

        def retire(records) -> None:
            began = [r for r in records if r.state == "Running" and r.map_index >= 0]
            if began and not is_told.is_set():
                is_told.set()
                threading.Thread(target=let_them_leave, daemon=True).start()

        def let_them_leave() -> None:
            with cluster.client() as client:
                retired = [
                    w
                    for w, about in client.scheduler_info()["workers"].items()
                    if about["name"] == "retired"
                ]
                client.retire_workers(retired)
            cluster.workers["short"].wait(30)
            notes.with_name("go").touch()

        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=retire)
        assert state.is_successful(), state.message
        assert state.result[held].result == list(range(4))
    ledger, run_id = last_run(place)
    check_executions(notes, ledger, run_id)
    assert not {s.state for s in ledger.states(run_id)} & {"Failed", "Retrying", "Crashed"}
    executions = executions_in(notes)
    assert len(executions) > 4, "some were at work on those that left"
    assert {each.attempt for each in executions} == {1}
    assert {
        s.attempt for s in ledger.states(run_id) if s.state == "Success" and s.map_index >= 0
    } == {1}
    assert {e.kind for e in ledger.cluster_events(run_id)} == {"left"}
