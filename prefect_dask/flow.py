"""Flow: tasks that belong together, and how they are run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from prefect_dask.dask_collection import DaskCollection, FlowState
from prefect_dask.edge import Edge
from prefect_dask.engine.context import FrameGuard
from prefect_dask.engine.context import context as the_context
from prefect_dask.engine.state import State
from prefect_dask.errors import NotATask, WrongSetting, WrongSettingType
from prefect_dask.inputs import gather, holds_task
from prefect_dask.mapping import read_marks
from prefect_dask.origin import file_of_caller
from prefect_dask.task import Task
from prefect_dask.task_graph import TaskGraph
from prefect_dask.tasks.constants import Constant

if TYPE_CHECKING:
    from typing_extensions import Self

    from prefect_dask.cache_answers import CacheAnswer
    from prefect_dask.pictures.picture import Picture
    from prefect_dask.progress import Watch
    from prefect_dask.steering import RunHandle

AnyTask = TypeVar("AnyTask", bound=Task)
FlowStateHandler = Callable[["Flow", State, State], State | None]


class Flow(TaskGraph, DaskCollection):
    """Tasks that belong together, what waits for what, and how they are run.

    Args:
        name: The flow's name.
        schedule: When `run()` runs it; at once when not given.
        executor: Where its tasks run; as the configuration says when not given.
        result: Where and how the results of its tasks are written, unless a task says otherwise.
        durable: Whether results are kept so that a run can be taken up again, where the task says nothing of it:
            "auto" where that can be done, True fails a task run where it cannot, False keeps none.
        state_handlers: Called with (flow, old state, new state) at each change; may return another
            state.
        on_failure: Called with (flow, state) when the flow fails.
        terminal_state_handler: Called with (flow, state, reference states) at the end; what it
            returns holds.
        tasks: Tasks to begin with.
        edges: Edges to begin with.
        reference_tasks: The tasks that decide the flow's state; the terminal tasks when not given.
        validate: Whether to look for cycles among `edges` now; False puts it off to the run.
        run_config: How an agent starts the flow.
        storage: Where an agent finds the flow.

    Raises:
        FlowError: The tasks and edges make no flow; it is a ValueError.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> with Flow("doubles") as flow:
        ...     six = double(3)
        ...     twelve = double(six)
        >>> flow, len(flow.tasks), flow.slugs[twelve]
        (<Flow: name="doubles">, 2, 'double-2')
    """

    def __init__(
        self,
        name: str,
        schedule: Any = None,
        *,
        executor: Any = None,
        result: Any = None,
        durable: bool | Literal["auto"] = "auto",
        state_handlers: Sequence[FlowStateHandler] | None = None,
        on_failure: Callable[[Flow, State], Any] | None = None,
        terminal_state_handler: Callable[[Flow, State, set[State]], State | None] | None = None,
        tasks: Iterable[Task] | None = None,
        edges: Iterable[Edge] | None = None,
        reference_tasks: Iterable[Task] | None = None,
        validate: bool | None = None,
        run_config: Any = None,
        storage: Any = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise WrongSetting("a flow", f"it needs a name, got {name!r}")
        super().__init__(name)
        if schedule is not None and not callable(getattr(schedule, "next", None)):
            raise WrongSettingType(
                repr(self),
                f"schedule must be one of prefect_dask.schedules, such as CronSchedule('0 6 * * *') or "
                f"IntervalSchedule(interval=timedelta(hours=1)), got {schedule!r}",
            )
        self.schedule = schedule
        self.executor = executor
        self.result = result
        if durable not in (True, False, "auto"):
            raise WrongSetting(repr(self), f'durable can be True, False or "auto", got {durable!r}')
        self.durable = durable
        #: The file in which it was made, or from which it was loaded; None in a notebook.
        self.made_in = file_of_caller()
        if isinstance(state_handlers, str) or callable(state_handlers):
            raise WrongSettingType(
                repr(self), f"state_handlers must be a list of functions, got {state_handlers!r}"
            )
        self.state_handlers: list[FlowStateHandler] = list(state_handlers or ())
        self.on_failure = on_failure
        self.terminal_state_handler = terminal_state_handler
        self.run_config = run_config
        self.storage = storage
        #: Tasks made inside the block being written, and not in use yet, with their flows.
        self._loose: dict[Task, Flow] = {}
        self._blocks: list[FrameGuard] = []
        self._collection: tuple[tuple[Any, ...], FlowState] | None = None
        for task in tasks or ():
            self.add_task(task)
        for edge in edges or ():
            self.add_edge(
                edge.upstream_task,
                edge.downstream_task,
                edge.key,
                mapped=edge.mapped,
                flattened=edge.flattened,
                validate=validate,
            )
        if reference_tasks is not None:
            self.set_reference_tasks(reference_tasks)

    # ---- the block in which it is written

    def __enter__(self) -> Self:
        outer = the_context.get("flow")
        if not self._blocks:
            # Shared with the enclosing block: what is made in one may be used in the other.
            self._loose = {} if outer is None else outer._loose
        guard = the_context(flow=self)
        guard.__enter__()
        self._blocks.append(guard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._blocks.pop().__exit__(kind, error, trace)
        if self._blocks:
            return
        made_here = [task for task, flow in self._loose.items() if flow is self]
        for task in made_here:
            del self._loose[task]
        self._loose = {}
        if error is not None:
            return
        for task in made_here:
            if task not in self:
                warnings.warn(
                    f"flow {self.name!r}: {task!r} was made inside the `with` block and is not "
                    "used in the flow; call it, make it an input of a task, or add it with "
                    "flow.add_task()",
                    stacklevel=2,
                )

    def task_was_made(self, task: Task) -> None:
        """Called by a task that is made inside the flow's block."""
        self._loose[task] = self

    def task_was_used(self, task: Task) -> None:
        """Called by a task that is copied inside the flow's block."""
        self._loose.pop(task, None)

    # ---- building

    def add_task(self, task: Task) -> Task:
        """Take a task in, unless it is there already; a `case` or resource around it takes note.

        Raises:
            FlowError: It is no task, or another one has its slug.
        """
        if task in self:
            return task
        super().add_task(task)
        block = the_context.get("block")
        if block is not None:
            block.take(self, task)
        return task

    def set_dependencies(
        self,
        task: Any,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        *,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None:
        """Say what a task waits for, what waits for it, and where its arguments come from.

        Args:
            task: The task; taken in if it is not in the flow.
            upstream_tasks: What it waits for, without receiving a result.
            downstream_tasks: What waits for it.
            keyword_tasks: Its arguments. A value without tasks inside becomes a constant; a list,
                tuple, set or dict with tasks inside becomes a task that builds it.
            mapped: Whether it is mapped over all that is not marked `unmapped`.
            validate: As for `add_edge`.

        Raises:
            FlowError: As for `add_edge`.
        """
        if not isinstance(task, Task):
            task = self.task_for(task)
        upstream = [self._upstream_input(task, given, mapped) for given in _several(upstream_tasks)]
        keywords: list[tuple[Task, str, bool, bool]] = []
        constants: list[tuple[str, Any]] = []
        for key, given in (keyword_tasks or {}).items():
            value, is_mapped, is_flattened = read_marks(given, mapped=mapped)
            if is_mapped or is_flattened or holds_task(value):
                keywords.append((self.task_for(value, task), key, is_mapped, is_flattened))
            else:
                constants.append((key, value))
        # Last, so that the order of adding is an order of running.
        self.add_task(task)
        for key, value in constants:
            self.set_constant(task, key, value)
        for above, key, is_mapped, is_flattened in keywords:
            self.add_edge(
                above, task, key, mapped=is_mapped, flattened=is_flattened, validate=validate
            )
        for above, is_mapped, is_flattened in upstream:
            self.add_edge(above, task, mapped=is_mapped, flattened=is_flattened, validate=validate)
        for given in _several(downstream_tasks):
            below, is_mapped, is_flattened = read_marks(given, mapped=mapped)
            self.add_edge(task, below, mapped=is_mapped, flattened=is_flattened, validate=validate)

    def _upstream_input(self, task: Task, given: Any, mapped: bool) -> tuple[Task, bool, bool]:
        value, is_mapped, is_flattened = read_marks(given, mapped=mapped)
        if not holds_task(value):
            raise NotATask(self.name, f"{value!r:.200}, which {task.name!r} is to wait for,")
        return self.task_for(value, task), is_mapped, is_flattened

    def task_for(self, value: Any, consumer: Task | None = None) -> Task:
        """The task that stands for an input: itself, one that builds a collection, or a Constant.

        Args:
            value: A task, a collection with tasks inside, or a plain value.
            consumer: The task whose input it is.
        """
        if isinstance(value, Task):
            return self.add_task(value)
        if not holds_task(value):
            return self.add_task(Constant(value))
        collection, items = gather(value, consumer)
        self.set_dependencies(collection, keyword_tasks=items)
        return collection

    def chain(self, *tasks: Task, validate: bool | None = None) -> list[Edge]:
        """Make each task wait for the one before it.

        Returns:
            The edges.
        """
        return [
            self.add_edge(upstream_task=above, downstream_task=below, validate=validate)
            for above, below in pairwise(tasks)
        ]

    def update(
        self, other: Flow, merge_parameters: bool = False, validate: bool | None = None
    ) -> None:
        """Take in the tasks, edges and constants of another flow; its reference tasks are not.

        Args:
            other: The other flow, which stays as it is.
            merge_parameters: Whether a parameter of the other flow stands for this flow's of the
                same name.
            validate: As for `add_edge`.

        Raises:
            DuplicateSlug: Both flows have a task, or a parameter, of the same slug.
        """
        same: dict[Task, Task] = {}
        if merge_parameters:
            mine = {parameter.name: parameter for parameter in self.parameters()}
            same = {
                theirs: mine[theirs.name] for theirs in other.parameters() if theirs.name in mine
            }
        for task in other.tasks:
            self.add_task(same.get(task, task))
        for edge in other.edges:
            above = same.get(edge.upstream_task, edge.upstream_task)
            new = Edge(above, edge.downstream_task, edge.key, edge.mapped, edge.flattened)
            if new not in self.edges:
                self.add_edge(
                    above,
                    edge.downstream_task,
                    edge.key,
                    mapped=edge.mapped,
                    flattened=edge.flattened,
                    validate=validate,
                )
        for task, constants in other.constants.items():
            for key, value in constants.items():
                self.set_constant(task, key, value)

    def replace(self, old: Task, new: Any, validate: bool | None = None) -> None:
        """Put another task, or a value, in the place of `old`, with its edges and constants.

        Raises:
            UnknownTask: `old` is not in the flow.
            FlowError: `new` cannot have these edges, as for `add_edge`.
        """
        if not isinstance(new, Task):
            new = self.task_for(new) if holds_task(new) else Constant(new)
        super().replace(old, new, validate)

    def copy(self) -> Self:
        """A flow of its own with the same tasks, edges and settings."""
        new = super().copy()
        new.state_handlers = list(self.state_handlers)
        new._loose, new._blocks, new._collection = {}, [], None
        return new

    def __getstate__(self) -> dict[str, Any]:
        # A block being written belongs to this thread; what is copied or saved is not being
        # written.
        saved = {**self.__dict__, "_loose": {}, "_blocks": []}
        return {**saved, "_collection": None, "_described": None}

    # ---- running

    @overload
    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        detach: Literal[True],
        **settings: Any,
    ) -> RunHandle: ...

    @overload
    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        executor: Any = None,
        task_states: Mapping[AnyTask, State] | None = None,
        context: Mapping[str, Any] | None = None,
        state: State | None = None,
        run_on_schedule: bool | None = None,
        runner_cls: Any = None,
        return_tasks: Iterable[Task] | None = None,
        on_state: Any = None,
        ledger: Any = None,
        durable: bool | Literal["auto"] | None = None,
        progress: bool | Watch | None = None,
        detach: Literal[False] = False,
        **more_parameters: Any,
    ) -> State: ...

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        executor: Any = None,
        task_states: Mapping[AnyTask, State] | None = None,
        context: Mapping[str, Any] | None = None,
        state: State | None = None,
        run_on_schedule: bool | None = None,
        runner_cls: Any = None,
        return_tasks: Iterable[Task] | None = None,
        on_state: Any = None,
        ledger: Any = None,
        durable: bool | Literal["auto"] | None = None,
        progress: bool | Watch | None = None,
        detach: bool = False,
        **more_parameters: Any,
    ) -> State | RunHandle:
        """Run the flow until its state is final; with a schedule, at each of its events.

        Args:
            parameters: Values of parameters by name; they may be given as keywords too.
            executor: Where the tasks run; the flow's own, else the configured one, when not given.
            task_states: States of tasks to begin with; finished ones are taken as they are.
            context: Facts for the tasks, as `prefect_dask.context`; they win over the run's own.
            state: The flow's state to begin with.
            run_on_schedule: Whether to run at the events of the flow's schedule; where it has one,
                it does.
            runner_cls: What runs the flow, in place of `engine.flow_runner.FlowRunner`.
            return_tasks: The tasks whose results are kept; all when not given.
            on_state: Is given each change of state of each task while the flow runs, in batches.
            ledger: Where the run is recorded: a `Ledger`, the path of an SQLite file, a URL, ":memory:" or "none";
                the configured one when not given.
            durable: As for the flow, whose own counts when not given; of no effect where the run is not recorded.
            progress: Whether it is shown how far the run is: in a notebook below the cell, on a terminal as bars,
                elsewhere in lines on standard error; or a `prefect_dask.progress.Watch`, which a program may ask.
                When not given it is shown in a notebook.
            detach: Whether the run goes on in a process of its own, also after this one ends: `run` returns as soon
                as it has begun.
            more_parameters: Values of parameters.

        Returns:
            The flow's state; its result is a dict with the state of each task. With `detach` a handle of the run.

        Raises:
            UnknownParameters, MissingParameters: No task has run then; both are ValueErrors.
            CannotDetach, NotBegun: With `detach`; no task has run then.
            LedgerRefused: The ledger cannot be used; no task has run then.
            RuntimeError: A flow is being written.
            RunInterrupted: Ctrl-C; its `state` has the states reached until then.
        """
        from prefect_dask.running import asked_run, run_at_events

        run = asked_run(
            self,
            {**(parameters or {}), **more_parameters},
            executor=executor,
            context=context,
            task_states=task_states,
            return_tasks=return_tasks,
            on_state=on_state,
            ledger=ledger,
            durable=durable,
            runner_cls=runner_cls,
            progress=progress,
        )
        if detach:
            from prefect_dask.detaching import detach_run

            is_scheduled = self.schedule is not None and run_on_schedule is not False
            return detach_run(run, state, is_scheduled=is_scheduled)
        if self.schedule is None or run_on_schedule is False:
            return run.once(state)
        return run_at_events(run, self.schedule, state)

    async def arun(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        state: State | None = None,
        run_on_schedule: bool | None = None,
        **settings: Any,
    ) -> State:
        """Run the flow as `run` does, while the event loop of the caller goes on.

        Where the awaiting asyncio task is cancelled, so is the run: what is at work has a second to end by itself,
        clean-ups run, and the ledger has the states. A second cancellation leaves out the second.

        Args:
            parameters: As for `run`.
            state: As for `run`.
            run_on_schedule: As for `run`.
            settings: As for `run`, but for `detach`; and values of parameters.

        Returns:
            As for `run`.

        Raises:
            asyncio.CancelledError: The awaiting task was cancelled; nothing of the run is left.
            PrefectDaskError: As for `run`.

        Example:
            >>> import asyncio
            >>> from prefect_dask import task
            >>> @task
            ... def double(x):
            ...     return 2 * x
            >>> with Flow("doubles") as flow:
            ...     six = double(3)
            >>> asyncio.run(flow.arun(ledger="none")).result[six].result
            6
        """
        from prefect_dask.awaiting import await_run
        from prefect_dask.running import asked_run

        run = asked_run(self, parameters, **settings)
        schedule = None if run_on_schedule is False else self.schedule
        return await await_run(run, schedule, state)

    def as_task(
        self, returns: Task | None = None, name: str | None = None, **settings: Any
    ) -> Task:
        """The flow as a task of another flow; the inputs of that task are this flow's parameters.

        Args:
            returns: The task of this flow whose result is the result of that task; its whole state, by slug,
                when not given.
            name: The task's name; the flow's name when not given.
            settings: As for `Task`.

        Raises:
            UnknownTask: `returns` is not in this flow.
        """
        from prefect_dask.flow_task import FlowTask

        slug = None if returns is None else self.slugs[self._known(returns)]
        return FlowTask(self, slug, name, **settings)

    def explain_cache(
        self, parameters: Mapping[str, Any] | None = None, **more_parameters: Any
    ) -> dict[Task, CacheAnswer]:
        """Which tasks would take an earlier result if the flow were run now, and why the others would not.

        No task runs and nothing is changed; earlier results are read, as a run would.

        Args:
            parameters: Values of parameters by name; they may be given as keywords too.
            more_parameters: Values of parameters.

        Returns:
            For each task with `cache_for` or a target, in running order, whether it is a hit and what differs.

        Raises:
            UnknownParameters, MissingParameters: As for `run`; both are ValueErrors.
        """
        from prefect_dask.cache_answers import answers_of_cache
        from prefect_dask.running import run_info

        info = run_info(self, {**(parameters or {}), **more_parameters})
        return answers_of_cache(self.describe(), info)

    def as_collection(self) -> FlowState:
        """The flow, as it is now, as a Dask collection with the defaults of its parameters.

        Raises:
            MissingParameters: A required parameter has no default; it is a ValueError.
        """
        from prefect_dask.running import run_info

        # Dask asks several times for one computation, and must get the same keys.
        constants = [id(value) for each in self.constants.values() for value in each.values()]
        shape = (*self.tasks, *constants, len(self.edges))
        if self._collection is None or self._collection[0] != shape:
            graph = self.describe()
            self._collection = (shape, FlowState.of(graph, run_info(self)))
        return self._collection[1]

    # ---- as text, data and files

    def __repr__(self) -> str:
        return f'<Flow: name="{self.name}">'

    def _repr_html_(self) -> str:
        from prefect_dask.notebook.tasks import flow_html

        return flow_html(self)

    def serialize(self) -> dict[str, Any]:
        """The flow as plain JSON data: tasks, edges by slug, constants, parameters, references."""
        from prefect_dask.documents import flow_document

        return flow_document(self)

    def visualize(
        self,
        state: State | RunHandle | None = None,
        filename: str | PathLike[str] | None = None,
        format: str | None = None,
        *,
        rankdir: str = "TB",
        group: Literal["auto"] | bool = "auto",
        legend: bool = False,
        flow_state: State | None = None,
    ) -> Picture:
        """A picture of the flow, drawn by GraphViz; a notebook shows it.

        A map is one box with its children's states as a bar, and so are tasks that share a box.

        Args:
            state: Colours the tasks: what `run` returned, or the handle of a run.
            filename: Where it is written, too; without a suffix it gets the format's.
            format: "svg", "png", "pdf", or "dot", which needs no GraphViz; as the suffix of `filename` says when
                not given, and "svg" without one.
            rankdir: Which way the arrows lead: "TB" down, "LR" to the right, "BT", "RL".
            group: Whether tasks that do the same at the same place share a box: "auto" where the flow has more
                tasks than can be read, True wherever they can, False never.
            legend: Whether a legend tells what the shapes, lines and colours in it mean.
            flow_state: What `state` is called in flow files of Prefect 1.

        Raises:
            NoGraphViz: Neither the program `dot` nor the package pygraphviz, which brings its own, is there.
            GraphVizFailed: It cannot draw this.
            UnknownPictureFormat, UnknownDirection, UnknownGrouping: They are ValueErrors.
            NoFolderForPicture: The folder of `filename` is not there; it is a FileNotFoundError.
            NotAFlowState, StateOfAnotherFlow: `state` is not of a run of this flow; a TypeError, a ValueError.
        """
        from prefect_dask.pictures.counts import counts_of_flow_state
        from prefect_dask.pictures.outline import Outline
        from prefect_dask.pictures.picture import draw
        from prefect_dask.steering import RunHandle

        graph = self.describe()
        state = flow_state if state is None else state
        if isinstance(state, RunHandle):
            state = state.state
        return draw(
            Outline.of_graph(graph),
            None if state is None else counts_of_flow_state(graph, state),
            filename=filename,
            format=format,
            rankdir=rankdir,
            group=group,
            legend=legend,
        )

    def save(self, path: str | PathLike[str]) -> str:
        """Write the flow to a file, which `Flow.load` reads.

        Returns:
            The path.
        """
        from prefect_dask.flow_file import write_flow

        return write_flow(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> Flow:
        """The flow that `save` wrote.

        Reading a flow runs code from the file: load only files that you trust.

        Raises:
            NotAFlowFile: It is another kind of file, or a damaged one.
        """
        from prefect_dask.flow_file import read_flow

        flow: Flow = read_flow(path)
        flow.made_in = os.path.abspath(path)
        return flow

    def diagnostics(self) -> str:
        """What helps to look into a problem, as JSON text: versions and names, no values."""
        from prefect_dask.diagnostics import diagnose

        return diagnose(self)


def _several(given: Any) -> Iterable[Any]:
    """What was given as several tasks, or as one."""
    if given is None:
        return ()
    return (given,) if isinstance(given, Task) else given
