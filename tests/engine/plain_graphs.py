"""Flow graphs for who decides about task runs without running any."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel


def graph_of(
    count: int,
    *edges: tuple[int, int],
    mapped: bool = False,
    max_in_flight: Mapping[int, int] | None = None,
) -> FlowGraph:
    """Tasks `t0`, `t1` … with these edges; `max_in_flight` by task."""
    limits = max_in_flight or {}
    labels = [TaskLabel(i, f"t{i}", f"t{i}-1") for i in range(count)]
    tasks: list[Any] = [SimpleNamespace(max_in_flight=limits.get(i)) for i in range(count)]
    return FlowGraph(
        "f",
        [Node(label, task=task) for label, task in zip(labels, tasks, strict=True)],
        [Edge(labels[a], labels[b], f"x{a}" if mapped else None, mapped=mapped) for a, b in edges],
    )
