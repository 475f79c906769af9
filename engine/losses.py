"""What has to run again, and from where, when an execution is lost with its worker, or the value that it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import TaskException
from .hand_over import HandOver
from .sources import Sources
from .state import Failed, Mapped, Pending, Resume, Running, Skipped, State, Success
from .stream import NodeId, without_result
from .task_runs import Position, TaskRuns

#: The known states of what was handed over and may be running.
_MAY_RUN = (type(None), Pending, Running)


class Losses:
    """What is lost in a flow run.

    Args:
        runs: What is known of its task runs.
        sources: Where they find what they look at.
    """

    def __init__(self, runs: TaskRuns, sources: Sources) -> None:
        self._runs, self._sources = runs, sources
        #: Paused task runs that may go on, until the attempt is over for which that was said: if its execution is
        #: lost, they do not pause again.
        self.resumed: set[Position] = set()

    def lose(self, node: NodeId, message: str) -> State | None:
        """Note that the worker of an execution died and another one takes it up.

        Returns:
            The state that tells of it, or None where the execution does not count any more.
        """
        if not self._runs.counts(node):
            return None
        state, index = Pending(message), node[0]
        self._runs.set_state(index, self._runs.row(index, node[1] + 1), state)
        return state

    def hand_back(
        self,
        node: NodeId,
        message: str,
        *,
        had_value: bool = False,
        turn: Mapping[str, Any] | None = None,
    ) -> list[tuple[NodeId, State]]:
        """Note that an execution, also one that was over, left nothing behind; it has to be handed over again.

        Args:
            node: The execution.
            message: What those are told that have to run again.
            had_value: Whether what looks at it may have begun, though it was not told to be over.
            turn: With what facts of the context it goes on, where it was in a loop.

        Returns:
            The states that tell of it: its own, and those of what was running below; empty where the execution
            does not count any more.
        """
        index, map_index, generation = node
        row = self._runs.row_of(index, map_index)
        if row is None or self._runs.generation[row] != generation:
            return []
        if not self._runs.is_out[row] and not self._runs.is_done[row]:
            # Held by something else, and handed over with that. In one node with it, it may have begun.
            before = self._runs.states[row]
            if before is not None and type(before) not in (Pending, Running):
                return []
        had_value = had_value or not self._runs.is_out[row]
        self._runs.set_out(index, row, is_out=False)
        state = self._begin_again(index, map_index + 1, message, turn)
        if not had_value:
            self._sources.hold_below(index, map_index + 1)  # none of that has begun
            return [(node, state)]
        return [(node, state), *self._hold_running_below(index, map_index + 1, message)]

    def lose_value(
        self, node: NodeId, kept: State | None, message: str
    ) -> list[tuple[NodeId, State]]:
        """Note that what an execution came to, which was over, is gone from where it lay.

        Args:
            node: The execution.
            kept: The state that it came to, with its result, where that is kept elsewhere.
            message: What those are told that have to run again.

        Returns:
            As `hand_back`; where the state is kept, or was more than its result, the task run stays what it is.
        """
        index, map_index, generation = node
        row = self._runs.row_of(index, map_index)
        if row is None or self._runs.generation[row] != generation or self._runs.is_out[row]:
            return []
        if kept is None:
            kept = _without_value(self._runs.state(index, map_index))
            if kept is None:
                return self.hand_back(node, message)
        if isinstance(kept, Mapped):
            self._sources.give_parent(index, kept, kept.width)
        else:
            self._sources.give(index, map_index + 1, kept)
        return self._hold_running_below(index, map_index + 1, message)

    def needs(self, index: int, map_index: int) -> list[NodeId]:
        """The executions whose values a task run would take, as far as they are there."""
        sources = self._sources.of(index, map_index + 1, {})
        if sources is None:
            return []
        return HandOver((index, map_index, 0), None, 0.0, sources).needs()

    def _hold_running_below(
        self, index: int, place: int, message: str
    ) -> list[tuple[NodeId, State]]:
        """As `Sources.hold_below`, where what looks at it may be running; returns the states that tell that."""
        told: list[tuple[NodeId, State]] = []
        at_once = set(self._sources.dependents(index, place))
        for below, other in self._sources.hold_below(index, place):
            row = self._runs.row(below, other)
            # That it has begun may be told by nobody any more, in one node with what is above, or just after it.
            if (below, other) in at_once or type(self._runs.states[row]) in _MAY_RUN:
                state = self._begin_again(below, other, message)
                told.append(((below, other - 1, self._runs.generation[row]), state))
        return told

    def _begin_again(
        self, index: int, place: int, message: str, turn: Mapping[str, Any] | None = None
    ) -> State:
        """Have a task run whose execution is lost begin again, at the attempt and turn that it was at, and without
        another pause; returns the state that tells of it."""
        told, attempt = Pending(message), self._runs.attempt_to_come(index, place - 1)
        facts = {**(turn or {}), **({"task_run_count": attempt} if attempt > 1 else {})}
        if (index, place) in self.resumed:
            self._sources.give(index, place, Resume(message, context=facts))
        elif facts:
            self._sources.give(index, place, Pending(message, context=facts))
        else:
            self._runs.set_state(index, self._runs.row(index, place), told)
        return told


def _without_value(state: State) -> State | None:
    """What is left of a state whose value is gone; None where the value is what it is about."""
    if isinstance(state, Mapped):
        return state
    if isinstance(state, Success) and not isinstance(state, Skipped):
        return None
    left = without_result(state)
    left.tag(tuple(sorted(state.context.get("tags", ()))))
    if isinstance(state, Failed):
        left.result = TaskException(type(state).__name__, state.message or "", "")
    return left
