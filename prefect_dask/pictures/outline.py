"""A flow as pictures see it, whether it is at hand or only recorded: tasks by name, and the edges between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from prefect_dask.engine.graph import FlowGraph, ShownAs


class Recorded(Protocol):
    """A flow as a ledger tells it; see `ledger.facts.RecordedFlow`."""

    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> Sequence[RecordedTask]: ...
    @property
    def edges(self) -> Sequence[tuple[int, int, str | None, bool, bool]]: ...


class RecordedTask(Protocol):
    """One of its tasks; see `ledger.facts.RecordedTask`."""

    @property
    def name(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def shown_as(self) -> ShownAs: ...
    @property
    def is_mapped(self) -> bool: ...


class OutlineTask(NamedTuple):
    """A task: its name, its name within the flow, what it is shown as, whether it has children."""

    name: str
    slug: str
    shown_as: ShownAs = "task"
    is_mapped: bool = False


class OutlineEdge(NamedTuple):
    """An edge between two tasks, told by their places in the flow."""

    above: int
    below: int
    key: str | None = None
    mapped: bool = False
    flattened: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A flow: tasks in running order, so that every edge leads to a later one."""

    name: str
    tasks: tuple[OutlineTask, ...]
    edges: tuple[OutlineEdge, ...]

    @classmethod
    def of_graph(cls, graph: FlowGraph) -> Outline:
        """The outline of a flow that is at hand."""
        return cls(
            graph.name,
            tuple(
                OutlineTask(node.label.name, node.label.slug, node.shown_as, is_mapped)
                for node, is_mapped in zip(graph.nodes, graph.is_mapped, strict=True)
            ),
            tuple(
                OutlineEdge(
                    e.upstream_task.index, e.downstream_task.index, e.key, e.mapped, e.flattened
                )
                for e in graph.edges
            ),
        )

    @classmethod
    def of_record(cls, flow: Recorded) -> Outline:
        """The outline of a flow as the ledger knows it."""
        return cls(
            flow.name,
            tuple(
                OutlineTask(task.name, task.slug, task.shown_as, task.is_mapped)
                for task in flow.tasks
            ),
            tuple(OutlineEdge(*edge) for edge in flow.edges),
        )
