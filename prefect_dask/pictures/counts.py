"""How many task runs of each task are at which state: what colours a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.folded import noteworthy
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.state import Mapped, State
from prefect_dask.engine.stream import known_kind
from prefect_dask.ledger.facts import RecordedState

#: By task, how many of its runs are at which state. A task of which nothing is known is left out.
StateCounts: TypeAlias = Mapping[int, Mapping[str, int]]


def counts_of_states(states: Mapping[int, State]) -> StateCounts:
    """Of the states of tasks, by place in the flow: those of the children, where a task has some.

    Example:
        >>> from prefect_dask.engine.state import Failed, Success
        >>> counts_of_states({0: Success(), 1: Mapped(map_states=[Success(), Success(), Failed()])})
        {0: {'Success': 1}, 1: {'Success': 2, 'Failed': 1}}
    """
    return {task: _counted(state) for task, state in states.items()}


def counts_of_flow_state(graph: FlowGraph, state: State) -> StateCounts:
    """Of the state that a run of a flow came to; {} where that tells of no tasks.

    Raises:
        NotAFlowState: It is something else; it is a TypeError.
        StateOfAnotherFlow: It tells of other tasks alone; it is a ValueError.
    """
    if not isinstance(state, State):
        raise NotAFlowState(graph.name, f"{type(state).__name__} {state!r:.100}")
    states = state.result
    if not isinstance(states, Mapping) or not states:
        return {}
    # A run that is followed without its flow at hand tells of its tasks by slug.
    its = {
        node.label.index: states[key]
        for node in graph.nodes
        for key in (node.task, node.label.slug)
        if key in states
    }
    if not its:
        raise StateOfAnotherFlow(graph.name)
    return counts_of_states(its)


def _counted(state: State) -> dict[str, int]:
    if not isinstance(state, Mapped) or not state.map_states:
        return {known_kind(state): 1}
    counted: Counter[str] = Counter()
    seen = 0
    for _, child in noteworthy(state.map_states):
        counted[known_kind(child)] += 1
        seen += 1
    plain = len(state.map_states) - seen
    return dict(Counter({"Success": plain} if plain else {}) + counted)


def counts_of_record(states: Iterable[RecordedState], task_count: int) -> StateCounts:
    """Of the recorded changes of state of a run, in order; all that had not begun is Pending.

    Args:
        states: All of the run.
        task_count: How many tasks its flow has.
    """
    latest: dict[tuple[int, int], str] = {}
    widths: dict[int, int] = {}
    for state in states:
        if state.task >= 0:
            latest[state.task, state.map_index] = state.state
            if state.state == "Mapped":
                widths[state.task] = int(state.details.get("width") or 0)
    counted: list[Counter[str]] = [Counter() for _ in range(task_count)]
    own: dict[int, str] = {}
    for (task, map_index), name in latest.items():
        if map_index < 0:
            own[task] = name
        else:
            counted[task][name] += 1
    return {
        task: _whole(children, own.get(task, "Pending"), widths.get(task, 0))
        for task, children in enumerate(counted)
    }


def _whole(children: Counter[str], own: str, width: int) -> dict[str, int]:
    waiting = width - children.total() if own == "Mapped" else 0
    if waiting > 0:
        children["Pending"] += waiting
    return dict(children) if children else {own: 1}


def summed(counts: StateCounts, tasks: Sequence[int]) -> dict[str, int]:
    """The counts of several tasks together."""
    total: Counter[str] = Counter()
    for task in tasks:
        total.update(counts.get(task, {}))
    return dict(total)


# ---- what goes wrong


class NotAFlowState(PrefectDaskError, TypeError):
    """A flow is to be coloured by something that is not the state of a run of it."""

    def __init__(self, flow: str, thing: str) -> None:
        super().__init__(
            f"flow {flow!r} cannot be coloured by the {thing}; give state= what flow.run() returned, or the handle "
            f"of a run: attach(run_id)"
        )
        self.flow, self.thing = flow, thing


class StateOfAnotherFlow(PrefectDaskError, ValueError):
    """A flow is to be coloured by the state of a run in which none of its tasks is."""

    def __init__(self, flow: str) -> None:
        super().__init__(
            f"flow {flow!r} has none of the tasks that the state tells of; it is of a run of another flow, or of "
            f"this one before it was built anew: attach(run_id).visualize() shows the flow as it ran"
        )
        self.flow = flow
