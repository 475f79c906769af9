"""Which task runs are fused to chains, what is of one kind, and how many go together."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.grouping import Kinds, batch_size
from prefect_dask.engine.hand_over import Given, HandOver
from prefect_dask.engine.state import Success

NOTHING = frozenset()


def flow_of(
    edges: list[tuple[int, int]], count: int, *, mapped: tuple[int, ...] = (), **settings: dict
) -> FlowGraph:
    """Tasks t0, t1, … of one function, with settings by name: `t1={"batch": 2}`."""
    labels = [
        TaskLabel(i, f"t{i}", f"t{i}", frozenset(settings.get(f"t{i}", {}).get("tags", ())))
        for i in range(count)
    ]
    nodes = []
    for label in labels:
        own = {"batch": None, "isolation": None, "run": len, **settings.get(label.name, {})}
        nodes.append(Node(label, task=SimpleNamespace(**own)))
    arrows = [Edge(labels[a], labels[b], key="x", mapped=b in mapped) for a, b in edges]
    return FlowGraph("f", nodes, arrows)


def hand_over(task: int, *needs: tuple[int, int, int], map_index: int = -1, **more) -> HandOver:
    return HandOver((task, map_index, 1), more.pop("start", None), 0.0, tuple(needs), **more)


def chained(graph: FlowGraph, plan: list[HandOver], done=NOTHING, grouping="auto", alone=()):
    chains = Kinds(graph, grouping).chains(plan, done.__contains__, alone)
    return [[item.node[:2] for item in chain.items] for chain in chains]


def line(length: int) -> tuple[FlowGraph, list[HandOver]]:
    graph = flow_of([(i, i + 1) for i in range(length - 1)], length)
    plan = [hand_over(i, *([(i - 1, -1, 1)] if i else [])) for i in range(length)]
    return graph, plan


def test_tasks_of_which_each_waits_for_the_one_before_are_one_chain():
    graph, plan = line(4)

    assert chained(graph, plan) == [[(0, -1), (1, -1), (2, -1), (3, -1)]]
    assert chained(graph, plan, grouping="never") == [[(i, -1)] for i in range(4)]


def test_what_can_run_beside_others_begins_a_chain():
    graph = flow_of([(0, 1), (0, 2), (1, 3), (2, 3)], 4)
    plan = [
        hand_over(0),
        hand_over(1, (0, -1, 1)),
        hand_over(2, (0, -1, 1)),
        hand_over(3, (1, -1, 1), (2, -1, 1)),
    ]

    assert chained(graph, plan) == [[(0, -1)], [(1, -1)], [(2, -1)], [(3, -1)]]


def test_a_second_need_does_not_part_a_chain_where_it_is_there_or_waited_for_already():
    graph = flow_of([(0, 1), (0, 2), (1, 2)], 3)
    plan = [hand_over(1, (0, -1, 1)), hand_over(2, (0, -1, 1), (1, -1, 1))]

    assert chained(graph, plan) == [[(1, -1), (2, -1)]]

    graph = flow_of([(0, 2), (1, 2)], 3)
    plan = [hand_over(1), hand_over(2, (0, -1, 1), (1, -1, 1))]
    assert chained(graph, plan) == [[(1, -1)], [(2, -1)]]
    assert chained(graph, plan, done={(0, -1, 1)}) == [[(1, -1), (2, -1)]]


def test_child_i_goes_on_from_child_i():
    graph = flow_of([(0, 1), (1, 2)], 3, mapped=(1, 2))
    plan = [
        *(hand_over(1, (0, -1, 1), map_index=i) for i in range(3)),
        *(hand_over(2, (1, i, 1), map_index=i) for i in range(3)),
    ]

    assert chained(graph, plan, done={(0, -1, 1)}) == [[(1, i), (2, i)] for i in range(3)]


def test_other_workers_other_isolation_and_suspects_are_not_fused():
    for settings in ({"tags": ["dask-resource:GPU=1"]}, {"isolation": "process"}):
        graph = flow_of([(0, 1)], 2, t1=settings)
        assert len(chained(graph, [hand_over(0), hand_over(1, (0, -1, 1))])) == 2

    graph, plan = line(3)
    assert chained(graph, plan, alone={(1, -1)}) == [[(0, -1)], [(1, -1)], [(2, -1)]]


def test_parents_and_what_goes_on_are_one_of_their_kind():
    graph = flow_of([(0, 1)], 2, mapped=(1,))
    state = Given((1, 0, -1), Success())
    plan = [
        hand_over(0),
        hand_over(1),
        hand_over(1, map_index=0),
        hand_over(1, map_index=1),
        hand_over(1, map_index=2, start=state),
    ]

    kinds = [chain.kind for chain in Kinds(graph).chains(plan, NOTHING.__contains__)]

    assert kinds[1] is None and kinds[4] is None
    assert kinds[0] == kinds[2] == kinds[3] is not None


def test_the_smallest_batch_that_was_asked_for_counts():
    graph = flow_of([(0, 1)], 2, mapped=(0, 1), t0={"batch": 5}, t1={"batch": 2})
    plan = [hand_over(0, map_index=0), hand_over(1, (0, 0, 1), map_index=0)]

    (chain,) = Kinds(graph).chains(plan, NOTHING.__contains__)

    assert Kinds(graph).fixed_size(chain) == 2


@given(st.floats(1e-6, 100), st.integers(1, 10**6), st.data(), st.integers(1, 1000))
def test_a_batch_is_worth_it_and_leaves_work_for_all(seconds, count, data, threads):
    left = data.draw(st.integers(1, count))

    size = batch_size(seconds, count, left, threads)

    assert 1 <= size <= left
    assert size == 1 or size * seconds <= 0.2
    assert (size + 1) * seconds > 0.05 or size >= count / (4 * threads) or size == left
    assert size == 1 or (size - 1) * 4 * threads < count or size * seconds <= 0.005


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30))
def test_each_hand_over_is_in_one_chain_and_chains_wait_for_no_later_one(shape):
    edges = [(a, b) for b, above in enumerate(shape) for a in set(above) if a < b]
    graph = flow_of(edges, len(shape))
    plan = [
        hand_over(b, *sorted((a, -1, 1) for a in set(above) if a < b))
        for b, above in enumerate(shape)
    ]

    chains = Kinds(graph).chains(plan, NOTHING.__contains__)

    assert sorted(item.node for chain in chains for item in chain.items) == [
        item.node for item in plan
    ]
    there = set()
    for chain in chains:
        assert chain.needs <= there
        for item in chain.items:
            assert set(item.needs()) <= there
            there.add(item.node)
