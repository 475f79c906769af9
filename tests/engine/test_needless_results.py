"""Which results are let go when a task run is done."""

import pytest

from prefect_dask.engine.errors import ResultNotKept
from prefect_dask.engine.needless_results import NeedlessResults
from prefect_dask.engine.state import Failed, Mapped, State, Success
from prefect_dask.engine.task_runs import TaskRuns
from tests.engine.plain_graphs import graph_of

KEEP_NONE: frozenset[int] = frozenset()


def end(runs: TaskRuns, index: int, map_index: int = -1, state: State | None = None):
    runs.set_state(index, runs.row(index, map_index + 1), state or Success(result=index))
    return (index, map_index, 0)


def test_a_result_is_let_go_with_the_last_of_those_that_need_it():
    """0 ─┬─ 1
    └─ 2
    """
    needless = NeedlessResults(graph_of(3, (0, 1), (0, 2)), KEEP_NONE)
    runs = TaskRuns(3)

    assert needless.let_go_after(runs, end(runs, 0)) == [], "both have yet to take it"
    assert needless.let_go_after(runs, end(runs, 1)) == [(1, -1, 0)], "nobody takes its own"
    assert needless.let_go_after(runs, end(runs, 2)) == [(2, -1, 0), (0, -1, 0)]
    with pytest.raises(ResultNotKept, match="t0"):
        _ = runs.state(0).result


def test_a_child_goes_with_the_child_mapped_over_it_and_the_list_with_the_last():
    """0 ─ 1 ─ 2, mapped"""
    needless = NeedlessResults(graph_of(3, (0, 1), (1, 2), mapped=True), KEEP_NONE)
    runs = TaskRuns(3)
    end(runs, 0)
    for index in (1, 2):
        runs.grow(index, 2)
        end(runs, index, state=Mapped())

    assert needless.let_go_after(runs, end(runs, 1, 0)) == []
    assert needless.let_go_after(runs, end(runs, 2, 0)) == [(2, 0, 0), (1, 0, 0)]
    assert needless.let_go_after(runs, end(runs, 1, 1)) == [(0, -1, 0)]


def test_what_is_kept_stays_and_why_a_task_failed():
    graph = graph_of(2, (0, 1))
    runs = TaskRuns(2)

    needless = NeedlessResults(graph, frozenset({0}))
    end(runs, 0)
    assert needless.let_go_after(runs, end(runs, 1, state=Failed("why"))) == []
    assert runs.state(0).result == 0
