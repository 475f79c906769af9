"""A flow as plain data: nodes in topological order, and the edges between them.

This is all that the engine knows of a flow. Nodes and edges speak of tasks by index; the tasks themselves are
carried along and only asked for what `TaskLike` names.

Labels, edges and nodes are never changed once they are made, and each is equal only to itself. They do not say so
as frozen dataclasses would: those take several times as long to make, and a flow has tens of thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

#: What a task is shown as: a plain task, or one that a flow makes of what else is written in it.
ShownAs = Literal[
    "task", "parameter", "constant", "collection", "case", "merge", "flow", "set-up", "clean-up"
]


class TaskLike(Protocol):
    """What the engine asks of a task."""

    name: str
    tags: set[str]
    max_retries: int
    retry_delay: timedelta | Sequence[timedelta] | Callable[[int], timedelta] | None
    retry_jitter: float
    retry_on: tuple[type[BaseException], ...] | None
    timeout_seconds: float | None
    isolation: Literal["process"] | None
    trigger: Callable[[Mapping[Edge, Any]], bool]
    skip_on_upstream_skip: bool
    state_handlers: list[Callable[..., Any]]
    on_failure: Callable[..., Any] | None
    log_stdout: bool
    task_run_name: str | Callable[..., str] | None
    max_in_flight: int | None
    batch: int | None
    cache_for: timedelta | None
    cache_validator: Callable[..., bool] | None
    cache_key: str | None
    checkpoint: bool | None
    durable: bool | Literal["auto"] | None
    result: Any
    target: str | Callable[..., str] | None

    @property
    def cleans_up(self) -> bool:
        """Whether it runs also where its run is cancelled, once what it takes was made."""
        ...

    def own_facts(self) -> Mapping[str, Any]:
        """What the task holds beyond the settings that every task has; it counts as a part of its code."""
        ...

    def run(self, **inputs: Any) -> Any: ...


@dataclass(eq=False, slots=True)
class TaskLabel:
    """A task as its neighbours know it: enough to name it, without its code."""

    index: int
    name: str
    slug: str
    tags: frozenset[str] = frozenset()
    #: Its result is not for anybody to see but the tasks that take it.
    is_secret: bool = False

    def run_name(self, map_index: int) -> str:
        """What a run of the task is called: child i of a mapped one is `name[i]`.

        >>> TaskLabel(0, "load", "load-1").run_name(3)
        'load[3]'
        """
        return self.name if map_index < 0 else f"{self.name}[{map_index}]"


@dataclass(eq=False, slots=True)
class Edge:
    """That one task waits for another, and, with a key, receives its result as that argument."""

    upstream_task: TaskLabel
    downstream_task: TaskLabel
    key: str | None = None
    mapped: bool = False
    flattened: bool = False


class Take(Enum):
    """What a task run takes of an upstream result: all of it, its item of it, or its item of the lists in it."""

    ALL = "all"
    ITEM = "item"
    FLAT = "flat"


class View(NamedTuple):
    """What a task looks at of one above it."""

    upstream: int
    take: Take

    @staticmethod
    def of(edge: Edge) -> View:
        """The view that an edge asks for."""
        take = Take.ALL if not edge.mapped else Take.FLAT if edge.flattened else Take.ITEM
        return View(edge.upstream_task.index, take)


def views_of(edges: Iterable[Edge], *, is_mapped: bool = True) -> tuple[View, ...]:
    """What a task looks at through its edges, once each, in their order.

    Args:
        edges: They point to one task.
        is_mapped: Whether one of them may be mapped.
    """
    if is_mapped:
        return tuple(dict.fromkeys(View.of(edge) for edge in edges))
    above = dict.fromkeys([edge.upstream_task.index for edge in edges])
    return tuple([_view((index, _ALL)) for index in above])


_ALL = Take.ALL
_view: Callable[[tuple[int, Take]], View] = partial(tuple.__new__, View)


#: Stands for a value that is not known before the flow runs.
UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda self: "UNKNOWN", "__slots__": ()})()


#: Of a task without constants; one for all of them.
NO_CONSTANTS: Mapping[str, Any] = {}


@dataclass(eq=False, slots=True)
class Node:
    """A task at its place in a flow."""

    label: TaskLabel
    task: TaskLike
    constants: Mapping[str, Any] = field(default_factory=lambda: NO_CONSTANTS)
    #: Reference tasks decide the flow's state; resource set-up and clean-up never do by default.
    is_reference: bool = False
    #: Its result, where that is known before the flow runs (a constant).
    known_result: Any = UNKNOWN
    #: The parameter whose value is its result.
    parameter: str | None = None
    #: A finished state that the run is given does not count: what the task made outlives no run.
    runs_anew: bool = False
    shown_as: ShownAs = "task"

    @property
    def is_known(self) -> bool:
        """Whether its result is known before the flow runs."""
        return self.parameter is not None or self.known_result is not UNKNOWN


class FlowGraph:
    """A flow, ready to be run.

    Args:
        name: The flow's name.
        nodes: In topological order; `nodes[i].label.index == i`.
        edges: Each from a lower index to a higher one.

    Raises:
        ValueError: The nodes are not numbered in order, or an edge does not point forward.
    """

    __slots__ = (
        "__weakref__",
        "_has_durable_tasks",
        "downstream",
        "edges",
        "edges_to",
        "is_mapped",
        "name",
        "nodes",
        "views",
    )

    def __init__(self, name: str, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.name = name
        self.nodes = tuple(nodes)
        self.edges = tuple(edges)
        if [node.label.index for node in self.nodes] != list(range(len(self.nodes))):
            raise ValueError(f"flow {name!r}: its nodes must be numbered 0, 1, … in order")
        self._has_durable_tasks: bool | None = None
        to: dict[int, list[Edge]] = {}
        for edge in self.edges:
            index = edge.downstream_task.index
            if not edge.upstream_task.index < index:
                above, below = edge.upstream_task.name, edge.downstream_task.name
                raise ValueError(
                    f"flow {name!r}: the edge {above!r} -> {below!r} does not point forward; "
                    f"list the nodes in topological order"
                )
            if index in to:
                to[index].append(edge)
            else:
                to[index] = [edge]
        count = len(self.nodes)
        #: Per node, the edges that point to it, in a fixed order.
        self.edges_to: list[tuple[Edge, ...]] = [()] * count
        #: Per node, whether it runs once an item of what it is mapped over.
        self.is_mapped: list[bool] = [False] * count
        #: Per node, what it looks at of the nodes above it, once each, in the order of `edges_to`.
        self.views: list[tuple[View, ...]] = [()] * count
        #: Per node, the indices that wait for it, in order.
        self.downstream: list[tuple[int, ...]] = [()] * count
        # Most have one below them: a tuple for it is made once for all above that.
        several: dict[int, list[int]] = {}
        for index in sorted(to):
            edges_to = self.edges_to[index] = tuple(to[index])
            is_mapped = self.is_mapped[index] = True in [edge.mapped for edge in edges_to]
            views = self.views[index] = views_of(edges_to, is_mapped=is_mapped)
            alone = (index,)
            for upstream, _ in views:
                known = self.downstream[upstream]
                if not known:
                    self.downstream[upstream] = alone
                elif upstream in several:
                    if several[upstream][-1] != index:
                        several[upstream].append(index)
                elif known is not alone:
                    several[upstream] = [*known, index]
        for upstream, indices in several.items():
            self.downstream[upstream] = tuple(indices)

    @property
    def has_durable_tasks(self) -> bool:
        """Whether a task asks that its results be kept before anybody is told."""
        if self._has_durable_tasks is None:  # a run of a flow that ran before has it ready
            self._has_durable_tasks = True in [node.task.durable for node in self.nodes]
        return self._has_durable_tasks

    def below(self, indices: Iterable[int]) -> list[int]:
        """All nodes that wait, directly or not, for one of `indices`; in order, without these."""
        seen: set[int] = set()
        stack = list(indices)
        start = set(stack)
        while stack:
            for index in self.downstream[stack.pop()]:
                if index not in seen:
                    seen.add(index)
                    stack.append(index)
        return sorted(seen - start)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<FlowGraph: {self.name!r}, {len(self.nodes)} nodes, {len(self.edges)} edges>"
