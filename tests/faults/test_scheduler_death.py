"""The scheduler dies during a run: the run ends, with what was known."""

import signal
import threading
import time

import distributed
import pytest

from prefect_dask import Flow
from prefect_dask.engine.errors import ClusterLost, ResultLost
from prefect_dask.engine.state import Pending
from prefect_dask.executors import DaskExecutor, LocalExecutor
from prefect_dask.limits import set_limit
from prefect_dask.settings import set_temporary_config
from tests.faults.bodies import add, holding, number
from tests.faults.cluster import cluster_of
from tests.faults.watching import Watch
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def no_long_wait():
    """No scheduler comes back in these."""
    with set_temporary_config({"engine.fault_tolerance.reconnect_seconds": 1}):
        yield


def clients_on(client):
    """The clients that the scheduler knows."""
    return client.run_on_scheduler(
        lambda dask_scheduler: [key for key in dask_scheduler.clients if key != "fire-and-forget"]
    )


def flow_that_holds(folder):
    with Flow("cluster lost") as flow:
        first = number(1)
        held = holding(folder, upstream_tasks=[first])
        below = add(first, upstream_tasks=[held])
    return flow, first, held, below


@pytest.mark.parametrize("is_ambient", [False, True], ids=["by address", "ambient client"])
def test_a_run_whose_scheduler_is_killed_fails_and_tells_what_was_reached(
    folder, tmp_path, is_ambient
):
    flow, first, held, below = flow_that_holds(folder)

    with cluster_of(tmp_path / "cluster", "one") as cluster:
        watch = Watch("holding", "Running", lambda record: cluster.scheduler.kill())
        client = distributed.Client(cluster.address) if is_ambient else None
        executor = DaskExecutor() if client else DaskExecutor(cluster.address)
        began = time.monotonic()
        state = flow.run(executor=executor, on_state=watch)
        seconds = time.monotonic() - began
        if client:
            client.close()

        assert seconds < 60
        assert state.is_failed()
        assert type(state.context["error"]) is ClusterLost
        assert state.context["error"].address == cluster.address
        assert cluster.address in state.message
        tasks = state.result
        assert tasks[first].is_successful()
        assert type(tasks[held]) is Pending
        assert tasks[held].message.startswith("attempt lost: the Dask scheduler at")
        assert type(tasks[below]) is Pending
        assert watch.states("holding") == ["Running", "Pending"]
        with pytest.raises(ResultLost, match="'number'"):
            tasks[first].result


def test_a_question_to_the_scheduler_that_breaks_off_does_not_end_the_run(folder, tmp_path):
    """What the workers are, it is asked over another connection than the one over which it knows the run."""
    ledger = str(tmp_path / "ledger.sqlite")
    # Where there is a limit, it is asked that again and again.
    set_limit("tag:scarce", 1, ledger=ledger)
    with Flow("asks") as flow:
        held = holding(folder, task_args={"tags": ["scarce"]})

    def break_off():
        try:
            cluster.break_off_question(client)
        finally:
            (folder / "go").touch()

    breaking = threading.Thread(target=break_off)

    def stop(_):
        cluster.scheduler.send_signal(signal.SIGSTOP)
        breaking.start()

    with (
        cluster_of(tmp_path / "cluster", "one") as cluster,
        cluster.client() as client,
        client.as_current(),
    ):
        watch = Watch("holding", "Running", stop)
        state = flow.run(executor=DaskExecutor(), ledger=ledger, on_state=watch)
        breaking.join(30)

        assert state.is_successful(), state.message
        assert state.result[held].result == "let go"


def test_a_client_that_lost_its_connection_does_not_come_back(tmp_path):
    """Closed while it reconnects, it would perhaps be known to the scheduler for as long as this process lives."""
    with cluster_of(tmp_path / "cluster", "one") as cluster, cluster.client() as other:
        executor = DaskExecutor(cluster.address)
        with executor.start():
            client = executor.client
            future = executor.submit(int, "5")
            assert executor.wait(future) == 5
            client.loop.add_callback(client.scheduler_comm.comm.abort)

            wait_until(client._handle_report_task.done, what="a client that listens no more")

            assert client.status != "running"
            assert future.cancelled()
            wait_until(lambda: clients_on(other) == [other.id], what="a scheduler without it")


def test_after_a_lost_cluster_the_next_run_works(folder, tmp_path):
    flow, first, held, below = flow_that_holds(folder)
    before = set(threading.enumerate())
    with cluster_of(tmp_path / "cluster", "one") as cluster:
        watch = Watch("holding", "Running", lambda record: cluster.scheduler.kill())
        lost = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)
    assert lost.is_failed()
    (folder / "go").touch()

    again = flow.run(executor=LocalExecutor())
    with cluster_of(tmp_path / "another", "one") as cluster:
        elsewhere = flow.run(executor=DaskExecutor(cluster.address))

    assert again.is_successful()
    assert elsewhere.is_successful()
    # That of the ledger stays for a while: the next run needs it.
    ours = {t.name for t in set(threading.enumerate()) - before if t.name.startswith("prefect")}
    left = ours - {"prefect-dask-ledger"}
    assert not left


def test_a_scheduler_that_is_closed_in_good_order_ends_the_run_as_well(folder, tmp_path):
    flow, first, held, below = flow_that_holds(folder)

    with cluster_of(tmp_path / "cluster", "one") as cluster:
        watch = Watch("holding", "Running", lambda record: cluster.scheduler.terminate())
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

    assert state.is_failed()
    assert type(state.context["error"]) is ClusterLost
    assert state.result[first].is_successful()
