"""How many children a mapped task has, and which item of what is above each takes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from .errors import NotMappable
from .graph import Edge, FlowGraph, Take, View
from .state import Mapped, Skipped, State, Success

#: Which item of a list an input is: the i-th, or the j-th of the i-th; None for all that is there.
Pick: TypeAlias = int | tuple[int, int] | None


def width_of(task: str, edge: Edge, state: State) -> tuple[int, list[int] | None]:
    """How many items a mapped input has.

    Args:
        task: The mapped task's name, for the error.
        edge: Where the input comes from.
        state: The state of that task.

    Returns:
        The number of items, and, where the input is flattened, how long each list in it is.

    Raises:
        NotMappable: It is no list, or the task that should have made it did not succeed.
    """
    if not isinstance(state, Success) or isinstance(state, Skipped):
        above = edge.upstream_task.name
        raise NotMappable(task, edge.key, f"{above!r} is {type(state).__name__}: {state.message}")
    if not edge.flattened:
        if isinstance(state, Mapped):
            return state.width, None
        return _length_of(state.result, task, edge.key), None
    if isinstance(state, Mapped):
        # A child without a list counts as one item, so that its failure or skip shows below.
        lengths = [
            _length_of(child.result, task, edge.key) if has_result(child) else 1
            for child in state.map_states
        ]
    else:
        _length_of(state.result, task, edge.key)
        lengths = [_length_of(item, task, edge.key) for item in state.result]
    return sum(lengths), lengths


def has_result(state: State) -> bool:
    """Whether a state has a result that its task made."""
    return isinstance(state, Success) and not isinstance(state, Skipped)


def _length_of(value: Any, task: str, key: str | None) -> int:
    is_list = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    if not is_list or isinstance(value, Mapping):
        raise NotMappable(task, key, f"got {type(value).__name__}; pass a list")
    return len(value)


def what_child_sees(
    child: int,
    views: Sequence[View],
    upstream: Sequence[State],
    lengths: Mapping[int, Sequence[int]],
) -> tuple[list[State], list[Pick]]:
    """The upstream states of a child, and which items of their results it takes.

    Args:
        child: Its map index.
        views: What its task looks at.
        upstream: The states of these, whole.
        lengths: Those of the parent's Mapped state.
    """
    seen: list[State] = []
    picks: list[Pick] = []
    for number, (view, state) in enumerate(zip(views, upstream, strict=True)):
        pick: Pick = None
        if view.take is Take.ITEM:
            pick = child
        elif view.take is Take.FLAT:
            pick = flat_pick(list(accumulate(lengths[number])), child)
        if pick is not None and isinstance(state, Mapped) and state.map_states:
            state = state.map_states[pick if isinstance(pick, int) else pick[0]]
            pick = None if isinstance(pick, int) else pick
        seen.append(state)
        picks.append(pick)
    return seen, picks


def known_widths(
    graph: FlowGraph, parameters: Mapping[str, Any], known: Mapping[int, int] | None = None
) -> dict[int, int]:
    """How many children mapped tasks will have, of those for which that is known before they run.

    Args:
        graph: The flow.
        parameters: The value of each parameter.
        known: Widths that are known by now, by task index.

    Returns:
        Widths by task index. A task is left out where one of its mapped inputs is made while the flow runs, or is
        no list; and where it has a target, so that no child runs before their targets are known to differ.
    """
    widths = dict(known or {})
    for index, edges in enumerate(graph.edges_to):
        if (
            index in widths
            or not graph.is_mapped[index]
            or graph.nodes[index].task.target is not None
        ):
            continue
        inputs = [_known_width(graph, edge, parameters, widths) for edge in edges if edge.mapped]
        found = [width for width in inputs if width is not None]
        if inputs and len(found) == len(inputs):
            widths[index] = min(found)
    return widths


def _known_width(
    graph: FlowGraph, edge: Edge, parameters: Mapping[str, Any], widths: Mapping[int, int]
) -> int | None:
    node = graph.nodes[edge.upstream_task.index]
    if edge.flattened:
        return None
    if graph.is_mapped[node.label.index]:
        return widths.get(node.label.index)
    value = node.known_result if node.parameter is None else parameters.get(node.parameter)
    return len(value) if isinstance(value, (list, tuple, range)) else None


def flat_pick(sums: Sequence[int], item: int) -> tuple[int, int]:
    """Where item i of several lists laid end to end is found: which list, and which item of it.

    Args:
        sums: How many items there are up to the end of each list.
        item: i, from 0, below the last sum.

    >>> [flat_pick([2, 2, 3], item) for item in range(3)]
    [(0, 0), (0, 1), (2, 0)]
    """
    outer = bisect_right(sums, item)
    return outer, item - (sums[outer - 1] if outer else 0)
