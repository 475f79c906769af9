"""What task runs come to when their flow run ends before all is done, and which tasks clean up first."""

from types import SimpleNamespace
from typing import Any

from prefect_dask.engine.early_end import cancelled, clean_ups, end_undone
from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.state import Cached, Cancelled, Mapped, Pending, Running, Skipped, Success
from prefect_dask.engine.task_runs import TaskRuns


def stop(state):
    return cancelled("by Ann", state)


def test_what_is_done_stays_and_the_rest_is_told_whether_it_had_begun():
    runs = TaskRuns(3)
    runs.set_state(0, 0, Success())
    runs.set_state(1, 1, Running())
    for index in (1, 2):
        runs.set_out(index, index, is_out=True)

    ended = {node[0]: state.message for node, state in end_undone(runs, stop)}

    assert ended == {1: "cancelled while it ran: by Ann", 2: "cancelled before it began: by Ann"}
    assert runs.out_count == 0, "nothing is under way any more"
    assert runs.state(0).is_successful()
    assert list(end_undone(runs, stop)) == [], "each is told once"


def test_a_map_whose_children_have_begun_stays_mapped_and_one_that_has_not_loses_them():
    runs = TaskRuns(2)
    for index in (0, 1):
        runs.grow(index, 2)
    runs.set_state(0, runs.row(0, 1), Success())

    ended = {node[:2]: type(state) for node, state in end_undone(runs, stop)}

    assert ended == {(0, -1): Mapped, (0, 1): Cancelled, (1, -1): Cancelled}
    parent = runs.state(0)
    assert isinstance(parent, Mapped) and parent.width == 2
    assert runs.child_count[1] == 0


def test_a_state_that_was_given_and_to_be_validated_again_stays_what_it_is():
    runs = TaskRuns(1)
    runs.set_state(0, 0, Cached(result=5), is_good=False)

    assert [type(state) for _, state in end_undone(runs, stop)] == [Cached]


def test_tasks_that_are_left_alone_can_be_handed_over_anew():
    runs = TaskRuns(2)
    runs.set_out(1, 1, is_out=True)

    assert [node[0] for node, _ in end_undone(runs, stop, but=[1])] == [0]
    assert type(runs.state(1)) is Pending
    assert not runs.is_out[1]


def test_what_was_made_is_cleaned_up_and_nothing_else():
    """Four resources and what cleans each up: made, not made, skipped, cleaned up before."""
    labels = [TaskLabel(i, f"t{i}", f"t{i}-1") for i in range(8)]
    tasks: list[Any] = [SimpleNamespace(cleans_up=i >= 4) for i in range(8)]
    nodes = [Node(label, task=task) for label, task in zip(labels, tasks, strict=True)]
    edges = [Edge(labels[i], labels[i + 4], "resource") for i in range(4)]
    runs = TaskRuns(8)
    for index, state in ((0, Success()), (2, Skipped()), (3, Success()), (7, Success())):
        runs.set_state(index, index, state)

    assert clean_ups(FlowGraph("f", nodes, edges), runs) == [4]
