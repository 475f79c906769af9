"""Which results of a flow run nothing needs any more, and nobody asked to keep: they are let go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .errors import ResultNotKept
from .graph import FlowGraph, Take
from .state import Failed, LazyResult, State
from .stream import NodeId
from .task_runs import TaskRuns


class NeedlessResults:
    """The results that a flow run lets go on its way.

    Args:
        graph: The flow.
        keep: Indices of the tasks whose results are kept.
    """

    def __init__(self, graph: FlowGraph, keep: frozenset[int]) -> None:
        self._graph, self._keep = graph, keep
        #: Per task, what stands for its results once nobody needs them.
        self._stand_ins: dict[int, LazyResult] = {}

    def let_go_after(self, runs: TaskRuns, node: NodeId) -> list[NodeId]:
        """Let go of what a task run that is done leaves needless.

        Returns:
            The executions whose results nobody asks for any more.
        """
        released: list[NodeId] = []
        for index, map_index in self._needless_after(runs, node[0], node[1]):
            # Why a task failed is worth its bytes.
            is_failed = isinstance(runs.states[runs.row(index, map_index + 1)], Failed)
            if index not in self._keep and not is_failed:
                runs.let_go(index, map_index, self._not_kept(index))
                released.append(runs.node_id(index, map_index))
        return released

    def _needless_after(
        self, runs: TaskRuns, index: int, map_index: int
    ) -> Iterator[tuple[int, int]]:
        """Of a task run that is done and those above it: which results nothing below needs any more.

        Yields:
            (task, map index).
        """
        if self._is_needless(runs, index, map_index):
            yield index, map_index
        is_whole = runs.is_wholly_done(index)
        for view in self._graph.views[index]:
            above = view.upstream
            if map_index >= 0 and view.take is Take.ITEM and self._graph.is_mapped[above]:
                each: Iterable[int] = (map_index,)
            elif is_whole:
                each = range(-1, runs.child_count[above])
            else:
                continue
            for other in each:
                if self._is_needless(runs, above, other):
                    yield above, other

    def _is_needless(self, runs: TaskRuns, index: int, map_index: int) -> bool:
        if not runs.is_done[runs.row(index, map_index + 1)]:
            return False
        for below in self._graph.downstream[index]:
            takes = {view.take for view in self._graph.views[below] if view.upstream == index}
            if self._graph.is_mapped[index] and map_index >= 0 and takes == {Take.ITEM}:
                row = runs.row_of(below, map_index)
                if not (runs.is_wholly_done(below) if row is None else runs.is_done[row]):
                    return False
            elif not runs.is_wholly_done(below):
                return False
        return True

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
