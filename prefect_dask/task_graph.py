"""TaskGraph: the tasks of a flow, the edges between them, and what one may ask of these."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from typing import TYPE_CHECKING, Any

from prefect_dask.edge import Edge
from prefect_dask.engine import graph as engine_graph
from prefect_dask.engine.graph import NO_CONSTANTS, UNKNOWN, FlowGraph, Node, TaskLabel
from prefect_dask.errors import (
    ArgumentTaken,
    DuplicateParameter,
    DuplicateSlug,
    FlowCycle,
    NotATask,
    ParameterHasUpstream,
    UnknownArgument,
    UnknownTask,
    WrongSetting,
)
from prefect_dask.order import Cycle, Order
from prefect_dask.parameter import Parameter
from prefect_dask.task import Task
from prefect_dask.tasks.constants import Constant

if TYPE_CHECKING:
    from typing_extensions import Self


class TaskGraph:
    """Tasks, and edges that say which of them wait for which.

    All that it holds keeps the order in which it was added, so that the same code builds the same
    graph. An edge that is refused leaves the edges as they were.

    Args:
        name: Names the flow in errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        #: The name of each task within the flow: its own slug, or name[-tags]-counter.
        self.slugs: dict[Task, str] = {}
        #: The arguments of each task that are plain values.
        self.constants: dict[Task, dict[str, Any]] = defaultdict(dict)
        self._order: Order[Task] = Order()
        self._edges: dict[Edge, None] = {}
        self._edges_to: dict[Task, dict[Edge, None]] = {}
        self._edges_from: dict[Task, dict[Edge, None]] = {}
        #: Per task, the arguments that edges give to it.
        self._keys_to: dict[Task, set[str]] = {}
        self._slugs_taken: set[str] = set()
        self._slugs_counted: dict[str, int] = {}
        self._reference_tasks: tuple[Task, ...] = ()
        #: What `describe` answered; None since tasks or edges were added.
        self._described: FlowGraph | None = None

    # ---- building

    def add_task(self, task: Task) -> Task:
        """Take a task in, unless it is there already.

        Raises:
            NotATask: It is something else.
            DuplicateSlug: Another task has its slug, or another parameter its name.
        """
        if task in self.slugs:
            return task
        if not isinstance(task, Task):
            raise NotATask(self.name, _shown(task))
        if "name" not in task.__dict__:
            raise WrongSetting(
                f"<Task: {type(task).__name__}>",
                f"its __init__ has not set it up; {type(task).__name__}.__init__ must call "
                "super().__init__()",
            )
        slug = task.slug or self._new_slug(task)
        if slug in self._slugs_taken:
            if isinstance(task, Parameter):
                raise DuplicateParameter(self.name, task.name)
            raise DuplicateSlug(self.name, task.name, slug)
        self._take_in(task, slug)
        return task

    def _take_in(self, task: Task, slug: str) -> None:
        self._described = None
        self._slugs_taken.add(slug)
        self.slugs[task] = slug
        self._order.add(task)
        self._edges_to[task] = {}
        self._edges_from[task] = {}
        self._keys_to[task] = set()

    def _new_slug(self, task: Task) -> str:
        base = "-".join((task.name, *sorted(task.tags))) if task.tags else task.name
        count = self._slugs_counted.get(base, 0)
        while True:
            count += 1
            slug = f"{base}-{count}"
            if slug not in self._slugs_taken:
                self._slugs_counted[base] = count
                return slug

    def add_edge(
        self,
        upstream_task: Task,
        downstream_task: Task,
        key: str | None = None,
        *,
        mapped: bool = False,
        flattened: bool = False,
        validate: bool | None = None,
    ) -> Edge:
        """Make one task wait for another; takes both in where they are not in the flow.

        Args:
            upstream_task: Runs first.
            downstream_task: Waits.
            key: The argument of the downstream task that receives the upstream task's result.
            mapped: Whether the downstream task runs once for each item of the result.
            flattened: Whether one level of nesting is taken off the result.
            validate: Whether to look for a cycle now; only False puts it off, to `validate()` or
                the run.

        Raises:
            NotATask: One of them is something else.
            ArgumentTaken: The argument is given already.
            UnknownArgument: The downstream task takes no such argument.
            ParameterHasUpstream: The downstream task is a parameter.
            FlowCycle: The upstream task waits for the downstream one already.
        """
        self.add_task(upstream_task)
        self.add_task(downstream_task)
        edge = Edge(upstream_task, downstream_task, key, mapped, flattened)
        self._check_edge(edge)
        try:
            self._order.link(upstream_task, downstream_task, check=validate is not False)
        except Cycle as exc:
            raise self._cycle(exc) from None
        self._described = None
        self._edges[edge] = None
        self._edges_to[downstream_task][edge] = None
        self._edges_from[upstream_task][edge] = None
        if key is not None:
            self._keys_to[downstream_task].add(key)
        return edge

    def _check_edge(self, edge: Edge) -> None:
        task, key = edge.downstream_task, edge.key
        if isinstance(task, Parameter):
            raise ParameterHasUpstream(self.name, task.name, edge.upstream_task.name)
        if key is not None:
            if key in self._keys_to[task] or key in self.constants.get(task, ()):
                raise ArgumentTaken(self.name, task.name, key)
            self._check_key(task, key)

    def _check_key(self, task: Task, key: str) -> None:
        signature = task.signature()
        if not signature.accepts(key):
            raise UnknownArgument(self.name, task.name, key, signature.names)

    def set_constant(self, task: Task, key: str, value: Any) -> None:
        """Give an argument of a task a plain value; given once more, the later value holds.

        Raises:
            ArgumentTaken: An edge gives the argument.
            UnknownArgument: The task takes no such argument.
        """
        self.add_task(task)
        if key in self._keys_to[task]:
            raise ArgumentTaken(self.name, task.name, key)
        self._check_key(task, key)
        self._described = None
        self.constants[task][key] = value

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks decide the flow's state; none of them: the terminal tasks do again.

        Raises:
            UnknownTask: One of them is not in the flow.
        """
        tasks = tuple(tasks)
        for task in tasks:
            self._known(task)
        self._described = None
        self._reference_tasks = tasks

    def replace(self, old: Task, new: Task, validate: bool | None = None) -> None:
        """Put another task in the place of `old`, with its edges and constants.

        Raises:
            UnknownTask: `old` is not in the flow.
            FlowError: `new` cannot have these edges, as for `add_edge`.
        """
        self._known(old)
        if old is new:
            return
        fresh = TaskGraph(self.name)
        fresh._slugs_counted = dict(self._slugs_counted)

        def put(task: Task) -> Task:
            return new if task is old else task

        kept_slugs = {task: slug for task, slug in self.slugs.items() if task is not old}
        fresh._slugs_taken = set(kept_slugs.values())
        for task in self.slugs:
            if put(task) in kept_slugs:
                fresh._take_in(put(task), kept_slugs[put(task)])
            else:
                fresh.add_task(put(task))
        for edge in self._edges:
            fresh.add_edge(
                put(edge.upstream_task),
                put(edge.downstream_task),
                edge.key,
                mapped=edge.mapped,
                flattened=edge.flattened,
                validate=validate,
            )
        for task, constants in self.constants.items():
            for key, value in constants.items():
                fresh.set_constant(put(task), key, value)
        fresh._reference_tasks = tuple(dict.fromkeys(map(put, self._reference_tasks)))
        self.__dict__.update(fresh.__dict__)

    def validate(self) -> None:
        """Check what was added with validate=False.

        Raises:
            FlowCycle: There is a cycle.
        """
        try:
            self._order.check()
        except Cycle as exc:
            raise self._cycle(exc) from None

    def copy(self) -> Self:
        """A graph of its own with the same tasks and edges."""
        new = copy.copy(self)
        new.slugs = dict(self.slugs)
        new.constants = defaultdict(dict)
        for task, values in self.constants.items():
            new.constants[task] = dict(values)
        new._order = self._order.copy()
        new._edges = dict(self._edges)
        new._edges_to = {task: dict(edges) for task, edges in self._edges_to.items()}
        new._edges_from = {task: dict(edges) for task, edges in self._edges_from.items()}
        new._keys_to = {task: set(keys) for task, keys in self._keys_to.items()}
        new._slugs_taken = set(self._slugs_taken)
        new._slugs_counted = dict(self._slugs_counted)
        new._described = None
        return new

    # ---- questions

    @property
    def tasks(self) -> Set[Task]:
        """The tasks, in the order in which they were added; a view that goes with the flow."""
        return self.slugs.keys()

    @property
    def edges(self) -> Set[Edge]:
        """The edges, in the order in which they were added; a view that goes with the flow."""
        return self._edges.keys()

    def __contains__(self, task: object) -> bool:
        return task in self.slugs

    def __iter__(self) -> Iterator[Task]:
        return iter(self.sorted_tasks())

    def edges_to(self, task: Task) -> set[Edge]:
        """The edges by which a task waits for others."""
        return set(self._edges_to[self._known(task)])

    def edges_from(self, task: Task) -> set[Edge]:
        """The edges by which others wait for a task."""
        return set(self._edges_from[self._known(task)])

    def upstream_tasks(self, task: Task) -> set[Task]:
        """What a task waits for directly."""
        return set(self._order.above[self._known(task)])

    def downstream_tasks(self, task: Task) -> set[Task]:
        """What waits for a task directly."""
        return set(self._order.below[self._known(task)])

    def all_upstream_edges(self) -> dict[Task, set[Edge]]:
        """Per task, the edges by which it waits for others."""
        return {task: set(edges) for task, edges in self._edges_to.items()}

    def all_downstream_edges(self) -> dict[Task, set[Edge]]:
        """Per task, the edges by which others wait for it."""
        return {task: set(edges) for task, edges in self._edges_from.items()}

    def root_tasks(self) -> set[Task]:
        """The tasks that wait for none."""
        return {task for task, above in self._order.above.items() if not above}

    def terminal_tasks(self) -> set[Task]:
        """The tasks for which none waits."""
        return {task for task, below in self._order.below.items() if not below}

    def sorted_tasks(self, root_tasks: Iterable[Task] | None = None) -> tuple[Task, ...]:
        """The tasks, each after all that it waits for, and otherwise in the order of adding.

        Args:
            root_tasks: Only these, and what waits for them, directly or not.

        Raises:
            FlowCycle: There is no such order.
        """
        try:
            tasks = self._order.sorted()
        except Cycle as exc:
            raise self._cycle(exc) from None
        if root_tasks is None:
            return tuple(tasks)
        wanted = self._order.all_below([self._known(task) for task in root_tasks])
        return tuple(task for task in tasks if task in wanted)

    def parameters(self) -> set[Parameter]:
        """The parameters of the flow."""
        return {task for task in self.slugs if isinstance(task, Parameter)}

    def reference_tasks(self) -> set[Task]:
        """The tasks that decide the flow's state: those that were set, else the terminal tasks.

        What sets up or cleans up a resource decides nothing unless it was set; a task below which,
        near or far, only such tasks stand counts as terminal.
        """
        if self._reference_tasks:
            return set(self._reference_tasks)
        kinds: set[type[Task]] = set(map(type, self.slugs))
        if all(kind.decides_outcome for kind in kinds):
            return self.terminal_tasks()
        deciding = [task for task in self.slugs if task.decides_outcome]
        # All that stands above a task which decides, by whatever way.
        above: set[Task] = set()
        stack = list(deciding)
        while stack:
            for upstream in self._order.above[stack.pop()]:
                if upstream not in above:
                    above.add(upstream)
                    stack.append(upstream)
        return {task for task in deciding if task not in above}

    def get_tasks(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        task_type: type[Task] | None = None,
    ) -> list[Task]:
        """The tasks of which all that is given holds; of `tags`, a task must have all."""
        wanted = {tags} if isinstance(tags, str) else set(tags or ())
        return [
            task
            for task, its_slug in self.slugs.items()
            if (name is None or task.name == name)
            and (slug is None or its_slug == slug)
            and (task_type is None or isinstance(task, task_type))
            and wanted <= task.tags
        ]

    def describe(self) -> FlowGraph:
        """The flow as the engine knows it: node i is task i of `sorted_tasks()`.

        The answer is the one before where nothing has changed since.
        """
        if self._described is None or not self._is_as(self._described):
            self._described = self._describe()
        return self._described

    def _is_as(self, graph: FlowGraph) -> bool:
        """Whether tasks and constants, which may be changed without asking the flow, are as it describes them."""
        if graph.name != self.name:
            return False
        for node in graph.nodes:
            task: Any = node.task
            label = node.label
            if task.name != label.name or task.tags != label.tags:
                return False
            if label.is_secret or task.is_secret:
                return False  # which others echo it may have changed
            if node.known_result is not UNKNOWN and node.known_result is not task.value:
                return False
            constants, known = self.constants.get(task, NO_CONSTANTS), node.constants
            if len(constants) != len(known):
                return False
            for key in constants:
                if constants[key] is not known.get(key, UNKNOWN):
                    return False
        return True

    def _describe(self) -> FlowGraph:
        tasks = self.sorted_tasks()
        reference_tasks = self.reference_tasks()
        secret: set[Task] = set()
        no_tags: frozenset[str] = frozenset()
        labels: dict[Task, TaskLabel] = {}
        nodes: list[Node] = []
        edges: list[engine_graph.Edge] = []
        for index, task in enumerate(tasks):
            is_secret = task.is_secret
            if secret and not is_secret and task.echoes_inputs:
                is_secret = self._takes_one_of(secret, task)
            if is_secret:
                secret.add(task)
            name, tags = task.name, task.tags
            label = labels[task] = TaskLabel(
                index, name, self.slugs[task], frozenset(tags) if tags else no_tags, is_secret
            )
            constants = self.constants.get(task)
            nodes.append(
                Node(
                    label,
                    task,
                    constants.copy() if constants else NO_CONSTANTS,
                    task in reference_tasks,
                    task.value if isinstance(task, Constant) else UNKNOWN,
                    name if isinstance(task, Parameter) else None,
                    task.runs_anew or is_secret,
                    task.shown_as,
                )
            )
            for edge in self._edges_to[task]:
                above = labels[edge.upstream_task]
                edges.append(engine_graph.Edge(above, label, edge.key, edge.mapped, edge.flattened))
        return FlowGraph(self.name, nodes, edges)

    def _takes_one_of(self, tasks: set[Task], task: Task) -> bool:
        return any(edge.key and edge.upstream_task in tasks for edge in self._edges_to[task])

    def _known(self, task: Task) -> Task:
        if task in self.slugs:
            return task
        if not isinstance(task, Task):
            raise NotATask(self.name, _shown(task))
        raise UnknownTask(self.name, task.name)

    def _cycle(self, cycle: Cycle) -> FlowCycle:
        return FlowCycle(self.name, [task.name for task in cycle.things if isinstance(task, Task)])


def _shown(thing: Any) -> str:
    if isinstance(thing, type) and issubclass(thing, Task):
        return f"the class {thing.__name__}"
    return f"{thing!r:.200}"
