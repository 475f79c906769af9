"""What goes to Dask when, and in which company."""

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.durations import Durations
from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.grouping import ALWAYS_SIZE, Kinds
from prefect_dask.engine.hand_over import HandOver
from prefect_dask.engine.staging import (
    GROUPS_PER_THREAD,
    PROBES_PER_THREAD,
    SINGLES_UNDER_WAY,
    Stage,
)

THREADS = 2


class Run:
    """A stage with what a run around it does: hands over, asks what goes to Dask, says what ended."""

    def __init__(self, graph: FlowGraph, grouping="auto", **seconds: float) -> None:
        self.kinds = Kinds(graph, grouping)
        self.durations = Durations()
        for name, each in seconds.items():
            self.learn(int(name[1:]), each)
        self.stage = Stage(self.kinds, self.durations)
        self.over = set()

    def learn(self, task: int, seconds: float) -> None:
        self.durations.note(self.kinds.of((task, 0, 1)), seconds)

    def add(self, plan) -> None:
        self.stage.add(plan, self.over.__contains__)

    def take(self, now=0.0, **more) -> list[list[tuple[int, int, int]]]:
        groups = self.stage.take(THREADS, now, **more)
        return [[item.node for chain in group for item in chain.items] for group in groups]

    def end(self, groups) -> None:
        for node in (node for group in groups for node in group):
            self.stage.end(node)
            self.over.add(node)

    def take_all(self) -> list[list[tuple[int, int, int]]]:
        """All groups there will be, where each ends before the next ones are asked for."""
        groups = []
        while taken := self.take():
            groups += taken
            self.end(taken)
        return groups


def maps(edges: list[tuple[int, int]], count: int) -> FlowGraph:
    labels = [TaskLabel(i, f"t{i}", f"t{i}") for i in range(count)]
    functions = (len, repr, str, sum, min, max)
    nodes = [
        Node(label, task=SimpleNamespace(batch=None, isolation=None, run=functions[label.index]))
        for label in labels
    ]
    source = TaskLabel(0, "t0", "t0")
    arrows = [Edge(labels[a], labels[b], key="x", mapped=True) for a, b in edges]
    return FlowGraph("f", nodes, arrows or [Edge(source, labels[-1], key="x", mapped=True)])


def children(task: int, count: int, *above: int) -> list[HandOver]:
    return [
        HandOver((task, i, 1), None, 0.0, tuple((each, i, 1) for each in above))
        for i in range(count)
    ]


ONE_MAP = maps([(0, 1)], 2)


def test_of_what_nobody_has_seen_a_few_are_tried_and_the_rest_waits():
    run = Run(ONE_MAP)
    run.add(children(1, 1000))

    first = run.take()

    assert [len(group) for group in first] == [1] * PROBES_PER_THREAD * THREADS
    assert run.take() == []
    wake_after = run.stage.wake_after(0.0)
    assert wake_after is not None and 0 < wake_after <= 0.1


def test_what_turns_out_short_shares_nodes():
    run = Run(ONE_MAP)
    run.add(children(1, 1000))
    first = run.take()
    run.learn(1, 0.001)
    run.end(first)

    sizes = [len(group) for group in run.take()]

    assert len(sizes) == GROUPS_PER_THREAD * THREADS and min(sizes) > 10
    assert sum(len(group) for group in run.take_all()) < 1000


def test_what_turns_out_long_gets_a_node_each():
    run = Run(ONE_MAP)
    run.add(children(1, 1000))
    first = run.take()
    run.learn(1, 0.2)
    run.end(first[:1])

    assert {len(group) for group in run.take()} == {1}


def test_the_rest_does_not_wait_for_the_end_of_what_is_long():
    run = Run(ONE_MAP)
    run.add(children(1, 300))
    first = run.take(now=0.0)

    assert run.take(now=0.05) == []
    assert len(run.take(now=0.11)) == len(first)
    assert len(run.take(now=0.21)) == 2 * len(first)
    assert len(run.take(now=10.0)) == 300 - 4 * len(first)


def test_dask_gets_no_more_at_a_time_than_it_takes_in_well():
    run = Run(ONE_MAP, t1=60.0)
    run.add(children(1, 5000))

    assert len(run.take(most=500)) == 500
    assert len(run.take(most=5000)) == SINGLES_UNDER_WAY - 500
    assert run.take() == []


def test_what_was_learned_before_counts_from_the_start():
    run = Run(ONE_MAP, t1=0.001)
    run.add(children(1, 4000))

    first = run.take()
    run.end(first)
    sizes = [len(group) for group in [*first, *run.take_all()]]

    assert sizes[0] == 194, "200 ms at 1.03 ms each"
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-2] == 49, "50 ms towards the end"


def test_what_takes_no_longer_together_than_dask_does_for_a_node_is_one():
    run = Run(ONE_MAP, t1=0.0001)
    run.add(children(1, 30))

    assert [len(group) for group in run.take()] == [30]


def test_of_longer_ones_a_few_share_nodes_that_go_at_once_and_the_last_go_alone_at_the_end():
    run = Run(ONE_MAP, t1=0.05)
    run.add(children(1, 64))

    groups = run.take()
    assert [len(group) for group in groups] == [3] * 19
    in_hand = GROUPS_PER_THREAD * THREADS
    run.end(groups[: -in_hand - 1])
    assert run.take() == [], "Dask would run them before what it has"
    run.end(groups[-in_hand - 1 : -in_hand])
    assert [len(group) for group in run.take()] == [1] * 7


def test_where_grouping_is_settled_nothing_is_tried():
    for grouping, size in (("never", 1), ("always", ALWAYS_SIZE)):
        run = Run(ONE_MAP, grouping)
        run.add(children(1, 10 * ALWAYS_SIZE))

        assert {len(group) for group in run.take()} == {size}


def test_what_waits_for_long_ones_goes_alone():
    graph = maps([(0, 1), (1, 2), (1, 3)], 4)
    run = Run(graph, t1=60.0, t2=0.0001, t3=0.0001)
    run.add([*children(1, 50), *children(2, 50, 1), *children(3, 50, 1)])

    assert {len(group) for group in run.take(most=500)} == {1}


def test_a_branch_goes_on_before_the_next_begins():
    graph = maps([(0, 1), (1, 2), (1, 3)], 4)
    run = Run(graph, t1=60.0, t2=60.0, t3=60.0)
    run.add([*children(1, 3), *children(2, 3, 1), *children(3, 3, 1)])

    assert [group[0][1] for group in run.take()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=2, max_size=6),
    st.integers(1, 40),
    st.lists(st.sampled_from([0.0001, 0.01, 60.0]), min_size=6, max_size=6),
    st.sampled_from(["auto", "never", "always"]),
)
def test_each_goes_once_and_after_what_it_needs(shape, width, seconds, grouping):
    edges = [(a, b) for b, above in enumerate(shape) for a in set(above) if a < b]
    graph = maps(edges, len(shape))
    run = Run(graph, grouping, **{f"t{i}": each for i, each in enumerate(seconds[: len(shape)])})
    plan = [
        item
        for b, above in enumerate(shape)
        for item in children(b, width, *sorted(a for a in set(above) if a < b))
    ]
    run.add(plan)

    taken = [node for group in run.take_all() for node in group]

    assert sorted(taken) == sorted(item.node for item in plan)
    assert len(run.stage) == 0
    place = {node: number for number, node in enumerate(taken)}
    assert all(place[need] < place[item.node] for item in plan for need in item.needs())


def chain_of(count: int) -> tuple[FlowGraph, list[HandOver]]:
    graph = maps([(i, i + 1) for i in range(count - 1)], count)
    plain = FlowGraph("f", graph.nodes, [replace(edge, mapped=False) for edge in graph.edges])
    above = [((i - 1, -1, 1),) if i else () for i in range(count)]
    return plain, [HandOver((i, -1, 1), None, 0.0, above[i]) for i in range(count)]


def test_of_a_chain_what_is_known_to_be_short_shares_a_node():
    graph, plan = chain_of(6)
    run = Run(graph, t0=0.001, t1=0.001, t2=60.0, t3=0.6, t4=0.001, t5=0.001)
    run.add(plan)

    assert [len(group) for group in run.take()] == [2, 1, 1, 2]


def test_a_chain_that_nobody_has_seen_goes_one_by_one_until_it_is_seen_to_be_short():
    graph, plan = chain_of(6)
    run = Run(graph, t0=0.001)
    run.add(plan)

    assert [len(group) for group in run.take()] == [1] * 6


def test_a_column_of_children_stays_together_however_long_it_takes():
    run = Run(maps([(0, 1), (1, 2)], 3), t1=60.0, t2=60.0)
    run.add([*children(1, 3), *children(2, 3, 1)])

    assert run.take() == [[(1, i, 1), (2, i, 1)] for i in range(3)]
