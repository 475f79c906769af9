"""What happens in a flow run, told: to the observer, to listeners, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from .context import RunInfo
from .graph import FlowGraph
from .logs import replay
from .stall import StallWatch
from .state import State
from .stream import (
    NO_DETAILS,
    Announcer,
    LineLogged,
    NodeId,
    Observer,
    StateChange,
    StateRecord,
    details_of,
    record_of,
)

#: How many of the tasks that were lost at once a warning names.
NAMED_AT_MOST = 5


class Teller:
    """Passes on what happens in a flow run, and makes the news of what its coordinating process decides.

    Args:
        info: The run.
        graph: The flow.
        observer: Is told first.
        announcer: Gives the records to listeners, if there are any.
        stall: Is told that something happened.
        logger: For the warnings.
        attempts: Of the task runs that are not at their first attempt, at which, by (task, map index).
    """

    def __init__(
        self,
        info: RunInfo,
        graph: FlowGraph,
        *,
        observer: Observer,
        announcer: Announcer,
        stall: StallWatch,
        logger: logging.Logger,
        attempts: Mapping[tuple[int, int], int],
    ) -> None:
        self._info, self._graph, self._logger = info, graph, logger
        self._observer, self._announcer, self._stall = observer, announcer, stall
        #: The tags of each task, as its states bear them.
        self.tags = [tuple(sorted(tags)) if (tags := n.label.tags) else () for n in graph.nodes]
        self._attempts = attempts
        #: What was lost and was not warned of yet.
        self.lost_by_cause: dict[str, list[NodeId]] = {}

    def name(self, index: int, map_index: int) -> str:
        """What a task run is called."""
        return self._graph.nodes[index].label.run_name(map_index)

    def decided(self, node: NodeId, state: State, worker: str = "") -> StateChange:
        """The change to a state that the coordinating process decided on."""
        state.tag(self.tags[node[0]])
        return StateChange(node, self._attempts.get(node[:2], 1), state, True, worker)

    def crashed(self, node: NodeId, state: State, worker: str) -> StateChange:
        """The change to a state that tells of a crash, which is logged."""
        self._logger.error("task %r crashed: %s", self.name(*node[:2]), state.message)
        return self.decided(node, state, worker)

    def tell(self, changes: Sequence[StateChange]) -> None:
        """Pass on changes that count."""
        if not changes:
            return
        self._stall.note_progress()
        self._observer.take_changes(changes)
        if self._announcer.is_wanted:
            self._announcer.announce(self._records_of(changes))

    def _records_of(self, changes: Sequence[StateChange]) -> list[StateRecord]:
        """The changes as listeners get them."""
        run_id, nodes = self._info.flow_run_id, self._graph.nodes
        records: list[StateRecord] = []
        for (index, map_index, _), attempt, state, _, worker, began, _ in changes:
            label = nodes[index].label
            of = (run_id, label.name, label.slug, index, map_index, attempt)
            if began is not None:
                records.append(record_of((*of, "Running", None, began, worker, NO_DETAILS)))
            kind, details = type(state).__name__, details_of(state)
            told = (*of, kind, state.message, state._time, worker, details)
            records.append(record_of(told))
        return records

    def replay(self, event: LineLogged) -> None:
        """Log here what was logged on a worker."""
        replay(
            event.line,
            flow_run_id=self._info.flow_run_id,
            flow_name=self._info.flow_name,
            task_name=self._graph.nodes[event.line.task].label.name,
            worker=event.worker,
        )

    def lost(self, losses: Iterable[tuple[NodeId, State]], worker: str) -> list[StateChange]:
        """The changes to states that tell of a loss, which `warn_of_losses` warns of."""
        told: list[StateChange] = []
        for node, state in losses:
            self.note_lost(node, state.message or "")
            told.append(self.decided(node, state, worker))
        return told

    def note_lost(self, node: NodeId, cause: str) -> None:
        """Note a loss for `warn_of_losses`."""
        self.lost_by_cause.setdefault(cause, []).append(node)

    def warn_of_losses(self) -> None:
        """Log one line for what one death cost: it may be thousands of task runs."""
        for cause, nodes in self.lost_by_cause.items():
            names = [repr(self.name(*node[:2])) for node in nodes[:NAMED_AT_MOST]]
            more = f" and {len(nodes) - len(names)} more" if len(nodes) > len(names) else ""
            which = "task" if len(nodes) == 1 else "tasks"
            self._logger.warning("%s %s%s: %s", which, ", ".join(names), more, cause)
        self.lost_by_cause.clear()
