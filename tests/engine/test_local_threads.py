"""A pool has as many threads and processes at work as there are nodes for them."""

import queue
import threading
from datetime import datetime, timezone

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.executors.local import Lane, PooledRun
from prefect_dask.engine.hand_over import HandOver
from prefect_dask.engine.node import RunPackage
from prefect_dask.engine.state import Success
from prefect_dask.executors import LocalDaskExecutor
from tests.engine.plain_graphs import graph_of
from tests.waiting import wait_for_file, wait_until


@task
def first():
    return 1


@task
def meet(mine, others):
    """Ends when the other one has begun."""
    mine.write_text("here")
    return wait_for_file(others)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_two_branches_below_one_task_run_at_the_same_time(tmp_path, scheduler):
    with Flow("fork") as flow:
        above = first()
        meet(tmp_path / "one", tmp_path / "other", upstream_tasks=[above])
        meet(tmp_path / "other", tmp_path / "one", upstream_tasks=[above])

    assert flow.run(executor=LocalDaskExecutor(scheduler, num_workers=2)).is_successful()


@pytest.mark.parametrize("count", [0, "4", 2.5])
def test_a_pool_needs_a_number_of_workers(count):
    with pytest.raises(ValueError, match=f"num_workers must be .* at least 1, got {count!r}"):
        LocalDaskExecutor("threads", num_workers=count)


# ---- nobody waits at the board


class HeldLane(Lane):
    """Each node tells that it began, and ends when it is let go."""

    name = "held"

    def __init__(self):
        self.begun, self.go = queue.SimpleQueue(), threading.Semaphore(0)

    def work(self, run_nodes):
        run_nodes()

    def run(self, item, start, upstream):
        self.begun.put(item.node[0])
        assert self.go.acquire(timeout=20)
        return Success()

    def begins(self):
        return self.begun.get(timeout=20)

    def look(self, take):
        pass

    def let_end(self):
        pass

    def interrupt(self):
        pass

    def close(self):
        pass


@pytest.fixture
def held():
    """Two nodes and one below both, in one thread: its lane, and the run."""
    lane = HeldLane()
    info = RunInfo("held", "f" * 32, "held-1", {}, datetime.now(timezone.utc))
    package = RunPackage("a" * 8, graph_of(3, (0, 2), (1, 2)), info)
    run = PooledRun(package, 1, lambda run, name: lane)
    one, other, below = (0, -1, 1), (1, -1, 1), (2, -1, 1)
    needs = {one: (), other: (), below: (one, other)}
    run.extend([HandOver(node, None, 0.0, above) for node, above in needs.items()])
    yield lane, run
    lane.go.release(3)
    run.close(is_cancelled=False)


def test_a_thread_runs_the_next_node_while_somebody_is_at_the_board(held):
    lane, run = held
    first = lane.begins()
    with run._at_board:
        lane.go.release()
        assert {first, lane.begins()} == {0, 1}
    lane.go.release()
    assert lane.begins() == 2


def test_what_ended_meanwhile_is_taken_up_by_who_was_at_the_board(held):
    lane, run = held
    with run._at_board:
        for _ in range(2):
            lane.begins()
            lane.go.release()
        wait_until(lambda: run._idle)
    run.release([])
    assert lane.begins() == 2
