"""The tasks of a flow on their way to other processes: each piece of code once, of each task what is its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from itertools import compress
from operator import eq, is_not
from typing import Any, NamedTuple

from . import failures, sent_code
from .context import RunInfo
from .errors import TaskNotPicklable
from .graph import Edge, FlowGraph, Node, TaskLabel, TaskLike
from .grouping import codes_of
from .task_runner import TaskRunner

#: How many tasks travel in one pickle at most: it is opened as a whole.
PARCEL_SIZE = 200


class Parcel(NamedTuple):
    """Tasks of one kind, as a pickle."""

    tasks: tuple[int, ...]
    pickled: bytes


class Parcels(NamedTuple):
    """All tasks of a flow run, and the facts of the run, as pickles."""

    info: bytes
    parcels: list[Parcel]


def pack(graph: FlowGraph, info: RunInfo) -> Parcels:
    """A flow as other processes take it.

    Raises:
        TaskNotPicklable: A task holds what cannot be pickled.
    """
    alike: dict[Any, list[int]] = {}
    for index, code in enumerate(codes_of(graph)):
        alike.setdefault(code, []).append(index)
    labels = [_label_row(node.label) for node in graph.nodes]
    parcels = [
        Parcel(part, _dumps(graph, part, labels))
        for indices in alike.values()
        for start in range(0, len(indices), PARCEL_SIZE)
        if (part := tuple(indices[start : start + PARCEL_SIZE]))
    ]
    names = [node.label.name for node in graph.nodes]
    return Parcels(_pickled(info, names[0] if names else graph.name), parcels)


def unpack(parcel: Parcel, info: RunInfo) -> list[TaskRunner]:
    """The runners of a parcel's tasks."""
    # From the client that submitted the graph whose functions this process runs anyway.
    models, rows = pickle.loads(parcel.pickled)
    labels: dict[tuple[Any, ...], TaskLabel] = {}

    def label_of(row: tuple[Any, ...]) -> TaskLabel:
        # One for each task: two edges that come from the same one are known by that.
        label = labels.get(row)
        if label is None:
            label = labels[row] = TaskLabel(*row)
        return label

    return [_runner(models, row, info, label_of) for row in rows]


class _Row(NamedTuple):
    """A task: which of the models it is like, and what is its own."""

    model: int
    own: dict[str, Any]
    label: tuple[Any, ...]
    constants: Any
    edges: list[tuple[Any, ...]]
    mapped_above: tuple[int, ...]


def _label_row(label: TaskLabel) -> tuple[Any, ...]:
    return (label.index, label.name, label.slug, label.tags, label.is_secret)


def _dumps(graph: FlowGraph, indices: Sequence[int], labels: Sequence[tuple[Any, ...]]) -> bytes:
    models: list[TaskLike] = []
    rows: list[tuple[Any, ...]] = []
    for index in indices:
        node = graph.nodes[index]
        own = _own_facts(models[-1], node.task) if models else None
        if own is None:
            models.append(node.task)
            own = {}
        edges = [
            (labels[edge.upstream_task.index], edge.key, edge.mapped, edge.flattened)
            for edge in graph.edges_to[index]
        ]
        mapped_above = tuple(
            [view.upstream for view in graph.views[index] if graph.is_mapped[view.upstream]]
        )
        rows.append((len(models) - 1, own, labels[index], node.constants, edges, mapped_above))
    try:
        return _pickled((models, rows), graph.nodes[indices[0]].label.name)
    except TaskNotPicklable:
        for index in indices if len(indices) > 1 else ():
            _dumps(graph, [index], labels)  # raises for the one whose fault it is
        raise


def _pickled(value: object, task: str) -> bytes:
    try:
        return sent_code.dumps(value)
    except Exception as error:  # the user's objects are asked here
        raise TaskNotPicklable(task, failures.text_of(error)) from error


def _own_facts(model: TaskLike, task: TaskLike) -> dict[str, Any] | None:
    """What a task has that its model has not; None where it is not like it."""
    if type(task) is not type(model):
        return None
    theirs, own = vars(model), vars(task)
    if len(theirs) != len(own) or not all(map(eq, theirs, own)):
        return None
    different: dict[str, Any] = {}
    for name in compress(own, map(is_not, theirs.values(), own.values())):
        value = own[name]
        is_empty = type(value) in (set, list, dict) and not value
        if type(value) is not str and not is_empty:
            return None
        different[name] = value
    return different


def _runner(
    models: Sequence[TaskLike],
    plain: tuple[Any, ...],
    info: RunInfo,
    label_of: Callable[[tuple[Any, ...]], TaskLabel],
) -> TaskRunner:
    row = _Row(*plain)
    model = models[row.model]
    task: Any = object.__new__(type(model))
    vars(task).update(vars(model))
    vars(task).update(row.own)
    label = label_of(row.label)
    edges = tuple(
        [
            Edge(label_of(above), label, key, mapped, flattened)
            for above, key, mapped, flattened in row.edges
        ]
    )
    return TaskRunner(Node(label, task, row.constants), edges, info, frozenset(row.mapped_above))
