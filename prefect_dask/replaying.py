"""Running one recorded task run again, here, with what it was given then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect_dask.engine import clock, signals
from prefect_dask.engine.context import RunInfo, TaskFrame
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.graph import UNKNOWN, Edge, FlowGraph, Node, Take
from prefect_dask.engine.logs import ensure_handler, get_logger
from prefect_dask.engine.result import ResultRules
from prefect_dask.engine.state import (
    STATES,
    Finished,
    Looped,
    Mapped,
    Pending,
    State,
    Success,
)
from prefect_dask.engine.stream import ArtifactMade, LineLogged, Report, StateChange
from prefect_dask.engine.task_runner import TaskRunner
from prefect_dask.engine.widths import Pick, flat_pick
from prefect_dask.kept_results import kept_results
from prefect_dask.ledger.errors import UnknownTaskRun
from prefect_dask.ledger.facts import RecordedState
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.packed import GOES_ON
from prefect_dask.ledger.taking_up import FoundRun, find_run
from prefect_dask.recorded import (
    changed_code,
    check_is_there,
    flow_of,
    graph_of,
    parameters_of,
)
from prefect_dask.resumption import (
    Gone,
    History,
    TaskRun,
    finished_state,
    histories,
    mapped_state,
    start_of,
)
from prefect_dask.running import facts_for_tasks, parameter_values, result_rules
from prefect_dask.settings import config
from prefect_dask.task import Task

if TYPE_CHECKING:
    from prefect_dask.flow import Flow

#: What a task run may ask of the day on which it ran.
DATES = (
    *("date", "today", "yesterday", "tomorrow"),
    *("today_nodash", "yesterday_nodash", "tomorrow_nodash"),
)


def replay(
    run_id: str,
    task: Any,
    map_index: int = -1,
    *,
    attempt: int | None = None,
    flow: Flow | None = None,
    ledger: Any = None,
    inputs: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    debug: bool = False,
) -> State:
    """Run a recorded task run again: here, in this thread, with the inputs and the context that it had then.

    It is a rehearsal. Nothing is written: no record, no result, target or cache entry; no state handler is called,
    nothing is retried, and there is no time limit. Code that has changed since is used as it is now. What the body
    itself does to the world, it does again.

    Of a loop the last turn is run, and those that follow. A task above that failed gives a stand-in for its
    exception, as after `resume`. What outlives no process (secrets, parameters, collections) is made again.

    Args:
        run_id: The run's id, or as much of the beginning as tells it from others.
        task: The task: its slug, its name where no other one has it, its place in the flow, or the task itself.
        map_index: Which child of a mapped task.
        attempt: Which attempt, from 1; the last one when not given.
        flow: The flow; the one in the file where it was made, when not given.
        ledger: Where the run is recorded, as for `Flow.run`.
        inputs: Inputs to be used instead of those that it had.
        parameters: Values of parameters that were not kept, because a secret is in them or they cannot be pickled.
        context: As for `Flow.run`; what the run was given is not kept, since secrets are in it.
        debug: Whether to run the body under pdb. It stops at the body's first line, and, where an exception comes
            out of it, there.

    Returns:
        The state that it comes to.

    Raises:
        UnknownRun, UnknownRecordedTask, UnknownTaskRun: There is no such run, task, child or attempt.
        NoFlowToResume, FlowDiffers, ParametersNotKept: As for `resume`.
        InputsNotStored: Inputs were in the memory of a process that is gone.
    """
    where = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    found = find_run(where, run_id)
    flow = flow if flow is not None else flow_of(found)
    graph = graph_of(flow)
    changed = changed_code(graph, found)
    slug = flow.slugs.get(task) if isinstance(task, Task) else None
    which = found.flow.task(task if slug is None else slug)
    check_is_there(where, found.run.run_id, which, map_index)
    if which.index in changed:
        get_logger("replay").info("the code of task %r is used as it is now", which.name)
    facts = facts_for_tasks(context or {})
    given = {**parameters_of(flow, found, parameters), **(parameters or {})}
    values = parameter_values(flow, given, facts.pop("parameters", None) or {})
    task_run = (which.index, map_index)
    past = Past(graph, found, where, flow, task_run, attempt)
    info = RunInfo(
        flow_name=graph.name,
        flow_run_id=found.run.run_id,
        flow_run_name=found.run.name,
        parameters=values,
        scheduled_start_time=found.run.scheduled,
        caller=facts,
        log_level=getattr(logging, config.logging.level),
        results=ResultRules(checkpointing=False),
    )
    ensure_handler(config.logging.level, config.logging.format, config.logging.datefmt)
    return past.run_again(info, dict(inputs or {}), debug=debug)


class Begun(NamedTuple):
    """How an attempt began.

    Attributes:
        number: Of the record that tells of it; what is told of others before, it may have seen.
        attempt: Which one it is.
        time: When.
        history: Of the task run up to then.
        lacks_turn: Whether it is a turn of a loop, and the result of the turn before is not kept.
    """

    number: int
    attempt: int
    time: datetime
    history: History
    lacks_turn: bool


class Past:
    """What a task run saw when it ran.

    Args:
        graph: The flow as it is now.
        found: The run.
        ledger: Where it is recorded.
        flow: The flow; says where results are written.
        task_run: The task run.
        attempt: Which attempt of it; None: the last.
    """

    def __init__(
        self,
        graph: FlowGraph,
        found: FoundRun,
        ledger: Ledger,
        flow: Any,
        task_run: TaskRun,
        attempt: int | None,
    ) -> None:
        self.graph, self.task_run, self.run_id = graph, task_run, found.run.run_id
        above = {view.upstream for view in graph.views[task_run[0]]}
        for index in reversed(range(len(graph))):
            if index in above and _is_plumbing(graph.nodes[index]):
                above.update(view.upstream for view in graph.views[index])
        self.states: dict[TaskRun, list[RecordedState]] = {}
        for state in ledger.states(self.run_id):
            if state.task == task_run[0] or state.task in above:
                self.states.setdefault((state.task, state.map_index), []).append(state)
        rules = result_rules(flow, durable=flow.durable)
        results = ledger.results(self.run_id)
        self.kept = kept_results(
            graph,
            rules,
            [r for r in results if r.task in above or (r.task, r.map_index) == task_run],
        )
        self.begun = self._begun(attempt)

    def run_again(self, info: RunInfo, given: Mapping[str, Any], *, debug: bool) -> State:
        """Run the task run.

        Args:
            info: The facts of its flow run.
            given: Inputs to be used instead of its own.
            debug: Whether the body runs under pdb.

        Raises:
            InputsNotStored: Others are missing.
        """
        index, map_index = self.task_run
        node = self.graph.nodes[index]
        then = TaskFrame(info, node, map_index, {"date": self.begun.time})
        info = replace(info, caller={**{name: then[name] for name in DATES}, **info.caller})
        task = _rehearsed(node.task, debug=debug)
        edges = [e for e in self.graph.edges_to[index] if e.key is None or e.key not in given]
        again = Node(node.label, task, {**node.constants, **given})
        runner = self._runner(again, edges, info)
        upstream, picks = self._upstream(runner, map_index, info)
        missing = dict(self._missing(runner, upstream))
        if self.begun.lacks_turn:
            missing["context.task_loop_result"] = "the result of the turn before"
        if missing:
            raise InputsNotStored(self.run_id, node.label.run_name(map_index), missing)
        start = start_of(self.begun.history, self.begun.attempt)
        return _run(runner, self.task_run, start, upstream, picks)

    # ---- when it ran

    def _begun(self, attempt: int | None) -> Begun:
        told = self.states.get(self.task_run, [])
        begun = [
            place
            for place, state in enumerate(told)
            if state.state == "Running" and attempt in (None, state.attempt)
        ]
        if attempt is not None and not begun:
            there = sorted({state.attempt for state in told if state.state == "Running"})
            name = self.graph.nodes[self.task_run[0]].label.run_name(self.task_run[1])
            reason = f"had no attempt {attempt}; there are {', '.join(map(str, there)) or 'none'}"
            raise UnknownTaskRun(self.run_id, name, reason)
        if not told:
            name = self.graph.nodes[self.task_run[0]].label.run_name(self.task_run[1])
            raise UnknownTaskRun(self.run_id, name, "has not run yet")
        place = begun[-1] if begun else len(told) - 1
        at, until = told[place], told[: place + 1]
        history = histories(until, self.kept)[self.task_run]
        turn = None
        for before, state in zip([None, *until], until, strict=False):
            if state.state == "Looped":
                turn = state.details["loop_count"]
            elif before is not None and (before.state, state.state) == ("Failed", "Pending"):
                turn = None
        lacks_turn = turn is not None and (history.turn is None or history.turn.number != turn)
        return Begun(at.number, max(1, at.attempt), at.time, history, lacks_turn)

    # ---- what it saw

    def _runner(self, node: Node, edges: Sequence[Edge], info: RunInfo) -> TaskRunner:
        mapped = frozenset(
            e.upstream_task.index for e in edges if self.graph.is_mapped[e.upstream_task.index]
        )
        return TaskRunner(node, edges, info, mapped)

    def _upstream(
        self, runner: TaskRunner, map_index: int, info: RunInfo
    ) -> tuple[list[State], list[Pick] | None]:
        """The states that a task run looked at, and which item of their results it took."""
        index = runner.node.label.index
        # Places of views are those of the whole task, also where an input is given instead.
        place_of = {view: place for place, view in enumerate(self.graph.views[index])}
        upstream: list[State] = []
        picks: list[Pick] = []
        for view in runner.views:
            above, is_mapped = view.upstream, self.graph.is_mapped[view.upstream]
            pick: Pick = None
            if map_index < 0 or view.take is Take.ALL:
                state = self._whole(above, info)
            elif view.take is Take.ITEM:
                state = self._state(above, map_index if is_mapped else -1, info)
                pick = None if is_mapped else map_index
            else:
                lengths = self._parent(index).lengths[place_of[view]]
                pick = flat_pick(list(accumulate(lengths)), map_index)
                state = self._state(above, pick[0] if is_mapped else -1, info)
            upstream.append(state)
            picks.append(pick)
        return upstream, picks if any(pick is not None for pick in picks) else None

    def _parent(self, index: int) -> Mapped:
        told = [each for each in self.states.get((index, -1), ()) if each.state == "Mapped"]
        before = [each for each in told if each.number <= self.begun.number]
        return mapped_state(self.graph.nodes[index].label, (before or told)[-1])

    def _whole(self, index: int, info: RunInfo) -> State:
        """The state of a task, with its children where it has some."""
        told = self.states.get((index, -1), ())
        if not self.graph.is_mapped[index] or not any(each.state == "Mapped" for each in told):
            return self._state(index, -1, info)
        parent = self._parent(index)
        parent.map_states = [self._state(index, child, info) for child in range(parent.width)]
        return parent

    def _state(self, index: int, map_index: int, info: RunInfo) -> State:
        """What a task run above had come to."""
        node = self.graph.nodes[index]
        history = self._history((index, map_index))
        if history is None:
            return _gone(node.label.run_name(map_index))
        state = finished_state(node.label, history)
        if not isinstance(state._lazy, Gone):
            return state
        if _is_plumbing(node):
            return self._made_again(node, map_index, info)
        return _gone(node.label.run_name(map_index))

    def _history(self, task_run: TaskRun) -> History | None:
        """Up to the state in which it was seen: the last final one that was told before, else the first after."""
        told = self.states.get(task_run, [])
        final = [
            place
            for place, state in enumerate(told)
            if issubclass(STATES.get(state.state, Pending), Finished)
            and not issubclass(STATES[state.state], Looped)
            and not state.details.get(GOES_ON)
        ]
        before = [place for place in final if told[place].number <= self.begun.number]
        if not final:
            return None
        seen = before[-1] if before else final[0]
        return histories(told[: seen + 1], self.kept)[task_run]

    def _made_again(self, node: Node, map_index: int, info: RunInfo) -> State:
        """What is kept nowhere because it is made again in no time."""
        runner = self._runner(node, self.graph.edges_to[node.label.index], info)
        upstream, picks = self._upstream(runner, map_index, info)
        for _, what in self._missing(runner, upstream):
            return _gone(what)
        state = _run(runner, (node.label.index, map_index), Pending(), upstream, picks)
        return state if state.is_successful() else _gone(node.label.run_name(map_index))

    def _missing(self, runner: TaskRunner, upstream: Sequence[State]) -> Iterable[tuple[str, str]]:
        """The inputs that are kept nowhere: the argument, and whose result it was."""
        for edge, number in runner.looks:
            if edge.key is None:
                continue
            state = upstream[number]
            if isinstance(state._lazy, Gone):
                yield edge.key, state._lazy.task
            elif isinstance(state, Mapped):
                lost = [i for i, s in enumerate(state.map_states) if isinstance(s._lazy, Gone)]
                if lost:
                    yield edge.key, edge.upstream_task.run_name(lost[0])


def _gone(what: str) -> State:
    """The state of a task run whose result is kept nowhere."""
    state = Success()
    state._lazy = Gone(what)
    return state


def _is_plumbing(node: Node) -> bool:
    """Whether a task only hands on what is known, or makes what outlives no process."""
    return (
        node.parameter is not None
        or node.known_result is not UNKNOWN
        or node.label.is_secret
        or bool(getattr(node.task, "echoes_inputs", False))
    )


def _run(
    runner: TaskRunner,
    task_run: TaskRun,
    start: State,
    upstream: Sequence[State],
    picks: Sequence[Pick] | None,
) -> State:
    runner.remember_secrets()
    report = Report(_tell_nobody)
    return runner.run((*task_run, 1), start, clock.now(), upstream, report, picks)


def _tell_nobody(_: StateChange | LineLogged | ArtifactMade) -> None:
    pass


def _rehearsed(task: Any, *, debug: bool) -> Any:
    """A copy of a task that is run for its own sake: nobody else is told, nothing is kept, nothing tried again."""
    copy = task.copy(
        max_retries=0,
        retry_delay=None,
        retry_on=None,
        state_handlers=[],
        on_failure=None,
        cache_for=None,
        cache_validator=None,
        target=None,
        result=None,
        checkpoint=False,
        isolation=None,
        log_stdout=False,
        timeout=None,
    )
    if debug:
        copy.run = _under_debugger(task.run)
    return copy


def _under_debugger(run: Callable[..., Any]) -> Callable[..., Any]:
    # Here: few need it, and it takes 10 ms to import.
    from pdb import Pdb, post_mortem

    class Debugger(Pdb):
        was_left = False

        def set_quit(self) -> None:
            self.was_left = True
            super().set_quit()

    def debugged(**inputs: Any) -> Any:
        debugger = Debugger()
        try:
            value = debugger.runcall(run, **inputs)
        except Exception as error:
            post_mortem(error.__traceback__)
            raise
        if debugger.was_left:
            raise signals.FAIL("the debugger was left before the end of the body")
        return value

    return debugged


class InputsNotStored(PrefectDaskError, LookupError):
    """A task run is to be run again, and inputs that it had are gone."""

    def __init__(self, run_id: str, task: str, missing: Mapping[str, str]) -> None:
        which = ", ".join(f"{key!r} (of {what})" for key, what in missing.items())
        example = ", ".join(f"{key!r}: …" for key in missing)
        super().__init__(
            f"flow run {run_id}: task {task!r} cannot be run again as it ran: {which} was in the memory of a "
            f"process that is gone; give inputs={{{example}}}, or run the flow again with durable=True"
        )
        self.run_id, self.task, self.missing = run_id, task, dict(missing)
