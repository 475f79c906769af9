"""What futures tell of a run on a cluster where no record did."""

from types import SimpleNamespace
from typing import Any

import pytest
from distributed.scheduler import KilledWorker

from prefect_dask.engine.errors import ClusterLost, NodeFailed, WorkerDied
from prefect_dask.engine.executors.dask_futures import Futures
from prefect_dask.engine.executors.dask_repairs import RECORD_GRACE_SECONDS
from prefect_dask.engine.node import RunNotHosted, RunUnanswered
from prefect_dask.engine.state import Pending, Success
from prefect_dask.engine.stream import HandedBack, NodeCrashed
from tests.engine.without_cluster import FIRST, SECOND, Cluster, Run, over

BORNE = 2
FAULT = ValueError("does not unpickle")

#: What Dask says when workers died with one of its nodes.
KILLED: Any = KilledWorker("key", SimpleNamespace(address="w"), 3)  # type: ignore[arg-type]  # has a worker's address


class Watched(Run):
    """A run whose futures are looked at."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.client = Cluster()
        self.is_lost = False
        self.futures = Futures(
            self.client,  # type: ignore[arg-type]  # in the place of one
            self.executions,
            lambda node: f"t{node[0]}",
            BORNE,
            self.check_cluster,
        )

    def check_cluster(self) -> None:
        if self.is_lost:
            raise ClusterLost("tcp://s:1", "gone")

    def look(self, now: float = 0.0) -> list[Any]:
        return self.futures.look(now)


@pytest.fixture
def run() -> Watched:
    run = Watched()
    run.hand_over(FIRST, SECOND)
    run.submit()
    return run


@pytest.mark.parametrize("status", ["pending", "lost"])
def test_nothing_is_told_of_what_is_under_way(run, status):
    run.future(FIRST).status = status
    assert run.look() == []
    assert FIRST in run.executions


def test_a_node_that_dask_could_not_run_has_crashed(run):
    run.fail(FIRST, FAULT)

    (crash,) = run.look()

    assert (crash.node, type(crash.error)) == (FIRST, NodeFailed)
    assert "'t0'" in str(crash.error) and repr(FAULT) in str(crash.error)
    assert list(run.executions) == [SECOND]


def test_what_is_below_a_node_that_failed_waits_for_whoever_hands_it_over_again(run):
    run.fail(FIRST, FAULT)
    run.fail(SECOND, FAULT)

    assert [event.node for event in run.look()] == [FIRST]
    assert list(run.executions) == []


def test_a_failure_is_not_judged_while_the_news_of_one_above_is_under_way(run):
    run.fail(SECOND, FAULT)

    assert run.look() == []
    assert SECOND in run.executions


def test_a_failure_that_comes_from_a_lost_result_names_it(run):
    run.executions.end(over(FIRST))
    run.fail(FIRST, FAULT)
    run.fail(SECOND, FAULT)

    (crash,) = run.look()

    assert crash.node == SECOND
    assert "the result of 't0' was lost, and made again in vain" in str(crash.error)


def test_workers_that_died_are_counted_as_dask_counts_them(run):
    run.fail(FIRST, KILLED)

    (crash,) = run.look()

    assert (crash.node, type(crash.error), crash.worker) == (FIRST, WorkerDied, "w")
    assert "4 workers died" in str(crash.error)


@pytest.mark.parametrize(("error", "worker"), [(FAULT, ""), (KILLED, "w")])
def test_of_several_in_a_node_that_failed_each_is_handed_over_again(error, worker):
    run = Watched(grouping="always")
    run.hand_over(FIRST, SECOND)
    run.submit()
    run.fail(FIRST, error)

    events = run.look()

    assert [(type(event), event.node, event.worker) for event in events] == [
        (HandedBack, FIRST, worker),
        (HandedBack, SECOND, worker),
    ]
    assert "its batch could not be run" in events[0].cause


def test_what_comes_to_workers_that_do_not_host_the_run_is_tried_again_so_often(run):
    generations = range(1, BORNE + 2)
    kinds = []
    for generation in generations:
        node = (0, -1, generation)
        if generation > 1:
            run.hand_over(node)
            run.submit()
        run.fail(node, RunNotHosted("token"))
        kinds += [type(event) for event in run.look()]

    assert kinds == [HandedBack] * BORNE + [NodeCrashed]


def test_what_nobody_said_of_whether_it_counts_is_tried_again(run):
    run.fail(FIRST, RunUnanswered("token"))
    assert [type(event) for event in run.look()] == [HandedBack]


def test_a_node_that_somebody_took_away_has_crashed_unless_the_cluster_is_lost(run):
    run.future(FIRST).status = "cancelled"
    run.is_lost = True
    with pytest.raises(ClusterLost):
        run.look()
    assert FIRST in run.executions

    run.is_lost = False
    (crash,) = run.look()
    assert "its Dask key was cancelled from outside the run" in str(crash.error)


def look_until_answered(run: Watched, record) -> list[Any]:
    """What is told of a finished node whose last record was lost, and is this one."""
    run.future(FIRST).status = "finished"
    for now in (0.0, RECORD_GRACE_SECONDS):
        assert run.look(now) == []
    run.client.answer(record)
    return run.look(2 * RECORD_GRACE_SECONDS)


def test_a_finished_node_is_over_as_soon_as_its_state_is_known(run):
    (change,) = look_until_answered(run, over(FIRST))

    assert (change.node, type(change.state)) == (FIRST, Success)
    assert list(run.executions) == [SECOND]


def test_a_finished_node_with_nothing_but_a_cause_has_to_be_handed_over_again(run):
    told = look_until_answered(run, over(FIRST, Pending("its worker died")))
    assert told == [HandedBack(FIRST, "a", "its worker died", False)]
    assert list(run.executions) == [SECOND]


def test_a_finished_node_that_was_cut_goes_to_dask_again(run):
    assert look_until_answered(run, over(FIRST, Pending())) == []
    assert FIRST in run.executions
    assert run.submit() == [[FIRST]]
