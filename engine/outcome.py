"""The state of a flow, decided from the states of its tasks."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import FlowGraph
from .state import Failed, Paused, Pending, Scheduled, State, Success


def flow_outcome(graph: FlowGraph, states: Sequence[State]) -> State:
    """What a flow has come to when nothing more can be done now.

    Args:
        graph: The flow.
        states: The state of each task, by index.

    Returns:
        Paused or Pending where a task is not finished; else Failed where a reference task failed; else Success.
        The state has no result yet.
    """
    names = [node.label.name for node in graph.nodes]
    unfinished = [
        i for i, state in enumerate(states) if not state.is_finished() or state.is_looped()
    ]
    waiting = [names[i] for i in unfinished if isinstance(states[i], Scheduled)]
    if waiting:
        return Paused(f"waits for {listed(waiting)}")
    if unfinished:
        return Pending(f"{len(unfinished)} tasks could not be run")
    failed = [
        names[node.label.index]
        for node in graph.nodes
        if node.is_reference and states[node.label.index].is_failed()
    ]
    if failed:
        return Failed(f"reference tasks failed: {listed(failed)}")
    return Success("All reference tasks succeeded.")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in quotes, the first few of them.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
