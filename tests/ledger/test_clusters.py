"""What the ledger tells of runs on a Dask cluster."""

import threading
from collections.abc import Sequence
from pathlib import Path

import dask
import distributed

from prefect_dask import Flow, context, task, unmapped
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import dying_at_once, marks, note, wait_to_be_seen
from tests.faults.cluster import cluster_of
from tests.waiting import wait_until


@task
def talk(x: int) -> int:
    context.logger.info("item %s", x)
    return x


def test_a_worker_that_dies_is_told_with_what_it_held(tmp_path: Path):
    folder, place = tmp_path / "marks", tmp_path / "its.sqlite"
    folder.mkdir()
    with Flow("on a cluster") as flow:
        dying_at_once(folder, times=1)
        talk.map([1, 2])

    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=place)

    assert state.is_successful()
    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    its = next(each for each in ledger.task_runs(run.run_id) if each.task_name == "dying_at_once")
    lost, survived = ledger.attempts(run.run_id, its.task)
    assert "died while it held this task" in str(lost.cause_of_death)
    assert survived.state == "Success" and survived.worker != lost.worker
    events = [(event.kind, event.worker) for event in ledger.cluster_events(run.run_id)]
    assert events == [("died", lost.worker)]
    told = {
        (line.map_index, line.message)
        for line in ledger.logs(run.run_id)
        if line.task_name == "talk"
    }
    assert told == {(0, "item 1"), (1, "item 2")}


def test_a_worker_that_joins_in_mid_run_is_told(tmp_path: Path):
    folder, place = tmp_path / "marks", tmp_path / "its.sqlite"
    folder.mkdir()

    @task
    def wait() -> None:
        wait_to_be_seen(folder, "wait")

    with cluster_of(tmp_path / "cluster", "one") as cluster:

        def add_another(records: object) -> None:
            if "two" not in cluster.workers:
                cluster.add_worker("two")
                cluster.wait_for_workers()
                (folder / "seen-1").touch()

        flow = Flow("grows", tasks=[wait])
        flow.run(executor=DaskExecutor(cluster.address), ledger=place, on_state=add_another)

    ledger = Ledger(place)
    events = ledger.cluster_events(ledger.flow_runs()[0].run_id)
    assert [event.kind for event in events] == ["joined"]


def test_a_worker_that_takes_too_much_memory_and_one_that_writes_results_to_its_disk_are_told(
    tmp_path: Path,
):
    place, told = tmp_path / "its.sqlite", threading.Event()

    @task
    def greedy(folder: Path) -> None:
        note(folder, "greedy")
        if len(marks(folder, "greedy")) == 1:
            taken = b"x" * 400_000_000
            wait_until(lambda: not taken, 50)

    @task(durable=False)
    def large(x: int) -> bytes:
        return bytes(2_000_000)

    @task(durable=False)
    def wait(xs: object, folder: Path) -> None:
        wait_to_be_seen(folder, "wait")

    with Flow("spills") as flow:
        taken = greedy(tmp_path)
        wait(large.map([*range(20)], batch=1, upstream_tasks=[unmapped(taken)]), tmp_path)

    def look(records: Sequence[StateRecord]) -> None:
        ledger = Ledger(place)
        while not told.is_set() and any(r.task_name == "wait" for r in records):
            if any(
                e.kind == "spilled" for e in ledger.cluster_events(ledger.flow_runs()[0].run_id)
            ):
                told.set()
            told.wait(0.1)
        if told.is_set():
            (tmp_path / "seen-1").touch()

    settings = {"distributed.worker.memory.target": 0.05, "distributed.worker.memory.spill": False}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="400MB", dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        state = flow.run(executor=DaskExecutor(), ledger=place, on_state=look)

    assert state.is_successful()
    ledger = Ledger(place)
    run_id = ledger.flow_runs()[0].run_id
    events = {event.kind: event for event in ledger.cluster_events(run_id)}
    assert events["spilled"].details["spilled_bytes"] > 1_000_000
    assert events["out of memory"].details["rss_bytes"] > 380e6
    its = next(each.task for each in ledger.task_runs(run_id) if each.task_name == "greedy")
    killed, survived = ledger.attempts(run_id, its)
    assert killed.worker == events["out of memory"].worker
    assert "its nanny ended it because it had taken" in str(killed.cause_of_death)
    assert survived.state == "Success"
