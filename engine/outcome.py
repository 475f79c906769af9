"""The state of a flow, decided from the states of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import failures
from .errors import NoStateOfTask
from .folded import noteworthy
from .graph import FlowGraph
from .secrets import HIDDEN
from .state import Failed, Mapped, Paused, Pending, Scheduled, Skipped, State, Success
from .stream import without_result


def flow_outcome(graph: FlowGraph, states: Sequence[State]) -> State:
    """What a flow has come to when nothing more can be done now.

    Args:
        graph: The flow.
        states: The state of each task, by index.

    Returns:
        Paused or Pending where a task is not finished; else Failed where a reference task failed; else Success.
        The state has no result yet.
    """
    waiting, unfinished, failed = [], 0, []
    for node, state in zip(graph.nodes, states, strict=True):
        if type(state) is Success:
            continue
        for name, each in runs_of(node.label.name, state):
            if isinstance(each, Scheduled):
                waiting.append(name)
            if not each.is_finished() or each.is_looped():
                unfinished += 1
            elif node.is_reference and each.is_failed():
                failed.append(name)
    if waiting:
        return Paused(f"waits for {listed(waiting)}")
    if unfinished:
        return Pending(f"{unfinished} tasks could not be run")
    if failed:
        return Failed(f"reference tasks failed: {listed(failed)}")
    return Success("All reference tasks succeeded.")


def flow_failed(error: BaseException, task_states: Mapping[Any, State]) -> State:
    """The state of a flow that failed because of `error`, with the states that its tasks came to until then."""
    state = Failed(failures.text_of(error), result=task_states)
    state.context["error"] = error
    return state


class TaskStates(dict[Any, State]):
    """The state of each task of a flow, by task or by slug, as the result of the flow's state holds them."""

    def __missing__(self, task: object) -> State:
        by_slug = any(isinstance(each, str) for each in self)
        raise NoStateOfTask(task, [str(each) for each in self], by_slug=by_slug)


def states_by_task(graph: FlowGraph, states: Sequence[State]) -> TaskStates:
    """The states of the tasks, as the result of a flow's state holds them."""
    return TaskStates(zip([node.task for node in graph.nodes], states, strict=True))


def hidden(state: State) -> State:
    """The state of a secret task as others may see it: without its result.

    It is a state of its own where the result lies in the one given, which tasks may still take.
    """
    if isinstance(state, Mapped):
        state.map_states = [hidden(child) for child in state.map_states]
        return state
    if not isinstance(state, Success) or isinstance(state, Skipped):
        return state
    if state._lazy is None:
        context = state._context
        state = without_result(state)
        state._context = context
    state.result = HIDDEN
    return state


def runs_of(name: str, state: State) -> Iterator[tuple[str, State]]:
    """The runs of a task that may be no plain successes, by name: its own, and those of its children."""
    yield name, state
    if isinstance(state, Mapped):
        for index, child in noteworthy(state.map_states):
            yield f"{name}[{index}]", child


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in quotes, the first few of them.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
