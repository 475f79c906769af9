"""In which order the task runs of a flow are handed over: child i of one map, then child i of the map over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from .graph import FlowGraph, Take
from .task_runs import Position


def runs_in_order(
    graph: FlowGraph, indices: Iterable[int], child_count: Sequence[int]
) -> Iterator[Position]:
    """All runs of some tasks, such that none looks at a later one.

    Of maps over maps, the children come column by column: what ends a branch stands near to what begins it.

    Args:
        graph: The flow.
        indices: Tasks, in topological order.
        child_count: How many children each task of the flow has.
    """
    tasks = list(indices)
    if not any(child_count[index] for index in tasks):
        yield from ((index, 0) for index in tasks)
        return
    for family in _families(graph, tasks, child_count):
        for index in family:
            yield index, 0
        for place in range(1, child_count[family[0]] + 1):
            for index in family:
                yield index, place


def _families(
    graph: FlowGraph, tasks: Sequence[int], child_count: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """The tasks, those together of which child i looks at child i; in topological order."""
    families: dict[int, list[int]] = {}
    #: The first task of each one's family.
    head: dict[int, int] = {}
    for index in tasks:
        head[index] = index
        # Whoever looks at all children of a map comes after the last of them, not in their columns.
        after = {head.get(v.upstream) for v in graph.views[index] if v.take is not Take.ITEM}
        for view in graph.views[index]:
            above = view.upstream
            if (
                view.take is Take.ITEM
                and child_count[index]
                and graph.is_mapped[above]
                and above in head
                and child_count[above] == child_count[index]
                and head[above] not in after
            ):
                head[index] = head[above]
                break
        families.setdefault(head[index], []).append(index)
    above_of = {
        first: {
            head[view.upstream]
            for index in family
            for view in graph.views[index]
            if view.upstream in head and head[view.upstream] != first
        }
        for first, family in families.items()
    }
    try:
        order = list(TopologicalSorter(above_of).static_order())
    except CycleError:  # something stands between two of a family
        yield from ((index,) for index in tasks)
        return
    yield from (tuple(families[first]) for first in order)
