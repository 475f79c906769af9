"""The user's handlers of the states of a flow: asked at each change, and at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .graph import FlowGraph
from .outcome import flow_failed, states_by_task
from .signals import ENDRUN, PrefectStateSignal
from .state import State

#: Called with (old, new) at each change of a flow's state; may return another state.
FlowStateHandler: TypeAlias = "Callable[[State, State], State | None]"

#: Called with (state, states of the reference tasks) at the end of a flow; may return another state.
TerminalStateHandler: TypeAlias = "Callable[[State, set[State]], State | None]"


class FlowHandlers:
    """What the handlers of a flow make of its states; one that raises makes them Failed.

    Args:
        graph: The flow.
        handlers: Are asked at each change, one after the other.
        terminal: Is asked at the end, if there is one.
        logger: For what they raise.
    """

    def __init__(
        self,
        graph: FlowGraph,
        handlers: Sequence[FlowStateHandler],
        terminal: TerminalStateHandler | None,
        logger: logging.Logger,
    ) -> None:
        self._graph, self._handlers, self._terminal = graph, list(handlers), terminal
        self._logger = logger

    def state_after(
        self, old: State, new: State, task_states: Callable[[], Mapping[Any, State]]
    ) -> State:
        """The state to which a flow comes that is about to go from `old` to `new`.

        Args:
            old: The flow's state.
            new: The one to come.
            task_states: Gives the states of the tasks, where a handler decides on the flow's.
        """
        try:
            for handler in self._handlers:
                new = handler(old, new) or new
        except (PrefectStateSignal, ENDRUN) as signal:
            new = signal.state
            new.result = task_states()
        except Exception as error:  # the user's handler
            self._logger.exception("a state handler of flow %r failed", self._graph.name)
            new = flow_failed(error, task_states())
        return new

    def last_word(self, state: State, states: Sequence[State]) -> State:
        """The state of a flow that can do no more.

        Args:
            state: What follows from the states of its tasks.
            states: Those, by index.
        """
        if self._terminal is None or not state.is_finished():
            return state
        references = {states[n.label.index] for n in self._graph.nodes if n.is_reference}
        try:
            answer = self._terminal(state, references) or state
        except (PrefectStateSignal, ENDRUN) as signal:
            answer = signal.state
        except Exception as error:  # the user's handler
            self._logger.exception("the terminal state handler of flow %r failed", self._graph.name)
            return flow_failed(error, states_by_task(self._graph, states))
        if answer._result is None or isinstance(answer._result, PrefectStateSignal):
            answer.result = state.result
        return answer
