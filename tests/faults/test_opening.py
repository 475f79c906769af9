"""The Dask scheduler dies while a run is being opened: before any task has run, and before it is recorded."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed.deploy.subprocess import SubprocessCluster

from prefect_dask import Flow
from prefect_dask.engine.errors import ClusterUnreachable, RunNotOpened
from prefect_dask.engine.executors.dask_hub import Hub
from prefect_dask.engine.node import RunPackage
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.settings import set_temporary_config
from tests.faults.bodies import counted, marks
from tests.faults.cluster import cluster_of, kill_scheduler_of, temporary_cluster
from tests.faults.watching import Watch


class Disturbed(DaskExecutor):
    """Something happens, once, when the cluster is there and a run is about to be opened on it."""

    then: Callable[[], object] | None = None

    def open(self, package: RunPackage) -> Any:
        if self.then is not None:
            then, self.then = self.then, None
            then()
        return super().open(package)


def flow_that_counts(folder: Path) -> tuple[Flow, Any]:
    with Flow("opened") as flow:
        return flow, counted(folder, "ran")


@pytest.mark.parametrize(
    ("whose", "error"), [("the address's", ClusterUnreachable), ("the user's", RunNotOpened)]
)
def test_a_scheduler_that_dies_while_a_run_is_opened_is_named(folder, tmp_path, whose, error):
    ledger = tmp_path / "ledger.sqlite"
    flow, ran = flow_that_counts(folder)
    watch = Watch()
    with (
        set_temporary_config({"engine.fault_tolerance.reconnect_seconds": 1}),
        cluster_of(tmp_path / "cluster", "one") as cluster,
        cluster.client(set_as_default=whose == "the user's"),
    ):
        executor = Disturbed(None if whose == "the user's" else cluster.address)
        executor.client_kwargs = {"timeout": 1}
        executor.then = cluster.scheduler.kill
        with pytest.raises(error) as caught:
            flow.run(executor=executor, ledger=ledger, on_state=watch)

    assert caught.value.address == cluster.address
    assert repr(cluster.address) in str(caught.value)
    assert "that the scheduler runs" in str(caught.value)
    assert not watch.records
    assert not marks(folder, "ran")
    assert not Ledger(ledger).flow_runs(), "it never began"
    with cluster_of(tmp_path / "another", "one") as cluster:
        executor.address = cluster.address
        assert flow.run(executor=executor).result[ran].result == 1


def test_a_run_is_opened_when_the_scheduler_is_back_at_its_address(folder, tmp_path):
    flow, ran = flow_that_counts(folder)
    with cluster_of(tmp_path / "cluster", "one") as cluster:
        executor = Disturbed(cluster.address)

        def die_and_come_back() -> None:
            cluster.close()
            cluster.start_again("two")

        executor.then = die_and_come_back
        # It needs no record: nothing has run.
        state = flow.run(executor=executor, ledger="none")

    assert state.is_successful(), state.message
    assert state.result[ran].result == 1


def test_a_run_is_opened_on_a_new_cluster_where_it_had_made_the_lost_one(folder):
    flow, ran = flow_that_counts(folder)
    executor = Disturbed(**temporary_cluster(1))
    executor.then = partial(kill_scheduler_of, executor)
    state = flow.run(executor=executor, ledger="none")

    assert state.is_successful(), state.message
    assert state.result[ran].result == 1


def test_a_temporary_cluster_whose_scheduler_dies_before_it_is_used_is_named(folder):
    def dead_cluster() -> Any:
        cluster = SubprocessCluster(n_workers=0, scheduler_kwargs={"dashboard": False})
        os.kill(cluster.scheduler.process.pid, signal.SIGKILL)
        return cluster

    flow, _ = flow_that_counts(folder)
    executor = DaskExecutor(cluster_class=dead_cluster, client_kwargs={"timeout": 1})
    with pytest.raises(ClusterUnreachable):
        flow.run(executor=executor)


def test_a_client_whose_question_breaks_off_while_a_run_is_opened_hears_of_the_next_one(
    folder, tmp_path
):
    """Over another connection than the one over which news come, which is there still."""
    flow, ran = flow_that_counts(folder)
    watch = Watch()
    with (
        cluster_of(tmp_path / "cluster", "one") as cluster,
        cluster.client() as client,
        client.as_current(),
    ):
        client.run_on_scheduler(os.getpid)  # what is asked next needs no new connection

        cluster.scheduler.send_signal(signal.SIGSTOP)
        breaking = threading.Thread(target=cluster.break_off_question, args=[client])
        breaking.start()
        with pytest.raises(OSError):
            Hub.of(client)
        breaking.join(30)

        state = flow.run(executor=DaskExecutor(), on_state=watch)

        assert state.is_successful(), state.message
        assert watch.states("counted") == ["Running", "Success"], (
            "the future tells only the last one"
        )
