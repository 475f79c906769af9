"""A run on a Dask cluster without one: what it would hand to Dask, and what Dask would have."""

from types import SimpleNamespace
from typing import Any

from prefect_dask.engine.durations import Durations
from prefect_dask.engine.executors.dask_executions import Executions
from prefect_dask.engine.executors.dask_places import Holding, Places
from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.grouping import Grouping, Kinds
from prefect_dask.engine.hand_over import HandOver
from prefect_dask.engine.state import State, Success
from prefect_dask.engine.stream import NodeId, NotBegun, StateChange, encode_batch

THREADS = 2
FIRST, SECOND, THIRD = (0, -1, 1), (1, -1, 1), (2, -1, 1)


def task(number: int) -> Node:
    functions = (len, repr, str)
    runs: Any = SimpleNamespace(batch=None, isolation=None, run=functions[number])
    return Node(TaskLabel(number, f"t{number}", f"t{number}"), task=runs)


class Run:
    """Three tasks in a row, each of which Dask gets by itself, unless they share nodes; and what Dask has."""

    def __init__(self, grouping: Grouping = "never", limited: frozenset[int] = frozenset()) -> None:
        nodes = [task(number) for number in range(3)]
        edges = [Edge(nodes[n].label, nodes[n + 1].label, key="x") for n in range(2)]
        self.graph = FlowGraph("f", nodes, edges)
        self.executions = Executions(
            Kinds(self.graph, grouping, limited), Durations(), Places(len(nodes))
        )
        self.places = self.executions.places
        self.nodes_of_dask = 0

    def hand_over(self, *nodes: NodeId) -> None:
        """Each waits for the one before, also where that was handed over earlier."""
        self.executions.add(
            [
                HandOver(node, None, 0.0, ((node[0] - 1, -1, node[2]),) if node[0] else ())
                for node in nodes
            ]
        )

    def submit(self) -> list[list[NodeId]]:
        """What goes to Dask, by node."""
        groups = self.executions.take(THREADS, 0.0)
        nodes = [[item.node for chain in group for item in chain.items] for group in groups]
        keys = []
        for each in nodes:
            self.nodes_of_dask += 1
            keys.append(("t-token", *each[0], self.nodes_of_dask))
        futures: list[Any] = [SimpleNamespace(status="pending") for _ in keys]
        self.executions.put(groups, keys, futures)
        return nodes

    def holding(self, node: NodeId) -> Holding:
        found = self.places.holding(node)
        assert found is not None
        return found

    def future(self, node: NodeId) -> Any:
        """That of the Dask node in which an execution is."""
        return self.holding(node).future

    def fail(self, node: NodeId, error: Exception) -> None:
        """Have Dask say of the Dask node in which an execution is that it failed."""
        self.future(node).status, self.future(node).exception = "error", lambda: error

    def cut(self, *nodes: NodeId) -> NotBegun:
        """The word that the Dask node in which these are has not begun them."""
        number = self.holding(nodes[0]).key[-1]
        assert isinstance(number, int)
        return NotBegun(number, nodes, "a", False)


def over(node: NodeId, state: State | None = None) -> StateChange:
    return StateChange(node, 1, Success() if state is None else state, True, "a")


class Cluster:
    """In the place of a client: holds back what it is asked until the test has it answered."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def submit(self, function: object, *arguments: object, pure: bool) -> Any:
        self.asked.append(SimpleNamespace(status="pending", arguments=arguments))
        return self.asked[-1]

    def answer(self, record: StateChange) -> None:
        self.asked[-1].status = "finished"
        self.asked[-1].result = lambda: (encode_batch([record]), "a")
