"""What `Flow.run` does: check what it was given, pick an executor, run once or on a schedule."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from prefect_dask.engine import clock
from prefect_dask.engine.collector import MadeToLast
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.context import context as the_context
from prefect_dask.engine.flow_runner import FlowRunner
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import ensure_handler, get_logger
from prefect_dask.engine.result import ResultRules
from prefect_dask.engine.results import result_at
from prefect_dask.engine.state import State
from prefect_dask.engine.steering import Steering
from prefect_dask.engine.stream import Observer, Observers
from prefect_dask.engine.tolerance import Tolerance
from prefect_dask.errors import (
    MissingParameters,
    NoMoreEvents,
    NotAnExecutor,
    RunWhileWriting,
    UnknownParameters,
    UnknownTask,
    WrongSetting,
    WrongSettingType,
)
from prefect_dask.raising import raise_first_failure
from prefect_dask.settings import NoHomeFolder, config, home_folder
from prefect_dask.task import Task
from prefect_dask.task_graph import TaskGraph

if TYPE_CHECKING:
    from prefect_dask.engine.executors.base import Executor
    from prefect_dask.ledger.recording import Recording
    from prefect_dask.progress import Watch


class ScheduleEvent(Protocol):
    """One event of a schedule."""

    @property
    def start_time(self) -> datetime: ...

    @property
    def parameter_defaults(self) -> Mapping[str, Any] | None: ...


class Schedule(Protocol):
    """What a flow asks of its schedule."""

    def next(
        self, n: int, *, after: datetime | None = None, return_events: bool = False
    ) -> list[Any]: ...


class GoesOn(NamedTuple):
    """A run that was begun before: what it is called, and where its tasks are."""

    flow_run_id: str
    flow_run_name: str
    scheduled_start_time: datetime
    task_states: Mapping[int, State]


@dataclass(frozen=True)
class FlowRun:
    """What `Flow.run` was asked to do."""

    flow: Any
    executor: Any
    parameters: Mapping[str, Any]
    context: Mapping[str, Any] = field(repr=False)  # secrets are in it
    task_states: Mapping[Any, State]
    return_tasks: tuple[Task, ...] | None
    on_state: Callable[[Any], Any] | None
    ledger: Any
    durable: bool | Literal["auto"]
    runner_cls: Any
    #: Whether the run is drawn while it goes on, or who follows it; see `progress.watching`.
    progress: Any = None
    #: The run's id, where it was given one beforehand.
    flow_run_id: str | None = None
    #: Called when the run begins, and the observer knows of it.
    on_begun: Callable[[], None] | None = None
    #: Through which the run, one run only, is told something while it goes on; one of its own when not given.
    steering: Steering | None = None

    def once(self, state: State | None = None, event: ScheduleEvent | None = None) -> State:
        """Run the flow one time.

        Args:
            state: The flow's state to begin with.
            event: The event of the schedule that asked for the run; its parameters win.
        """
        # Here, because every worker imports this module and none records a run.
        from prefect_dask.ledger import record_run

        flow = self.flow
        refuse_while_writing(flow)
        facts = facts_for_tasks(self.context)
        parameters = self._parameter_values(facts.pop("parameters", None) or {}, event)
        with MadeToLast():
            graph = flow.describe()
        index_of = (
            {node.task: node.label.index for node in graph.nodes}
            if self.task_states or self.return_tasks
            else {}
        )
        ensure_handler(config.logging.level, config.logging.format, config.logging.datefmt)
        steering = self.steering or Steering()
        with (
            record_run(self.ledger, origin=flow.made_in, steering=steering) as recording,
            _watching(self.progress) as watch,
        ):
            task_states = {
                _index(flow, index_of, task): its_state
                for task, its_state in self.task_states.items()
            }
            runner = self._runner(
                graph, parameters, facts, recording, watch, task_states, steering
            )(
                keep=self._keep(index_of),
                flow_run_id=self.flow_run_id,
                scheduled_start_time=event.start_time if event else None,
            )
            final: State = runner.run(state)
        raise_first_failure(final)
        return final

    def go_on(
        self, graph: FlowGraph, run: GoesOn, observer: Recording, steering: Steering
    ) -> State:
        """Go on with a run that was begun before.

        Args:
            graph: The flow.
            run: The run.
            observer: Records it.
            steering: Through which it is told something while it runs.
        """

        facts = facts_for_tasks(self.context)
        parameters = self._parameter_values(facts.pop("parameters", None) or {}, None)
        ensure_handler(config.logging.level, config.logging.format, config.logging.datefmt)
        index_of = {node.task: node.label.index for node in graph.nodes}
        with _watching(self.progress) as watch:
            runner = self._runner(
                graph, parameters, facts, observer, watch, run.task_states, steering
            )(
                keep=self._keep(index_of),
                flow_run_id=run.flow_run_id,
                flow_run_name=run.flow_run_name,
                scheduled_start_time=run.scheduled_start_time,
            )
            final: State = runner.run()
        raise_first_failure(final)
        return final

    def _runner(
        self,
        graph: FlowGraph,
        parameters: Mapping[str, Any],
        facts: Mapping[str, Any],
        recording: Recording | None,
        watch: Watch | None,
        task_states: Mapping[int, State],
        steering: Steering,
    ) -> Callable[..., Any]:
        """Makes what runs the flow."""
        flow = self.flow
        handlers = state_handlers_of(flow)
        if self.on_begun is not None:
            handlers.insert(0, partial(_call_when_begun, self.on_begun))
        executor: Any = self.chosen_executor()
        observers: list[Observer] = [] if recording is None else [recording]
        ask: Callable[[str, State], bool] = ask_on_terminal
        if watch is not None:
            watch.start_from(task_states)
            observers.append(watch)
            ask = watch.asking(ask_on_terminal)
        if getattr(executor, "is_on_cluster", False):
            from prefect_dask.dashboard.reporting import Reporting

            observers.append(Reporting(executor, task_states))
        rules = result_rules(flow, durable=None if recording is None else self.durable)
        recovery = None
        if recording is not None:
            from prefect_dask.recovering import RecordedRecovery

            recovery = RecordedRecovery(recording, graph, rules, parameters)
        return partial(
            self.runner_cls or FlowRunner,
            graph,
            executor=executor,
            parameters=parameters,
            context=facts,
            task_states=task_states,
            listeners=[] if self.on_state is None else [self.on_state],
            state_handlers=handlers,
            terminal_state_handler=flow.terminal_state_handler
            and partial(flow.terminal_state_handler, flow),
            log_level=getattr(logging, config.logging.level),
            ask_to_resume=ask,
            results=rules,
            observer=Observers(observers) if len(observers) > 1 else next(iter(observers), None),
            slots=None if recording is None else recording.slots,
            stall_seconds=config.flows.stall_seconds,
            steering=steering,
            recovery=recovery,
            tolerance=tolerance(),
        )

    def chosen_executor(self) -> Executor:
        """Where the tasks run: as the caller, the flow or the configuration says.

        Raises:
            NotAnExecutor: What they say is none.
            WrongSetting: The configuration names a class that is not there.
        """
        from prefect_dask.engine.executors.base import Executor

        executor = self.executor or self.flow.executor or default_executor()
        if not isinstance(executor, Executor):
            raise NotAnExecutor(self.flow.name, executor)
        return executor

    def check(self, event: ScheduleEvent) -> None:
        """Raise now what would be wrong with the parameters when an event has come.

        Raises:
            UnknownParameters: The flow has no such parameters.
            MissingParameters: A required parameter has no value.
        """
        self._parameter_values(facts_for_tasks(self.context).get("parameters") or {}, event)

    def _parameter_values(
        self, from_context: Mapping[str, Any], event: ScheduleEvent | None
    ) -> dict[str, Any]:
        given = {**self.parameters, **((event and event.parameter_defaults) or {})}
        return parameter_values(self.flow, given, from_context)

    def _keep(self, index_of: Mapping[Any, int]) -> frozenset[int] | None:
        if self.return_tasks is None:
            return None
        return frozenset(_index(self.flow, index_of, task) for task in self.return_tasks)


def asked_run(
    flow: Any,
    parameters: Mapping[str, Any] | None = None,
    *,
    executor: Any = None,
    task_states: Mapping[Any, State] | None = None,
    context: Mapping[str, Any] | None = None,
    runner_cls: Any = None,
    return_tasks: Iterable[Task] | None = None,
    on_state: Any = None,
    ledger: Any = None,
    durable: bool | Literal["auto"] | None = None,
    progress: bool | Watch | None = None,
    **more_parameters: Any,
) -> FlowRun:
    """What a flow run is to be, from what `Flow.run` was given.

    Raises:
        WrongSettingType: It was given something of a kind that cannot be used.
    """
    if on_state is not None and not callable(on_state):
        raise WrongSettingType(repr(flow), f"on_state must be a function, got {on_state!r}")
    if isinstance(return_tasks, Task):
        raise WrongSettingType(
            repr(flow), f"return_tasks must be a list of tasks, got {return_tasks}"
        )
    for task, state in (task_states or {}).items():
        if not isinstance(state, State):
            raise WrongSettingType(
                repr(flow), f"task_states must be states, got {state!r} for {task}"
            )
    return FlowRun(
        flow,
        executor=executor,
        parameters={**(parameters or {}), **more_parameters},
        context=context or {},
        task_states=task_states or {},
        return_tasks=None if return_tasks is None else tuple(return_tasks),
        on_state=on_state,
        ledger=ledger,
        durable=flow.durable if durable is None else durable,
        runner_cls=runner_cls,
        progress=progress,
    )


def refuse_while_writing(flow: Any) -> None:
    """Raise where a flow is being written in this thread.

    Raises:
        RunWhileWriting: It is; it is a RuntimeError.
    """
    writing = the_context.get("flow")
    if writing is not None:
        raise RunWhileWriting(flow.name, writing.name)


def _watching(progress: Any) -> AbstractContextManager[Watch | None]:
    if progress is False or (progress is None and "ipykernel" not in sys.modules):
        return nullcontext()  # as `watching` says; here, because it would be imported for nothing
    from prefect_dask.progress import watching

    return watching(progress)


def run_at_events(run: FlowRun, schedule: Schedule, state: State | None = None) -> State:
    """Run a flow at each event of its schedule, until none is left.

    An event that passes while the flow is running is left out; several at one moment run one after the other.

    Returns:
        The flow's state after the last event.

    Raises:
        NoMoreEvents: The schedule has none from the start.
        UnknownParameters, MissingParameters: For an event's parameters; raised before its time has come.
    """
    final: State | None = None
    for event in events_to_run_at(run, schedule):
        clock.wait_until(clock.to_seconds(event.start_time))
        final = run.once(state, event)
    assert final is not None
    return final


def events_to_run_at(run: FlowRun, schedule: Schedule) -> Iterator[ScheduleEvent]:
    """The events of a schedule, each when the one before was run at; one that has passed by then is left out.

    Raises:
        NoMoreEvents, UnknownParameters, MissingParameters: As for `run_at_events`.
    """
    after: datetime | None = None
    while events := events_of_next_moment(schedule, after):
        for event in events:
            run.check(event)
        if events[0].start_time > clock.utc_now():
            ensure_handler(config.logging.level, config.logging.format, config.logging.datefmt)
            when = events[0].start_time.astimezone().isoformat(" ", "seconds")
            get_logger("schedule").info("Flow %r: its next run begins at %s", run.flow.name, when)
        yield from events
        after = max(events[0].start_time, clock.utc_now())
    if after is None:
        raise NoMoreEvents(run.flow.name)


def events_of_next_moment(schedule: Schedule, after: datetime | None) -> list[ScheduleEvent]:
    """The next event of a schedule, and all others at the same moment; empty when none is left."""
    count = 1
    while True:
        count *= 2
        events: list[ScheduleEvent] = schedule.next(count, after=after, return_events=True)
        first = [event for event in events if event.start_time == events[0].start_time]
        if len(first) < count:
            return first


def facts_for_tasks(given: Mapping[str, Any]) -> dict[str, Any]:
    """What tasks find in their context beside the run's own facts: configured, ambient, given."""
    return {
        "config": config.current(),
        **config.context.to_dict(include_secrets=True),
        **the_context.snapshot(),
        **given,
    }


def run_info(flow: TaskGraph, parameters: Mapping[str, Any] | None = None) -> RunInfo:
    """The facts of a run that nobody coordinates: one that Dask does, or one that is only thought of.

    Args:
        flow: The flow.
        parameters: Values of its parameters; the others have their defaults.

    Raises:
        UnknownParameters: The flow has no such parameters.
        MissingParameters: A required parameter has no default.
    """
    facts = facts_for_tasks({})
    run_id = uuid.uuid4().hex
    return RunInfo(
        flow_name=flow.name,
        flow_run_id=run_id,
        flow_run_name=f"{flow.name}-{run_id[:8]}",
        parameters=parameter_values(flow, parameters or {}, facts.pop("parameters", None) or {}),
        scheduled_start_time=clock.utc_now(),
        caller=facts,
        log_level=getattr(logging, config.logging.level),
        results=result_rules(flow),
    )


def result_rules(flow: Any, *, durable: bool | Literal["auto"] | None = None) -> ResultRules:
    """Where and when the results of a flow's tasks are written.

    Args:
        flow: The flow.
        durable: Whether they are kept so that the run can be taken up again; None where it is not recorded.
    """
    home = ""
    # A user without a home, or one that cannot be written to, goes without what is kept there.
    with suppress(NoHomeFolder, OSError):
        folder = home_folder()
        if durable is not None or any(task.cache_for is not None for task in flow.tasks):
            # Workers take it for theirs where they find it.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        home = str(folder)
    return ResultRules(
        flow_result=None if flow.result is None else result_at(flow.result),
        checkpointing=config.flows.checkpointing,
        home=home,
        durable=durable,
    )


def tolerance() -> Tolerance:
    """How much may die in a run, as it is configured."""
    told = config.engine.fault_tolerance
    return Tolerance(told.worker_deaths, told.lost_clusters, told.reconnect_seconds)


def ask_on_terminal(name: str, state: State) -> bool:
    """Whether the person at the terminal lets a paused task go on; False where there is none."""
    if sys.stdin is None or sys.stdout is None or not sys.stdin.isatty():
        return False
    try:
        answer = input(
            f"Task {name!r} is paused: {state.message or 'no reason given'}. Go on? [y/N] "
        )
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def parameter_values(
    flow: TaskGraph, given: Mapping[str, Any], from_context: Mapping[str, Any]
) -> dict[str, Any]:
    """The value of each parameter of a flow: the one given, else the context's, else the default.

    Raises:
        UnknownParameters: The flow has no such parameters.
        MissingParameters: A required parameter has no value.
    """
    there = {parameter.name: parameter for parameter in flow.parameters()}
    known = sorted(there)
    unknown = [name for name in given if name not in there]
    if unknown:
        raise UnknownParameters(flow.name, unknown, known)
    values = {name: value for name, value in from_context.items() if name in there}
    values.update(given)
    missing = [name for name in known if there[name].required and name not in values]
    if missing:
        raise MissingParameters(flow.name, missing, known)
    return {name: values.get(name, there[name].default) for name in known}


def state_handlers_of(flow: Any) -> list[Callable[[State, State], State | None]]:
    """The state handlers of a flow, bound to it; `on_failure` is the last one."""
    handlers: list[Callable[[State, State], State | None]] = [
        partial(handler, flow) for handler in flow.state_handlers
    ]
    if flow.on_failure is not None:
        handlers.append(partial(_call_on_failure, flow))
    return handlers


def _call_when_begun(on_begun: Callable[[], None], old: State, new: State) -> None:
    # The first move of a run; what is before that no task has seen.
    if not old.is_running():
        on_begun()


def _call_on_failure(flow: Any, old: State, new: State) -> None:
    if new.is_failed():
        flow.on_failure(flow, new)


def default_executor() -> Any:
    """An executor of the class that the configuration names.

    Raises:
        WrongSetting: There is no such class.
    """
    full_name = config.engine.executor.default_class
    module, _, name = full_name.rpartition(".")
    try:
        executor_class = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise WrongSetting(
            "engine.executor.default_class",
            f"{full_name!r} cannot be imported ({exc}); name a class such as "
            "'prefect_dask.executors.LocalExecutor'",
        ) from exc
    return executor_class()


def _index(flow: TaskGraph, index_of: Mapping[Any, int], task: Any) -> int:
    if task not in index_of:
        raise UnknownTask(flow.name, getattr(task, "name", repr(task)))
    return index_of[task]
