"""Which task runs share a Dask node (DESIGN D11): the children of a map that was told to run in batches."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import FlowGraph
from .hand_over import HandOver


def group(plan: Sequence[HandOver], graph: FlowGraph) -> list[tuple[HandOver, ...]]:
    """Hand-overs as they share nodes.

    Children of a map with `batch=n` share a node by n, in order. What is not handed over for the first time runs
    alone: a retry must not wait for its siblings, nor a batch die twice of the same child.

    Args:
        plan: In the order of `Book.take_…`: by task, then by map index.
        graph: The flow.

    Returns:
        The same hand-overs in the same order, each in one group; no group is empty.
    """
    groups: list[tuple[HandOver, ...]] = []
    open_group: list[HandOver] = []
    for item in plan:
        size = _batch_size(item, graph)
        if open_group and (
            size == 1 or open_group[0].node[0] != item.node[0] or len(open_group) == size
        ):
            groups.append(tuple(open_group))
            open_group = []
        if size == 1:
            groups.append((item,))
        else:
            open_group.append(item)
    if open_group:
        groups.append(tuple(open_group))
    return groups


def _batch_size(item: HandOver, graph: FlowGraph) -> int:
    task, map_index, generation = item.node
    if map_index < 0 or generation > 1 or item.start is not None:
        return 1
    return graph.nodes[task].task.batch or 1
