"""A worker that is stopped, and is one of its cluster still, holds up nobody who does not need it."""

import os
import signal
import threading
import time

import pytest

from prefect_dask import Flow, cancel
from prefect_dask.engine.state import Cancelled
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import holding, number
from tests.faults.cluster import cluster_of
from tests.waiting import wait_until


@pytest.fixture
def cluster(tmp_path):
    """Two workers, of which `stop` stops the one called "left"."""
    with cluster_of(tmp_path / "cluster", "left", "right") as both:
        both.wait_for_workers()
        try:
            yield both
        finally:
            os.kill(both.workers["left"].pid, signal.SIGCONT)


def stop(cluster) -> None:
    os.kill(cluster.workers["left"].pid, signal.SIGSTOP)


def test_a_run_begins_and_ends_beside_it(cluster):
    cluster.add_worker("able", "--resources", "able=1")
    cluster.wait_for_workers()
    with Flow("beside") as flow:
        made = number(41, task_args={"tags": ["dask-resource:able=1"]})
    stop(cluster)
    begun = time.monotonic()

    state = flow.run(executor=DaskExecutor(cluster.address))

    assert state.is_successful() and state.result[made].result == 41
    assert time.monotonic() - begun < 30, "Dask gives a worker up after five minutes"


def test_a_cancelled_run_is_over_in_time(cluster, tmp_path, folder):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with Flow("cancelled") as flow:
        held = [holding(folder, "left"), holding(folder, "right")]
    states = []
    at_work = threading.Event()
    running: set[int] = set()

    def watch(records) -> None:
        running.update(r.task_index for r in records if r.state == "Running")
        if len(running) == len(held):
            at_work.set()

    def run() -> None:
        executor = DaskExecutor(cluster.address)
        states.append(flow.run(executor=executor, ledger=ledger, on_state=watch))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert at_work.wait(30)
        stop(cluster)
        asked = time.monotonic()

        cancel(ledger.flow_runs()[0].run_id, ledger=ledger, grace_seconds=1)

        wait_until(lambda: states, 30)
        assert time.monotonic() - asked < 1 + 5 + 2, "two seconds until it is heard"
    finally:
        (folder / "go").touch()
        thread.join(60)
    assert type(states[0]) is Cancelled
