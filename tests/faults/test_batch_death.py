"""Workers die in the middle of a batch: it is handed back, and its children run alone."""

import os
import signal
from pathlib import Path

from prefect_dask import Flow, task, unmapped
from prefect_dask.executors import DaskExecutor
from tests.faults.bodies import marks, note, number, total
from tests.faults.cluster import cluster_of
from tests.faults.watching import Watch


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def square(x: int, folder: Path) -> int:
    if x == 2 and len(marks(folder, "died")) < 2:
        note(folder, "died")
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def test_the_children_of_a_batch_that_dask_gave_up_run_alone(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    with Flow("deadly batch") as flow:
        squares = square.map(numbers(number(8)), unmapped(folder), batch=4)
        sum_of_them = total(squares)
    watch = Watch("square")

    with cluster_of(tmp_path / "cluster", "one", "two", "three") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

        assert state.is_successful(), state.message
        assert state.result[squares].result == [x * x for x in range(8)]
        assert state.result[sum_of_them].result == sum(x * x for x in range(8))
    assert len(marks(folder, "died")) == 2
    told = [record.message or "" for record in watch.of("square") if record.map_index == 2]
    assert sum("died while it held this task" in message for message in told) == 2
