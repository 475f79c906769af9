"""What a worker is told at the end of a node goes home with its own word that the node is over."""

import time

from distributed import Client, LocalCluster

from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor

COUNT = 20


@task
def work(i):
    """Work that takes longer than batches are apart: no test waits by it."""
    time.sleep(0.03)
    return i


def test_a_task_that_takes_long_costs_its_worker_one_message():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster),
    ):
        with Flow("one after the other") as flow:
            for i in range(COUNT):
                work(i)
        stream = cluster.workers[0].batched_stream
        before = stream.batch_count
        heard = []
        assert flow.run(executor=DaskExecutor(), on_state=heard.extend).is_successful()
        assert len(heard) == 2 * COUNT
        # Beside one of each: what is said at the begin of the run and at its end.
        assert stream.batch_count - before <= 1.5 * COUNT
