"""What the ledger tells of runs on a Dask cluster."""

from pathlib import Path

from prefect_dask import Flow, context, task
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import dying_at_once, wait_to_be_seen
from tests.faults.cluster import cluster_of


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
