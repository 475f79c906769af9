"""From what was recorded of a flow run to the states with which it goes on: plain values in, plain values out.

What is finished and whose result is stored stays as it is. What is finished and whose result was in memory only
stays so too, unless something that has yet to run takes that result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from prefect_dask.engine import clock
from prefect_dask.engine.errors import ResultLost, TaskException
from prefect_dask.engine.finish_log import Finish
from prefect_dask.engine.graph import FlowGraph, Take, TaskLabel, TaskLike
from prefect_dask.engine.retry import retry_delay_seconds
from prefect_dask.engine.state import (
    STATES,
    Cached,
    Cancelled,
    Failed,
    Finished,
    LazyResult,
    Looped,
    Mapped,
    Paused,
    Pending,
    Resume,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    Success,
    state_at,
)
from prefect_dask.engine.stream import StateChange, bare_state
from prefect_dask.ledger.facts import RecordedState
from prefect_dask.ledger.packed import GOES_ON

#: A task run: index of the task, map index.
TaskRun = tuple[int, int]


COORDINATOR_DIED = "attempt lost: the coordinating process died"


class Causes(NamedTuple):
    """What task runs are told that have to run again.

    Attributes:
        running: Those that were running.
        memory_only: Those whose result is gone, and needed.
        made_anew: Those that make what does not outlive a process.
        stopped: Those that were stopped; None where these stay stopped.
    """

    running: str = COORDINATOR_DIED
    memory_only: str = "its result was in the memory of a process that is gone, and is needed again"
    made_anew: str = "what it made is gone with the process that made it"
    stopped: str | None = "it was stopped, and goes on"


RESTARTED = "run again"
LAID_OUT_ANEW = "the lists that it is mapped over are others now"
PARENT_ANEW = "the map of which it is a child is laid out anew"
RETRY_UNTOLD = "it failed, and the coordinating process died before it told of the next attempt"


class Turn(NamedTuple):
    """The last turn of a loop that is over: which, and where its result is."""

    number: int
    result: LazyResult


@dataclass(slots=True)
class History:
    """What was recorded of one task run.

    Attributes:
        last: Its latest state.
        stored: Where the result of that state is kept; None where it was in memory only.
        turn: The last turn of a loop whose result is kept.
        is_approved: Whether the attempt had been let go on from a pause.
        mended: The number of the record since when it is no more what it once ended as without a result; -1 where
            it never did.
    """

    last: RecordedState
    stored: LazyResult | None = None
    turn: Turn | None = None
    is_approved: bool = False
    mended: int = -1


class Resumption(NamedTuple):
    """How a run goes on.

    Attributes:
        task_states: The states to begin with, by task index.
        changes: Changes of state that follow from its being taken up again, to be told first.
        to_run: The tasks that have yet to run, or of which children have.
    """

    task_states: dict[int, State]
    changes: list[StateChange]
    to_run: set[int]


def histories(
    states: Iterable[RecordedState], results: Mapping[int, LazyResult]
) -> dict[TaskRun, History]:
    """What was recorded of each task run.

    Args:
        states: All changes of state of the run, in order.
        results: What is kept of results, by the number of the state.
    """
    found: dict[TaskRun, History] = {}
    for state in states:
        if state.task < 0:
            continue
        task_run = (state.task, state.map_index)
        before = found.get(task_run)
        turn, is_approved, mended = None, state.state == "Resume", -1
        if before is not None:
            mended = state.number if _is_mended(before.last, state.state) else before.mended
            if not _begins_anew(before.last.state, state.state):
                turn = before.turn
            if state.state in ("Running", "Pending"):
                is_approved = before.is_approved or before.last.state == "Paused"
        # Running may have the number of what it came to.
        stored = results.get(state.number) if state.state != "Running" else None
        if state.state == "Looped" and stored is not None:
            turn = Turn(state.details["loop_count"], stored)
        found[task_run] = History(state, stored, turn, is_approved, mended)
    return found


def take_finishes(
    graph: FlowGraph,
    known: dict[TaskRun, History],
    finishes: Iterable[tuple[Finish, LazyResult | None]],
) -> list[StateChange]:
    """Add to what was recorded the ends that task runs noted where they ran, and that nobody recorded any more.

    Args:
        graph: The flow.
        known: What was recorded; what is added is found here afterwards.
        finishes: The ends, and what is kept of their results.

    Returns:
        The changes of state that tell of them.
    """
    index_of = {node.label.slug: node.label.index for node in graph.nodes}
    changes: dict[TaskRun, StateChange] = {}
    for finish, result in finishes:
        index = index_of.get(finish.slug)
        if index is None or (finish.stored is not None and result is None):
            continue
        task_run = (index, finish.map_index)
        before = known.get(task_run)
        last = before.last if before is not None else None
        if last is not None and (
            clock.to_seconds(last.time) >= finish.time
            or issubclass(STATES.get(last.state, Pending), Finished)
        ):
            continue
        state = bare_state(finish.state, finish.message, finish.time, finish.details)
        told = RecordedState(
            -1,
            index,
            graph.nodes[index].label.name,
            finish.map_index,
            finish.attempt,
            finish.state,
            finish.message,
            clock.to_datetime(finish.time),
            "",
            finish.details,
        )
        known[task_run] = History(told, result, mended=-1 if before is None else before.mended)
        changes[task_run] = StateChange(
            (*task_run, 0), finish.attempt, state, True, "", None, finish.stored
        )
    return list(changes.values())


def _is_mended(old: RecordedState, new: str) -> bool:
    """Whether a task run ended without a result, and does not count as that any more."""
    kind = STATES.get(old.state, Pending)
    has_ended = issubclass(kind, (Failed, Skipped, Cancelled)) and not old.details.get(GOES_ON)
    return has_ended and not issubclass(STATES.get(new, Pending), Failed)


def _begins_anew(old: str, new: str) -> bool:
    """Whether a task run is at its first turn again: a retry goes on where the turn failed, a restart does not."""
    return new == "Pending" and issubclass(STATES.get(old, Pending), Failed)


def resumption(
    graph: FlowGraph,
    known: Mapping[TaskRun, History],
    widths: Mapping[int, int],
    *,
    restarts: bool = False,
    causes: Causes = Causes(),  # noqa: B008  # frozen
) -> Resumption:
    """How a run goes on.

    Args:
        graph: The flow.
        known: What was recorded of its task runs.
        widths: How many children mapped tasks have, where that is known without running anything.
        restarts: Whether what failed runs again, and what did not run because of that.
        causes: What those are told that have to run again.
    """
    return _Planner(graph, known, widths, restarts=restarts, causes=causes).plan()


def kept_state(graph: FlowGraph, index: int, history: History) -> State | None:
    """The state with which a task run goes on that needs no further execution, or waits for one; None where its
    result is not kept, or it was on its way."""
    going = _Planner(graph, {}, {}, restarts=False, causes=Causes(stopped=None)).go_on(
        index, history
    )
    return None if going.lacks_result or going.told is not None else going.state


@dataclass(slots=True)
class _Going:
    """One task run as it goes on; `told`: why it came to this state just now."""

    state: State
    attempt: int
    told: str | None = None
    lacks_result: bool = False

    @property
    def is_done(self) -> bool:
        return isinstance(self.state, Finished)


@dataclass
class _Planner:
    graph: FlowGraph
    known: Mapping[TaskRun, History]
    widths: Mapping[int, int]
    restarts: bool
    causes: Causes
    going: dict[TaskRun, _Going] = field(default_factory=dict)
    #: Per task: whether it, and which of its children, have yet to run.
    open_tasks: set[int] = field(default_factory=set)
    open_children: dict[int, set[int]] = field(default_factory=dict)
    #: Children of maps that are laid out anew.
    dropped: list[StateChange] = field(default_factory=list)

    def __init__(
        self,
        graph: FlowGraph,
        known: Mapping[TaskRun, History],
        widths: Mapping[int, int],
        *,
        restarts: bool,
        causes: Causes,
    ) -> None:
        self.causes = causes
        self.graph, self.known, self.widths, self.restarts = graph, known, widths, restarts
        self.going, self.open_tasks, self.open_children, self.dropped = {}, set(), {}, []

    def plan(self) -> Resumption:
        children: dict[int, list[int]] = {}
        for (index, map_index), history in self.known.items():
            self.going[index, map_index] = self.go_on(index, history)
            if map_index >= 0:
                children.setdefault(index, []).append(map_index)
        self._lay_out_anew(children)
        # From the last task up: what has to run again needs what lies above it.
        for index in reversed(range(len(self.graph))):
            self._know_parent(index, children.get(index, []))
            for map_index in (-1, *children.get(index, ())):
                self._run_again_if_needed(index, map_index)
            self._note_open(index)
        return Resumption(
            {i: state for i in range(len(self.graph)) if (state := self._state(i)) is not None},
            self._changes(),
            self.open_tasks | {i for i, those in self.open_children.items() if those},
        )

    # ---- one task run

    def go_on(self, index: int, history: History) -> _Going:
        """How a task run goes on, seen alone."""
        last, node = history.last, self.graph.nodes[index]
        kind = STATES.get(last.state, Pending)
        attempt = last.attempt
        if issubclass(kind, Looped):
            return _Going(start_of(history, attempt), attempt)
        if issubclass(kind, Running):
            return _Going(start_of(history, attempt), attempt, self.causes.running)
        if issubclass(kind, Cancelled) and self.causes.stopped is not None:
            return _Going(start_of(history, attempt), attempt, self.causes.stopped)
        if last.details.get(GOES_ON) and last.attempt <= node.task.max_retries:
            return _Going(self._retrying(node.task, history), attempt, RETRY_UNTOLD)
        if issubclass(kind, Failed) and self.restarts:
            return _Going(Pending(), 1, RESTARTED)
        if issubclass(kind, Finished):
            if node.runs_anew:
                return _Going(start_of(history, attempt), attempt, self.causes.made_anew)
            return self._finished(kind, index, history)
        return _Going(self._waiting(kind, history), attempt)

    def _finished(self, kind: type[State], index: int, history: History) -> _Going:
        last, label = history.last, self.graph.nodes[index].label
        if issubclass(kind, Mapped):
            return _Going(mapped_state(label, last), last.attempt)
        state = finished_state(label, history)
        return _Going(state, last.attempt, lacks_result=isinstance(state._lazy, Gone))

    def _waiting(self, kind: type[State], history: History) -> State:
        """What waits for its time or for somebody's word does so still."""
        last = history.last
        if not issubclass(kind, Scheduled) or "start_time" not in last.details:
            return start_of(history, last.attempt)
        start_time = clock.to_datetime(last.details["start_time"])
        context = loop_context(history)
        if issubclass(kind, Retrying):
            count = int(last.details["run_count"])
            return Retrying(last.message, start_time=start_time, context=context, run_count=count)
        kept = next(each for each in (Paused, Resume, Scheduled) if issubclass(kind, each))
        return kept(last.message, start_time=start_time, context=context)

    def _retrying(self, task: TaskLike, history: History) -> Retrying:
        """The retry of which the process that decided on it told nobody any more."""
        last = history.last
        try:
            seconds = retry_delay_seconds(task.retry_delay, task.retry_jitter, last.attempt)
        except Exception:  # the user's function; the next failure tells of it
            seconds = 0.0
        return Retrying(
            start_time=last.time + timedelta(seconds=seconds),
            context=loop_context(history),
            run_count=last.attempt,
        )

    # ---- what depends on others

    def _lay_out_anew(self, children: dict[int, list[int]]) -> None:
        """A list that was not there when a map was laid out over it counted as one item: the others are elsewhere.

        The children of such a map are others now, and so are those of maps over it; all of them run again.
        """
        anew: set[int] = set()
        for index, edges in enumerate(self.graph.edges_to):
            if not self._is_mapped_out(index) or not any(
                edge.upstream_task.index in anew
                or (edge.flattened and self._has_other_lists(index, edge.upstream_task.index))
                for edge in edges
                if edge.mapped
            ):
                continue
            anew.add(index)
            self._drop(index, children.pop(index, []), LAID_OUT_ANEW)
            self.going[index, -1] = _Going(Pending(), 1, LAID_OUT_ANEW)

    def _drop(self, index: int, children: Iterable[int], cause: str) -> None:
        """Children of a map that is laid out anew begin anew."""
        for child in children:
            going = self.going.pop((index, child))
            if not isinstance(going.state, Pending) or going.told is not None:
                node, told = (index, child, 0), Pending(cause)
                self.dropped.append(StateChange(node, going.attempt, told, True, ""))

    def _has_other_lists(self, index: int, above: int) -> bool:
        """Whether a map was laid out over children of which one had no list, and has one now, or may have."""
        parent = self.known.get((index, -1))
        return parent is not None and any(
            history.mended > parent.last.number or self.going[task_run].told == RESTARTED
            for task_run, history in self.known.items()
            if task_run[0] == above and task_run[1] >= 0 and task_run in self.going
        )

    def _know_parent(self, index: int, children: list[int]) -> None:
        """Children whose number was known beforehand may be ahead of their parent."""
        if not children or self._is_mapped_out(index):
            return
        width = self.widths.get(index)
        parent = self.going.get((index, -1))
        if parent is not None and parent.is_done:
            for map_index in children:
                del self.going[index, map_index]
            children.clear()
            return
        if width is None:
            self._drop(index, children, PARENT_ANEW)
            children.clear()
            return
        state = Mapped("Preparing children.")
        state.width = width
        state.tag(tuple(sorted(self.graph.nodes[index].label.tags)))
        self.going[index, -1] = _Going(state, 1, told="")

    def _run_again_if_needed(self, index: int, map_index: int) -> None:
        going = self.going.get((index, map_index))
        if going is None or not going.lacks_result or not self._is_needed(index, map_index):
            return
        history = self.known[index, map_index]
        going.state, going.told = start_of(history, going.attempt), self.causes.memory_only
        going.lacks_result = False

    def _is_needed(self, index: int, map_index: int) -> bool:
        """Whether something that has yet to run takes the result of a task run."""
        graph = self.graph
        for below in graph.downstream[index]:
            edges = [e for e in graph.edges_to[below] if e.upstream_task.index == index]
            if all(edge.key is None and not edge.mapped for edge in edges):
                continue
            takes = {view.take for view in graph.views[below] if view.upstream == index}
            waiting = self.open_children.get(below, set())
            if map_index >= 0 and takes == {Take.ITEM}:
                if below in self.open_tasks or map_index in waiting:
                    return True
            elif below in self.open_tasks or waiting:
                return True
        return False

    def _note_open(self, index: int) -> None:
        parent = self.going.get((index, -1))
        if parent is None or not parent.is_done:
            self.open_tasks.add(index)
        elif isinstance(parent.state, Mapped):
            self.open_children[index] = {
                each
                for each in range(parent.state.width)
                if (child := self.going.get((index, each))) is None or not child.is_done
            }

    def _is_mapped_out(self, index: int) -> bool:
        parent = self.going.get((index, -1))
        return parent is not None and isinstance(parent.state, Mapped)

    # ---- what comes of it

    def _state(self, index: int) -> State | None:
        going = self.going.get((index, -1))
        if going is None:
            return None
        parent = going.state
        if isinstance(parent, Mapped):
            parent.map_states = [
                child.state if (child := self.going.get((index, each))) is not None else Pending()
                for each in range(parent.width)
            ]
        return parent

    def _changes(self) -> list[StateChange]:
        changes = [*self.dropped]
        for (index, map_index), going in sorted(self.going.items(), key=lambda item: item[0]):
            if going.told is None:
                continue
            state: State = going.state
            if isinstance(state, Mapped):
                told = Mapped(state.message)
                told.width, told.lengths = state.width, state.lengths
                state = told
            else:
                state.message = going.told
                if not isinstance(state, Retrying):
                    state = Pending(going.told)
            changes.append(StateChange((index, map_index, 0), going.attempt, state, True, ""))
        return changes


def mapped_state(label: TaskLabel, recorded: RecordedState) -> Mapped:
    """The state of a mapped task, without its children."""
    state = Mapped(recorded.message)
    state.width = int(recorded.details.get("width", 0))
    lengths = recorded.details.get("lengths") or {}
    state.lengths = {int(view): list(each) for view, each in lengths.items()}
    state.tag(tuple(sorted(label.tags)))
    return state


def finished_state(label: TaskLabel, history: History) -> State:
    """The state of a task run that is finished, and not mapped; its result is `Gone` where it is not kept."""
    last, kind = history.last, STATES.get(history.last.state, Success)
    state = state_at(
        # A Cached result would be validated once more.
        Success if issubclass(kind, Cached) else kind,
        clock.to_seconds(last.time),
        last.message,
        None,
        tuple(sorted(label.tags)),
    )
    if issubclass(kind, Failed):
        state._lazy = _Failure(history.stored, TaskException(last.state, last.message or "", ""))
    elif history.stored is not None:
        state._lazy = history.stored
    elif not issubclass(kind, (Skipped, Cancelled)):
        state._lazy = Gone(label.name)
    return state


def start_of(history: History, attempt: int) -> Pending:
    """The state from which an attempt begins: its number, its turn, whether it was let go on from a pause."""
    facts = loop_context(history)
    if attempt > 1:
        facts["task_run_count"] = attempt
    return Resume(context=facts) if history.is_approved else Pending(context=facts)


def loop_context(history: History) -> dict[str, Any]:
    """What a task run in a loop goes on from."""
    if history.turn is None:
        return {}
    return {
        "task_loop_count": history.turn.number + 1,
        "task_loop_result": history.turn.result.fetch_state()._result,
    }


class _Failure(LazyResult):
    """What a failed task run left: as it is kept, else a stand-in for its exception."""

    def __init__(self, stored: LazyResult | None, instead: TaskException) -> None:
        self.stored, self.instead = stored, instead

    def fetch_state(self) -> State:
        if self.stored is not None:
            # A class of the user's that is not there any more.
            with suppress(Exception):
                return self.stored.fetch_state()
        return Failed(result=self.instead)


class Gone(LazyResult):
    """Where a result would be that was in memory only.

    What follows without reading it follows in another process, too.
    """

    travels = True

    def __init__(self, task: str) -> None:
        self.task = task

    def fetch_state(self) -> State:
        raise ResultLost(self.task, "it was in the memory of a process that is gone")
