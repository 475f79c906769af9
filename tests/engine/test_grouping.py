"""Which task runs share a Dask node."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.graph import FlowGraph, Node, TaskLabel
from prefect_dask.engine.grouping import group
from prefect_dask.engine.hand_over import HandOver


def flow_of(*batches: int | None) -> FlowGraph:
    return FlowGraph(
        "f",
        [
            Node(TaskLabel(i, f"t{i}", f"t{i}"), task=SimpleNamespace(batch=batch))
            for i, batch in enumerate(batches)
        ],
        [],
    )


def hand_over(task: int, map_index: int, generation: int = 1) -> HandOver:
    return HandOver((task, map_index, generation), None, 0.0, ())


def indices(groups) -> list[list[int]]:
    return [[item.node[1] for item in each] for each in groups]


def test_children_share_a_node_by_the_size_of_the_batch():
    plan = [hand_over(0, i) for i in range(5)]

    assert indices(group(plan, flow_of(2))) == [[0, 1], [2, 3], [4]]
    assert indices(group(plan, flow_of(None))) == [[0], [1], [2], [3], [4]]


def test_a_retry_and_a_parent_run_alone():
    plan = [hand_over(0, -1), hand_over(0, 0), hand_over(0, 1, generation=2), hand_over(0, 2)]

    assert indices(group(plan, flow_of(10))) == [[-1], [0], [1], [2]]


@given(
    st.lists(st.sampled_from([None, 1, 2, 5]), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 6), st.integers(1, 2)), unique=True),
)
def test_each_hand_over_is_in_one_group_in_order(batches, nodes):
    graph = flow_of(*batches)
    plan = [hand_over(*node) for node in sorted(nodes) if node[0] < len(batches)]

    groups = group(plan, graph)

    assert [item for each in groups for item in each] == plan
    assert all(groups)
    assert all(len({item.node[0] for item in each}) == 1 for each in groups)
    assert all(len(each) <= (batches[each[0].node[0]] or 1) for each in groups)
