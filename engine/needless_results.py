"""Lets go of results of a flow run that nothing needs any more, and that nobody asked to keep."""

from __future__ import annotations

from .advance import Book
from .errors import ResultNotKept
from .graph import FlowGraph
from .state import LazyResult, State
from .stream import NodeId


class NeedlessResults:
    """The results that a flow run lets go on its way.

    Args:
        graph: The flow.
        keep: Indices of the tasks whose results are kept; None keeps all.
    """

    def __init__(self, graph: FlowGraph, keep: frozenset[int] | None) -> None:
        self._graph, self._keep = graph, keep
        #: Per task, what stands for its results once nobody needs them.
        self._stand_ins: dict[int, LazyResult] = {}

    def let_go_after(self, book: Book, node: NodeId) -> list[NodeId]:
        """Let go of what a task run that is done leaves needless.

        Returns:
            The executions whose results nobody asks for any more.
        """
        released: list[NodeId] = []
        if self._keep is None:
            return released
        for index, map_index in book.needless_after(node[0], node[1]):
            # Why a task failed is worth its bytes.
            if index not in self._keep and not book.is_failed(index, map_index):
                book.let_go(index, map_index, self._not_kept(index))
                released.append(book.node_id(index, map_index))
        return released

    def _not_kept(self, index: int) -> LazyResult:
        """Stands for all results of a task that nobody asked to keep."""
        found = self._stand_ins.get(index)
        if found is None:
            found = self._stand_ins[index] = _NotKept(self._graph.nodes[index].label.name)
        return found


class _NotKept(LazyResult):
    """Where a result would be that nobody asked to keep."""

    def __init__(self, task: str) -> None:
        self.task = task

    def fetch_state(self) -> State:
        raise ResultNotKept(self.task)
