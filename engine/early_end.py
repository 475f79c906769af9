"""How a flow run ends that ends before all is done: what each task run comes to, and which tasks clean up first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from .graph import FlowGraph
from .state import Cancelled, Mapped, Pending, Running, State
from .stream import NodeId
from .task_runs import TaskRuns, is_final


def clean_ups(graph: FlowGraph, runs: TaskRuns) -> list[int]:
    """The tasks that clean up what was made, and have yet to do so."""
    return [
        index
        for index, node in enumerate(graph.nodes)
        if node.task.cleans_up
        and not graph.is_mapped[index]
        and not runs.is_done[index]
        and all(
            (state := runs.state(edge.upstream_task.index)).is_successful()
            and not state.is_skipped()
            for edge in graph.edges_to[index]
            if edge.key is not None
        )
    ]


def end_undone(
    runs: TaskRuns, last_state: Callable[[State], State], but: Collection[int] = ()
) -> Iterator[tuple[NodeId, State]]:
    """Bring all that is not done to its end; nothing is under way any more.

    Args:
        runs: The task runs of a flow run.
        last_state: From the state of a task run, its last one.
        but: Tasks that are left alone: they can be handed over anew.

    Yields:
        The latest execution of each task run that came to another state, and that.
    """
    for index, children in enumerate(runs.child_count):
        for place in range(children + 1):
            runs.set_out(index, runs.row(index, place), is_out=False)
        if index in but:
            continue
        if not runs.is_done[index]:
            yield runs.node_id(index), _end_task(runs, index, last_state)
        for place in range(1, runs.child_count[index] + 1):
            row = runs.row(index, place)
            if not runs.is_done[row]:
                state = last_state(runs.state(index, place - 1))
                runs.set_state(index, row, state)
                yield runs.node_id(index, place - 1), state


def _end_task(runs: TaskRuns, index: int, last_state: Callable[[State], State]) -> State:
    old = runs.state(index)
    state: State
    if is_final(old):
        state = old  # given, and to be validated again: it stays what it is
    elif any(type(child) is not Pending for child in runs.children(index)):
        # Children whose number was known beforehand are ahead of it.
        state = Mapped("Some children have begun.")
        state.width = runs.child_count[index]
    else:
        runs.cut(index)
        state = last_state(old)
    runs.set_state(index, index, state)
    return state


def cancelled(cause: str, state: State) -> State:
    """What a task run comes to that is in `state` when its flow run is cancelled."""
    when = "while it ran" if isinstance(state, Running) else "before it began"
    return Cancelled(f"cancelled {when}: {cause}")
