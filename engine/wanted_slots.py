"""Which task runs wait for a slot of a concurrency limit, and for which of them one is to be asked for now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .graph import FlowGraph
from .sources import Sources
from .stream import NodeId
from .task_runs import Position, TaskRuns


class WantedSlots:
    """The task runs of tasks under a limit that could begin but for their slot.

    One is asked for when all that a task run needs is done, so that no slot is held in vain.

    Args:
        graph: The flow.
        runs: What is known of its task runs.
        sources: Where they find what they look at.
        tasks: The tasks whose runs need a slot each.
    """

    def __init__(
        self, graph: FlowGraph, runs: TaskRuns, sources: Sources, tasks: frozenset[int]
    ) -> None:
        self._is_mapped, self._runs, self._sources, self._tasks = (
            graph.is_mapped,
            runs,
            sources,
            tasks,
        )
        #: The tasks that they wait for before they ask for one.
        self.above = frozenset(view.upstream for index in tasks for view in graph.views[index])
        #: Those that wait for a slot; those for which none was asked for yet, and those that just got theirs.
        self.waiting: set[Position] = set()
        self._to_ask: list[Position] = []
        self._granted: set[Position] = set()
        #: Runs of tasks in `above` that are done since `take_freed`.
        self._done_above: list[Position] = []

    def holds_back(self, index: int, place: int) -> bool:
        """Whether a task run that could begin has to wait for a slot."""
        if index not in self._tasks or (place == 0 and self._is_mapped[index]):
            return False  # no body of such a task runs
        position = (index, place)
        if position in self._granted:
            return False
        if position not in self.waiting and self._sources.has_all_above(index, place):
            self.waiting.add(position)
            self._to_ask.append(position)
        return True

    def take_to_ask(self) -> list[NodeId]:
        """The executions for which a slot has to be asked for."""
        new, self._to_ask = self._to_ask, []
        return [self._next_node(position) for position in new]

    @contextmanager
    def granted(self, nodes: Iterable[NodeId]) -> Iterator[set[Position]]:
        """Within, executions that got their slot may begin; gives where their task runs stand."""
        asked = {(index, map_index + 1): (index, map_index, g) for index, map_index, g in nodes}
        self._granted = {at for at, node in asked.items() if self._next_node(at) == node}
        self.waiting.difference_update(asked)
        yield set(asked)
        self._granted = set()

    def note_done(self, index: int, place: int) -> None:
        """A run of a task in `above` is done."""
        self._done_above.append((index, place))

    def take_freed(self) -> set[Position]:
        """Those that may ask because what they waited for is done."""
        done, self._done_above = self._done_above, []
        return {
            (index, place)
            for above in done
            for index, place in self._sources.dependents(*above)
            if index in self._tasks and self._sources.has_all_above(index, place)
        }

    def forget(self) -> None:
        """Nothing waits any more."""
        self.waiting.clear()
        self._to_ask.clear()
        self._done_above.clear()

    def _next_node(self, position: Position) -> NodeId:
        """The execution of a task run that is handed over next."""
        index, place = position
        row = self._runs.row_of(index, place - 1)
        return (index, place - 1, 0 if row is None else self._runs.generation[row] + 1)
