"""Hand-overs as a Dask graph: no I/O, no clock.

A node is as small as it can be: a function known to every worker, numbers, and references to the nodes above it
(DESIGN D3). What it runs travels apart, once a worker.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol, TypeAlias

import cloudpickle
from dask._expr import Expr
from dask._task_spec import DataNode, Task, TaskRef
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.utils import key_split

from .graph import FlowGraph
from .group_run import Care, Look, Member, packed, run_group, run_once
from .grouping import Chain
from .hand_over import Given, Source, Whole
from .node import RunPackage, run_alone
from .stream import NodeId
from .worker_resources import worker_resources

#: A key of ours: (names of tasks-token, task, map index, generation, number of the node among those that share it).
DaskKey: TypeAlias = tuple[str | int, ...]

#: So many tasks of a chain are named in its key.
NAMED_AT_MOST = 3

NO_SUSPECTS: Mapping[tuple[int, int], Care] = {}


class Keys:
    """The Dask keys of one flow run.

    Args:
        token: The run's token; hexadecimal, so that Dask shows the task's name alone.
        graph: The flow.
    """

    def __init__(self, token: str, graph: FlowGraph) -> None:
        self.token = token
        self._names = [node.label.name for node in graph.nodes]
        #: How keys begin, by the names in them and how many tasks there are.
        self._beginnings: dict[tuple[str | int, ...], str] = {}

    def of(self, node: NodeId, number: int = 0, after: Iterable[int] = ()) -> DaskKey:
        """The key of a Dask node.

        Args:
            node: The first task run in it.
            number: Tells it from others that begin so.
            after: The tasks that come after it in the node.
        """
        names = list(dict.fromkeys([self._names[task] for task in (node[0], *after)]))
        known: tuple[str | int, ...] = (*names[:NAMED_AT_MOST], len(names))
        beginning = self._beginnings.get(known)
        if beginning is None:
            beginning = self._beginnings[known] = f"{prefix_of(names)}-{self.token}"
        return (beginning, *node, number)

    def is_ours(self, key: object) -> bool:
        """Whether a key belongs to this run."""
        return (
            isinstance(key, (tuple, list))
            and len(key) == 5
            and isinstance(key[0], str)
            and key[0].endswith(self.token)
        )


def prefix_of(names: Sequence[str]) -> str:
    """What Dask shows of a node in its plots: the names of its tasks.

    Of a key Dask shows what stands before the first part between hyphens that is no word. So that a name with such
    parts is shown whole, its hyphens become those that Dask does not look for. To people they look the same.

    Args:
        names: Of its tasks, each once, in their order.

    >>> prefix_of(["load"]), prefix_of(["clean", "count"]), prefix_of(["a", "b", "c", "d", "e"])
    ('load', 'clean+count', 'a+b+c+2 more')
    >>> prefix_of(["load-2024"])
    'load‐2024'
    """
    prefix = "+".join(names[:NAMED_AT_MOST])
    if len(names) > NAMED_AT_MOST:
        prefix += f"+{len(names) - NAMED_AT_MOST} more"
    return prefix if key_split(f"{prefix}-0") == prefix else prefix.replace("-", "\N{HYPHEN}")


class Place(NamedTuple):
    """Where the state of a task run lies: under a key, at a position of its value."""

    key: DaskKey
    position: int


class KnownPlaces(Protocol):
    """Where the states of task runs lie that were handed over before."""

    def place(self, node: NodeId) -> Place:
        """Where an execution lies."""
        ...


class Row(NamedTuple):
    """A Dask node as it travels to the scheduler."""

    key: DaskKey
    told: bytes
    arguments: tuple[DaskKey, ...]


#: In keys, where the map index stands of a single task run: a list of children that are given.
GIVEN_CHILDREN = -2


@dataclass
class Compiled:
    """Hand-overs as nodes of a Dask graph.

    Attributes:
        rows: The nodes.
        given: States from outside the run, by key, as pickles: the scheduler opens the graph, and has no
            business with users' objects. Those of children that one node looks at are one pickle of a list.
        places: Where the state of each task run will lie.
        lists: Where lists of children that are given lie; nodes that look at the same ones share one.
    """

    rows: list[Row] = field(default_factory=list)
    given: dict[DaskKey, bytes] = field(default_factory=dict)
    places: dict[NodeId, Place] = field(default_factory=dict)
    lists: dict[tuple[NodeId, ...], DaskKey] = field(default_factory=dict)


def compile_groups(
    groups: Iterable[Sequence[Chain]],
    keys: Keys,
    places: KnownPlaces,
    numbers: Iterator[int],
    is_passed_on: Callable[[int, int], bool],
    suspects: Mapping[tuple[int, int], Care] = NO_SUSPECTS,
) -> Compiled:
    """The Dask graph of hand-overs; nodes handed over before are referred to, not repeated.

    Args:
        groups: The hand-overs, as they share Dask nodes; none needs a later one.
        keys: The keys of the run.
        places: Where the states of nodes handed over before lie.
        numbers: A number not used in this run for each node.
        is_passed_on: Whether the result of a task is for another one alone, by their indices.
        suspects: Task runs of which a worker died that had them, and how they are run.
    """
    compiled = Compiled()
    for group in groups:
        items = [item for chain in group for item in chain.items]
        # Numbered: what a node handed back goes to Dask again as the same task run.
        number = next(numbers)
        # Chains that share a node are of one kind.
        key = keys.of(items[0].node, number, [item.node[0] for item in group[0].items[1:]])
        own = {item.node: i for i, item in enumerate(items)}
        node = _NodeCompiler(keys, compiled, places, own, number)
        members = [
            Member(
                item.node,
                None if item.start is None else node.look(item.start),
                [node.look_at(source) for source in item.upstream],
                item.picks,
                after is not None and is_passed_on(item.node[0], after.node[0]),
            )
            for chain in group
            for item, after in zip_longest(chain.items, chain.items[1:])
        ]
        ends: list[int] = []
        for chain in group:
            ends.append((ends[-1] if ends else 0) + len(chain.items))
        compiled.places.update((item.node, Place(key, i)) for i, item in enumerate(items))
        as_of = max(item.as_of for item in items)
        care = Care.NONE
        if suspects:
            care = max(suspects.get(item.node[:2], Care.NONE) for item in items)
        told = packed(number, as_of, members, ends, care)
        compiled.rows.append(Row(key, told, node.keys_of_arguments()))
    return compiled


class _NodeCompiler:
    """One node: what several of its task runs look at is an argument once."""

    def __init__(
        self,
        keys: Keys,
        compiled: Compiled,
        places: KnownPlaces,
        own: Mapping[NodeId, int],
        number: int,
    ) -> None:
        self._number = number
        self._keys, self._compiled, self._places, self._own = keys, compiled, places, own
        #: The place of each argument: its key, or the task whose children are given.
        self._arguments: dict[DaskKey | int, int] = {}
        #: By task, the children that are given, in the order of the list that the argument is.
        self._given: dict[int, dict[NodeId, Given]] = {}
        self._positions: dict[NodeId, int] = {}
        self._wholes: dict[int, list[Any]] = {}

    def look_at(self, source: Source | Whole) -> Look | list[Any]:
        """Where a task run finds a state, or that of a mapped task with its children."""
        if not isinstance(source, Whole):
            return self.look(source)
        whole = self._wholes.get(id(source))
        if whole is None:
            children = [self.look(child) for child in source.children]
            whole = self._wholes[id(source)] = [self.look(source.parent), children]
        return whole

    def look(self, source: Source) -> Look:
        """Where a task run finds a state."""
        if isinstance(source, Given):
            task, map_index, _ = source.node
            if map_index >= 0:
                # A key each would be a Dask task each, for the thousands that a resumed map is made of.
                children = self._given.setdefault(task, {})
                if source.node not in children:
                    self._positions[source.node] = len(children)
                    children[source.node] = source
                return (self._argument(task), self._positions[source.node])
            key = self._keys.of(source.node)
            if key not in self._compiled.given:
                self._compiled.given[key] = cloudpickle.dumps(source.state)
            return self._argument(key)
        own = self._own.get(source)
        if own is not None:
            return (-1, own)
        place = self._compiled.places.get(source) or self._places.place(source)
        return (self._argument(place.key), place.position)

    def keys_of_arguments(self) -> tuple[DaskKey, ...]:
        """The keys of what it looks at, when all looks are known."""
        return tuple(
            self._key_of_given(each) if isinstance(each, int) else each for each in self._arguments
        )

    def _key_of_given(self, task: int) -> DaskKey:
        children = self._given[task]
        key = self._compiled.lists.get(tuple(children))
        if key is None:
            key = self._keys.of((task, GIVEN_CHILDREN, 0), self._number)
            self._compiled.lists[tuple(children)] = key
            states = [child.state for child in children.values()]
            self._compiled.given[key] = cloudpickle.dumps(states)
        return key

    def _argument(self, key: DaskKey | int) -> int:
        return self._arguments.setdefault(key, len(self._arguments))


class NodesExpr(Expr):
    """A Dask graph of ours as the client sends it: a pickle that becomes tasks where the scheduler opens it."""

    _parameters = ["nodes", "resources", "workers"]  # noqa: RUF012  # the form of dask._expr

    def __dask_annotations__(self) -> dict[str, dict[DaskKey, Any]]:
        operand: Any = self.operand  # dask._expr has no types
        resources: dict[DaskKey, Any] = operand("resources")
        workers: dict[DaskKey, Any] = operand("workers")
        loose = dict.fromkeys(workers, True)
        return {"resources": resources, "workers": workers, "allow_other_workers": loose}

    def _layer(self) -> dict[DaskKey, Task | DataNode]:
        operand: Any = self.operand
        # From the client whose functions this cluster runs anyway.
        token, limited, rows, given = pickle.loads(operand("nodes"))
        dsk: dict[DaskKey, Task | DataNode] = {
            key: DataNode(key, state) for key, state in given.items()
        }
        refs: dict[DaskKey, TaskRef] = {}
        known: dict[frozenset[DaskKey], frozenset[DaskKey]] = {}
        no_arguments: dict[str, Any] = {}
        for key, told, arguments in rows:
            above = [refs.get(each) or refs.setdefault(each, TaskRef(each)) for each in arguments]
            function = run_once if limited and key[1] in limited else run_group
            task = dsk[key] = Task(key, function, token, told, *above)
            # The scheduler keeps these; the children of a map need the same: 216 bytes each, and 64.
            task._dependencies = known.setdefault(task._dependencies, task._dependencies)
            task.kwargs = no_arguments
        return dsk


def as_expression(
    compiled: Compiled,
    token: str,
    graph: FlowGraph,
    workers: Mapping[DaskKey, Sequence[str]],
    limited: frozenset[int] = frozenset(),
) -> NodesExpr:
    """The nodes in the form that a Dask client takes, with what they ask of workers.

    Args:
        compiled: The nodes.
        token: The run's.
        graph: The flow.
        workers: For some nodes, the addresses of the workers that should run them, where they are there.
        limited: Tasks whose nodes Dask must not repeat by itself; each is alone in its node.
    """
    by_task: dict[int, dict[str, float]] = {}
    resources = {}
    for row in compiled.rows:
        task = int(row.key[1])
        if task not in by_task:
            by_task[task] = worker_resources(graph.nodes[task].label.tags)
        if by_task[task]:
            resources[row.key] = by_task[task]
    rows = [tuple(row) for row in compiled.rows]
    nodes = pickle.dumps((token, limited, rows, compiled.given))
    make: Any = NodesExpr  # dask._expr has no types
    expression: NodesExpr = make(nodes, resources, dict(workers))
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
