"""A Dask worker dies while it runs a task: an attempt is lost, not the run."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from prefect_dask import Flow, task, triggers
from prefect_dask.engine.errors import ResultLost, WorkerDied
from prefect_dask.engine.node import current_node
from prefect_dask.engine.state import Crashed, Failed, TriggerFailed
from prefect_dask.executors import DaskExecutor
from prefect_dask.settings import set_temporary_config
from tests.faults.bodies import (
    add,
    counted,
    dying,
    holding,
    marks,
    note,
    number,
)
from tests.faults.cluster import cluster_of
from tests.faults.watching import Watch, show
from tests.waiting import wait_until


@task(trigger=triggers.all_finished)
def after_all(folder: Path) -> str:
    note(folder, "after_all")
    return "ran"


def test_a_task_whose_worker_ends_itself_runs_again_and_the_record_shows_it(folder, tmp_path):
    with Flow("dies once") as flow:
        survivor = dying(folder, times=1)
        below = add(number(1), upstream_tasks=[survivor])
    watch = Watch("dying", "Running", show(folder))

    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.is_successful()
    assert state.result[survivor].result == "survived"
    assert state.result[below].result == 2
    assert watch.states("dying") == ["Running", "Pending", "Running", "Success"]
    lost, again = watch.of("dying")[1:3]
    assert lost.message == f"attempt lost: worker {lost.worker} died while it held this task"
    assert again.worker != lost.worker
    assert len(marks(folder, "dying")) == 2


def test_a_task_whose_worker_is_killed_from_outside_runs_again(folder, tmp_path):
    with Flow("killed from outside") as flow:
        held = holding(folder)

    def kill_it(record):
        began = wait_until(lambda: marks(folder, "holding-began"))
        (folder / "go").touch()
        os.kill(int(began[0].read_text()), signal.SIGSTOP)  # so that it cannot go on meanwhile
        os.kill(int(began[0].read_text()), signal.SIGKILL)

    watch = Watch("holding", "Running", kill_it)
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.result[held].result == "let go"
    assert watch.states("holding")[:2] == ["Running", "Pending"]
    assert watch.states("holding")[-2:] == ["Running", "Success"]


@pytest.fixture
def one_death_is_borne():
    """A task run is Crashed with the second worker that dies on it."""
    with set_temporary_config({"engine.fault_tolerance.worker_deaths": 1}):
        yield


@pytest.fixture
def no_death_is_borne():
    """A task run is Crashed with the first worker that dies on it."""
    with set_temporary_config({"engine.fault_tolerance.worker_deaths": 0}):
        yield


def test_what_kills_every_worker_is_given_up_and_the_rest_goes_on(
    folder, tmp_path, one_death_is_borne
):
    with Flow("kills workers") as flow:
        fatal = dying(folder, times=99)
        sibling = counted(folder, "sibling")
        below = add(fatal)
        last = after_all(folder, upstream_tasks=[fatal, sibling])
        flow.set_reference_tasks([below, last])
    watch = Watch("dying", "Running", show(folder))

    with cluster_of(tmp_path / "cluster", "one", "two", "three") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

        tasks = state.result
        assert state.is_failed()
        assert type(tasks[fatal]) is Crashed
        assert type(tasks[fatal].result) is WorkerDied
        workers = {record.worker for record in watch.of("dying") if record.state == "Running"}
        assert len(workers) == 2
        assert tasks[fatal].result.worker in workers
        assert tasks[fatal].result.deaths == 2
        assert f"2 workers died while they ran it, the last one {tasks[fatal].result.worker}" in (
            tasks[fatal].message
        )
        assert tasks[sibling].result == 1
        assert tasks[below].is_failed()
        assert tasks[below].message.startswith("'add' did not run: 'dying' crashed: ")
        assert watch.states("add") == ["TriggerFailed"]
        assert tasks[last].result == "ran"
        assert watch.states("dying") == ["Running", "Pending", "Running", "Crashed"]


@task
def made_once(folder: Path) -> int:
    """Succeeds once; ends its process each time that it is asked again."""
    note(folder, "made")
    if len(marks(folder, "made")) > 1:
        os._exit(3)
    return 7


@task
def consume(folder: Path, x: int, *, must_be_seen: bool) -> int:
    """Ends its worker, which holds the only copy of its input; the second time it succeeds."""
    note(folder, "consume")
    if must_be_seen:
        wait_until((folder / "seen-1").exists)
    if len(marks(folder, "consume")) == 1:
        os._exit(3)
    return x + 1


@pytest.mark.parametrize("is_known", [True, False])
def test_a_result_that_dies_with_its_worker_is_made_again(folder, tmp_path, is_known, caplog):
    with Flow("result dies", durable=False) as flow:
        made = counted(folder, "made", 7)
        used = consume(folder, made, must_be_seen=is_known)
    watch = Watch("counted", "Success", show(folder))

    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.is_successful(), state.result
    assert len(marks(folder, "made")) == 2
    assert state.result[used].result == 8
    assert state.result[made].result == 7
    assert watch.states("counted")[-3:] == ["Pending", "Running", "Success"]
    # Which of both depends on whether its first Success came home before the worker died.
    remade = "task 'counted': its result is lost and is made again: worker tcp" in caplog.text
    assert watch.states("counted").count("Success") == 1 + remade
    lost = re.search("tasks? 'counted'(, 'consume')?: attempt lost: worker tcp", caplog.text)
    assert remade or (not is_known and lost)


def test_a_run_ends_when_a_finished_result_is_lost_and_cannot_be_made_again(
    folder, tmp_path, no_death_is_borne
):
    with Flow("lost for good", durable=False) as flow:
        made = made_once(folder)
        used = consume(folder, made, must_be_seen=True)
        below = add(used)
        other = number(3)
    watch = Watch("made_once", "Success", show(folder))

    with cluster_of(tmp_path / "cluster", "one", "two", "three", allowed_failures=0) as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    tasks = state.result
    assert state.is_failed()
    assert type(tasks[made]) is Crashed
    assert watch.states("made_once")[1:3] == ["Success", "Pending"]
    assert type(tasks[used]) is Crashed
    assert type(tasks[below]) is TriggerFailed
    assert tasks[other].result == 3


def test_a_worker_that_leaves_in_good_order_while_it_runs_a_task_does_no_harm(folder, tmp_path):
    with Flow("leaves") as flow:
        held = holding(folder)

    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:

        def retire(record):
            if not (folder / "go").exists():  # the other one stays
                with cluster.client() as client:
                    client.retire_workers([record.worker])
                (folder / "go").touch()

        watch = Watch("holding", "Running", retire)
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.result[held].result == "let go"
    assert watch.states("holding").count("Success") == 1


class Deadly:
    """Is a five elsewhere; ends its process when it is about to leave it, but for so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __reduce__(self):
        self.times -= 1
        if self.times < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return int, (5,)


@task
def deadly(times: int) -> Deadly:
    return Deadly(times)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_last_worker_that_dies_when_all_is_over_is_not_waited_for(recorded, tmp_path, caplog):
    with Flow("all over") as flow:
        made = deadly(2 if recorded else 1)  # it is looked whether it can leave, and it is kept

    with cluster_of(tmp_path / "cluster", "one") as cluster:
        ledger = str(tmp_path / "ledger.sqlite") if recorded else "none"
        watch = Watch("deadly", "Success")
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch, ledger=ledger)

    assert state.is_successful()
    assert state.result[made].is_successful()
    if recorded:
        assert state.result[made].result == 5
    else:
        with pytest.raises(ResultLost, match="the worker where it lay died"):
            _ = state.result[made].result
    assert ("task 'deadly': its result is lost" in caplog.text) is not recorded


def test_a_cluster_that_is_restarted_crashes_what_ran_and_the_run_ends(folder, tmp_path):
    with Flow("restarted") as flow:
        held = holding(folder)
        below = add(1, upstream_tasks=[held])

    with cluster_of(tmp_path / "cluster", "one") as cluster:

        def restart(record):
            with cluster.client() as client:
                client.restart(wait_for_workers=False)
            cluster.add_worker("new")

        watch = Watch("holding", "Running", restart)
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.is_failed()
    assert type(state.result[held]) is Crashed
    assert type(state.result[below]) is TriggerFailed


def test_what_is_stopped_by_a_worker_that_leaves_does_not_count_as_over(tmp_path):
    def stop_all_here():
        (folder / "began").open("a").write("x")
        at = current_node()
        assert at is not None
        at[0].stop()  # as when a worker leaves, but this one stays
        threading.Event().wait(20)

    folder = tmp_path
    with Flow("stopped") as flow:
        stopped = task(stop_all_here)()
        below = add(1, upstream_tasks=[stopped])

    with cluster_of(tmp_path / "cluster", "one") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address))

    assert state.is_failed(), "it is Pending where the task counts as over"
    assert type(state.result[stopped]) is Crashed
    assert "does not host" in state.result[stopped].message
    assert isinstance(state.result[below], Failed)
    assert (folder / "began").read_text() == "x"


def test_a_worker_without_this_package_that_joins_late_does_no_harm(folder, tmp_path):
    with Flow("late") as flow:
        held = [holding(folder, name) for name in ("one", "two", "three")]

    with cluster_of(tmp_path / "cluster", "one") as cluster:

        def join(record):
            cluster.add_bare_worker("bare")
            wait_until(lambda: "No module named 'prefect_dask'" in cluster.log("bare"))
            (folder / "go").touch()

        watch = Watch("holding", "Running", join)
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.is_successful()
    assert [state.result[one].result for one in held] == ["let go"] * 3
