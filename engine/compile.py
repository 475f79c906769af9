"""Hand-overs as a Dask graph: no I/O, no clock.

A node is as small as it can be: a function known to every worker, numbers, and references to the nodes above it
(DESIGN D3). What it runs travels apart, once a worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import getitem
from typing import Any, NamedTuple, TypeAlias

import cloudpickle
from dask._expr import LLGExpr
from dask._task_spec import DataNode, List, Task, TaskRef
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from .graph import FlowGraph
from .hand_over import Given, HandOver, Source, Whole
from .node import RunPackage, run_alone, run_batch, run_node
from .stream import NodeId

#: A key of ours: (task name-token, task, map index, generation); of a batch, with the number of its nodes.
DaskKey: TypeAlias = tuple[str | int, ...]

#: The tag by which a task asks for a worker resource.
RESOURCE_TAG = re.compile(r"^dask-resource:(?P<name>[^=]+)=(?P<amount>[0-9.]+)$")


class Keys:
    """The Dask keys of one flow run.

    Args:
        token: The run's token; hexadecimal, so that Dask shows the task's name alone.
        graph: The flow.
    """

    def __init__(self, token: str, graph: FlowGraph) -> None:
        self.token = token
        self._prefixes = [f"{node.label.name}-{token}" for node in graph.nodes]

    def of(self, node: NodeId) -> DaskKey:
        """The key of a node."""
        return (self._prefixes[node[0]], *node)

    def of_batch(self, first: NodeId, count: int) -> DaskKey:
        """The key of a batch that begins with a node."""
        return (*self.of(first), count)

    def is_ours(self, key: object) -> bool:
        """Whether a key belongs to this run."""
        return (
            isinstance(key, (tuple, list))
            and len(key) in (4, 5)
            and isinstance(key[0], str)
            and key[0].endswith(self.token)
        )


class Place(NamedTuple):
    """Where a node's state lies: under a key, and in a batch at a position of its value."""

    key: DaskKey
    position: int | None = None


def compile_nodes(
    groups: Iterable[Sequence[HandOver]], keys: Keys, places: Mapping[NodeId, Place]
) -> tuple[dict[DaskKey, Task | DataNode], dict[NodeId, Place]]:
    """The Dask graph of hand-overs; keys of nodes handed over before are referred to, not repeated.

    States from outside the run become a data node each, however many nodes take them.

    Args:
        groups: The hand-overs, as they share Dask nodes.
        keys: The keys of the run.
        places: Where the states of nodes handed over before lie.

    Returns:
        The graph, and where the states of these hand-overs will lie.
    """
    dsk: dict[DaskKey, Task | DataNode] = {}
    new = {item.node: place for group in groups for item, place in _places(group, keys)}

    def place_of(source: Source) -> Place:
        if not isinstance(source, Given):
            return new[source] if source in new else places[source]
        key = keys.of(source.node)
        if key not in dsk:
            # As bytes: the scheduler opens the graph, and has no business with users' objects.
            dsk[key] = DataNode(key, cloudpickle.dumps(source.state))
        return Place(key)

    def refer(source: Source | Whole) -> Any:
        if isinstance(source, Whole):
            return List(refer(source.parent), List(*[refer(child) for child in source.children]))
        key, position = place_of(source)
        return TaskRef(key) if position is None else Task(None, getitem, TaskRef(key), position)

    for group in groups:
        key = new[group[0].node].key
        if len(group) > 1:
            dsk[key] = _batch_node(key, group, keys.token, place_of, refer)
            continue
        (item,) = group
        start = None if item.start is None else refer(item.start)
        upstream = [refer(source) for source in item.upstream]
        dsk[key] = Task(
            key, run_node, keys.token, *item.node, item.as_of, start, item.picks, *upstream
        )
    return dsk, new


def _places(group: Sequence[HandOver], keys: Keys) -> Iterator[tuple[HandOver, Place]]:
    if len(group) == 1:
        yield group[0], Place(keys.of(group[0].node))
    else:
        key = keys.of_batch(group[0].node, len(group))
        for position, item in enumerate(group):
            yield item, Place(key, position)


def _batch_node(
    key: DaskKey,
    group: Sequence[HandOver],
    token: str,
    place_of: Callable[[Source], Place],
    refer: Callable[[Source | Whole], Any],
) -> Task:
    """One node for several hand-overs; what several of them look at is an argument once."""
    arguments: dict[Any, int] = {}
    references: list[Any] = []
    members = []
    for item in group:
        looks = []
        for source in item.upstream:
            if isinstance(source, Whole):
                what: Any = id(source)
                place = None
            else:
                place = place_of(source)
                what = place.key
            if what not in arguments:
                arguments[what] = len(arguments)
                references.append(refer(source) if place is None else TaskRef(place.key))
            looks.append((arguments[what], None if place is None else place.position))
        members.append((item.node, item.picks, tuple(looks)))
    return Task(key, run_batch, token, group[0].as_of, tuple(members), *references)


def worker_resources(tags: Iterable[str]) -> dict[str, float]:
    """What a task asks of a worker by its tags.

    >>> worker_resources(["nightly", "dask-resource:GPU=1"])
    {'GPU': 1.0}
    """
    found = (RESOURCE_TAG.match(tag) for tag in tags)
    return {match["name"]: float(match["amount"]) for match in found if match}


class NodesExpr(LLGExpr):
    """A Dask graph whose nodes ask for worker resources, each for its own."""

    _parameters = ["dsk", "resources"]  # noqa: RUF012  # the form of dask._expr

    def __dask_annotations__(self) -> dict[str, dict[DaskKey, Any]]:
        operand: Any = self.operand  # dask._expr has no types
        resources: dict[DaskKey, Any] = operand("resources")
        return {"resources": resources}


def as_expression(
    dsk: Mapping[DaskKey, Task | DataNode], graph: FlowGraph
) -> dict[DaskKey, Task | DataNode] | NodesExpr:
    """The graph in the form that a Dask client takes, with what its nodes ask of workers."""
    by_task: dict[int, dict[str, float]] = {}
    resources = {}
    for key, node in dsk.items():
        task = int(key[1])
        if task not in by_task:
            by_task[task] = worker_resources(graph.nodes[task].label.tags)
        if by_task[task] and isinstance(node, Task):
            resources[key] = by_task[task]
    if not resources:
        return dict(dsk)
    make: Any = NodesExpr  # dask._expr has no types
    expression: NodesExpr = make(dict(dsk), resources)
    return expression


def compile_collection(package: RunPackage) -> tuple[HighLevelGraph, list[DaskKey]]:
    """A whole flow as a Dask graph that any Dask scheduler can run without a coordinating process.

    One layer a task, named after it. There is nobody to hand a retry over again, so a node waits out its own.

    Returns:
        The graph, and the key of each task's state in the order of the flow.
    """
    graph = package.graph
    keys = Keys(package.token, graph)
    state_keys = [keys.of((index, -1, 1)) for index in range(len(graph))]
    layer_names = [f"{node.label.slug}-{package.token}" for node in graph.nodes]
    layers = {}
    dependencies = {}
    for index, runner in enumerate(package.runners):
        runner_key = keys.of((index, -1, 0))
        above = [TaskRef(state_keys[view.upstream]) for view in graph.views[index]]
        layers[layer_names[index]] = MaterializedLayer(
            {
                runner_key: DataNode(runner_key, runner),
                state_keys[index]: Task(
                    state_keys[index], run_alone, TaskRef(runner_key), index, *above
                ),
            },
            annotations=_annotations(graph.nodes[index].label.tags),
        )
        dependencies[layer_names[index]] = {layer_names[v.upstream] for v in graph.views[index]}
    return HighLevelGraph(layers, dependencies), state_keys


def _annotations(tags: Iterable[str]) -> dict[str, Any] | None:
    wanted = worker_resources(tags)
    return {"resources": wanted} if wanted else None
