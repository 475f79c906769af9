"""One run of one flow: hands over what is possible, takes in what comes back, decides the flow's state."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from . import clock, failures, secrets
from .advance import Book
from .collector import CollectorHeld, CollectorInRun
from .context import RunInfo
from .early_end import cancelled, clean_ups, end_undone
from .errors import (
    ClusterLost,
    PrefectDaskError,
    RunInterrupted,
)
from .executors.base import Executor, GraphRun, HoldsResults, Reopens, RunsHere, SeesWorkers
from .flow_handlers import FlowHandlers, FlowStateHandler, TerminalStateHandler
from .graph import FlowGraph
from .hand_over import HandOver
from .held_slots import SLOT_LOOK_SECONDS, HeldSlots
from .intake import Intake
from .logs import get_logger
from .needless_results import NeedlessResults
from .node import RunPackage
from .outcome import flow_failed, flow_outcome, states_by_task
from .recovery import Recovery
from .result import ResultRules
from .slots import Slots
from .stall import AtWork, Stalled, StallWatch, WaitsForSlot, stall_text
from .state import (
    Cancelled,
    Cancelling,
    Paused,
    Pending,
    Running,
    State,
)
from .steering import Cancel, Steering
from .stream import (
    Announcer,
    Event,
    Listener,
    Observer,
    StateChange,
)
from .telling import Teller
from .tolerance import Tolerance
from .widths import known_widths

#: How long the coordinating thread waits at a time when nothing is due, seconds: Ctrl-C is seen that soon on
#: systems where waiting for a lock cannot be interrupted.
WAIT_SECONDS = 0.5

#: How long it waits where there is more to be handed over, seconds: so long that other threads get their turn.
BREATH_SECONDS = 0.002

#: After how long without progress it is said who waits for what, where nobody says another time.
STALL_SECONDS = 300.0


class FlowRunner:
    """Runs a flow once.

    Args:
        graph: The flow.
        executor: Where its task runs run.
        parameters: The value of each parameter.
        context: Facts for the tasks; they win over the run's own.
        task_states: States to begin with, by task index; finished ones are taken as they are.
        keep: Indices of the tasks whose results are kept; None keeps all.
        listeners: Are given each change of state, in batches.
        state_handlers: Called with (old, new) at each change of the flow's state; may return another state.
        terminal_state_handler: Called with (state, reference states) at the end; has the last word.
        flow_run_name: The run's name; made up when not given.
        flow_run_id: The run's id, where it was begun before; a new one when not given.
        scheduled_start_time: When the run was meant to start; now when not given.
        log_level: Level from which lines logged in tasks on workers are sent here.
        ask_to_resume: Asked with (task name, state) whether a paused task may go on, when nothing else can
            be done; without it the run ends in Paused.
        results: Where and when results are written.
        observer: Sees all that happens in the run, and keeps it.
        slots: Keeps the concurrency limits; without them there are none.
        stall_seconds: After how long without progress it is logged who waits for what; 0: never.
        steering: Through which the run is told something while it runs.
        recovery: Knows what is kept of the run; None where nothing is.
        tolerance: How much may die before the run, or a task run of it, is given up.
    """

    def __init__(
        self,
        graph: FlowGraph,
        *,
        executor: Executor,
        parameters: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        task_states: Mapping[int, State] | None = None,
        keep: frozenset[int] | None = None,
        listeners: Sequence[Listener] = (),
        state_handlers: Sequence[FlowStateHandler] = (),
        terminal_state_handler: TerminalStateHandler | None = None,
        flow_run_name: str | None = None,
        flow_run_id: str | None = None,
        scheduled_start_time: datetime | None = None,
        log_level: int = 20,
        ask_to_resume: Callable[[str, State], bool] | None = None,
        results: ResultRules | None = None,
        observer: Observer | None = None,
        slots: Slots | None = None,
        stall_seconds: float = STALL_SECONDS,
        steering: Steering | None = None,
        recovery: Recovery | None = None,
        tolerance: Tolerance | None = None,
    ) -> None:
        secrets.remember((context or {}).get("secrets"))
        self.graph, self.executor = graph, executor
        self.logger = get_logger("FlowRunner")
        self._handlers = FlowHandlers(graph, state_handlers, terminal_state_handler, self.logger)
        self._widths = partial(known_widths, graph, parameters or {})
        #: Of the task runs that are not at their first attempt, at which.
        self._attempts: dict[tuple[int, int], int] = {}
        self.book = Book(graph, task_states, self._widths, self._attempts)
        #: How many clusters it has lost.
        self._losses = 0
        run_id = flow_run_id or uuid.uuid4().hex
        self.info = RunInfo(
            flow_name=graph.name,
            flow_run_id=run_id,
            flow_run_name=flow_run_name or f"{graph.name}-{run_id[:8]}",
            parameters=dict(parameters or {}),
            scheduled_start_time=scheduled_start_time or clock.utc_now(),
            caller=dict(context or {}),
            log_level=log_level,
            results=results or ResultRules(),
        )
        self._keep = keep
        self._ask_to_resume = ask_to_resume
        self._observer = observer or Observer()
        self._slots = HeldSlots(slots)
        self._stall = StallWatch(stall_seconds)
        self._set_back = clock.SetBack()
        self.steering = steering or Steering()
        self._recovery, self._tolerance = recovery, tolerance or Tolerance()
        self._announcer = Announcer(listeners, self.logger)
        self._teller = Teller(
            self.info,
            graph,
            observer=self._observer,
            announcer=self._announcer,
            stall=self._stall,
            logger=self.logger,
            attempts=self._attempts,
        )
        self._intake = Intake(
            graph,
            self._attempts,
            slots=self._slots,
            needless=None if keep is None else NeedlessResults(graph, keep),
            teller=self._teller,
            observer=self._observer,
            recovery=recovery,
        )
        #: Whether anybody wants to know what task runs come to.
        self._is_followed = observer is not None or self._announcer.is_wanted
        self._is_closing = False
        self._state: State = Pending()

    def run(self, state: State | None = None) -> State:
        """Run the flow until nothing more can be done.

        Args:
            state: The flow's state to begin with; a finished one is returned as it is.

        Returns:
            The flow's state: Success, Failed, Cancelled where somebody asked for that, or Paused where a task
            waits for somebody's word. Its result is a dict with the state of each task.

        Raises:
            RunInterrupted: Ctrl-C; what ran was cancelled.
            PrefectDaskError: The executor could not be set up, or a task cannot be sent to it; no task has run.
        """
        state = self._state if state is None else state
        if state.is_finished():
            return state
        self._state = state
        self.logger.info("Beginning flow run %r", self.info.flow_run_name)
        try:
            with self.executor.start():
                # What cannot be set up raises here, before any task has run.
                with CollectorHeld():
                    self._look_for_limits()
                    graph_run = self._open()
                if isinstance(graph_run, HoldsResults):
                    self.book.runs.folded.result_of = graph_run.result_of
                self._observer.begin(self.info, self.graph)
                self._begin(graph_run)
                state = self._move(Running("Running flow."))
                if state.is_running():
                    state = self._move(self._advance_to_the_end(graph_run))
                else:
                    graph_run.close(is_cancelled=True)
            state = self._kept(state)
        except KeyboardInterrupt as interrupt:
            raise RunInterrupted(self._kept(self._cancelled())) from interrupt
        finally:
            self._slots.end()
            self._announcer.close()
        self.logger.info(
            "Flow run %r: finished with state %s. %s",
            self.info.flow_run_name,
            type(state).__name__,
            state.message or "",
        )
        return state

    def _look_for_limits(self) -> None:
        limited = self._slots.look_for_limits(self.info, self.graph)
        if limited:
            self.book.limit(limited)

    def _open(self) -> GraphRun:
        """Begin a graph run."""
        return self.executor.open(self._package())

    def _package(self) -> RunPackage:
        """The run as an executor takes it."""
        # Each time another name: a process that lost the run, or a lost cluster, may still have nodes of it.
        token = self.info.flow_run_id[:8] + uuid.uuid4().hex[:8]
        return RunPackage(
            token,
            self.graph,
            self.info,
            self._keep,
            self._slots.limited,
            self._tolerance,
            self._observer.check_right,
        )

    def _begin(self, graph_run: GraphRun) -> None:
        """The run goes on in a graph run."""
        self._intake.begin(graph_run, self.book)
        self.steering.begin(graph_run)
        self._is_closing = False

    # ---- advancing

    def _advance_to_the_end(self, graph_run: GraphRun) -> State:
        """Advance until nothing is under way or due, on another cluster where the one before is lost."""
        again: GraphRun | None = graph_run
        error: Exception | None = None
        cancel: Cancel | None = None
        try:
            while again is not None:
                error, cancel = self._advance_as_far_as_possible(again)
                again = None
                if isinstance(error, ClusterLost) and cancel is None:
                    again = self._go_on_elsewhere(error)
        finally:
            if cancel is None:
                self._slots.end()
        if error is None:
            return self._outcome() if cancel is None else self._cancel_rest(cancel)
        # What goes wrong on the way must end in a state, with what is known.
        self.logger.error("flow run %r failed", self.info.flow_run_name, exc_info=error)
        self._intake.lose_running(failures.text_of(error))
        return self._failed(error)

    def _advance_as_far_as_possible(
        self, graph_run: GraphRun
    ) -> tuple[Exception | None, Cancel | None]:
        """Hand over, take in, hand over again, until nothing is under way or due.

        Returns:
            What stood in the way, if anything did; and that it was cancelled, if it was.
        """
        error: Exception | None = None
        cancel: Cancel | None = None
        is_whole = False
        try:
            self._advance(graph_run)
            cancel = self.steering.close()
            if cancel is not None:
                self._let_end(graph_run, cancel)
            is_whole = cancel is None
        except Exception as caught:
            error = caught
        finally:
            self._is_closing = True
            self.steering.end()
            self._take_in(graph_run, graph_run.close(is_cancelled=not is_whole))
        return error, cancel

    def _go_on_elsewhere(self, lost: ClusterLost) -> GraphRun | None:
        """Take the run up again on a cluster that took the place of a lost one; None where that is not possible."""
        recovery, seconds = self._recovery, self._tolerance.reconnect_seconds
        if recovery is None or not isinstance(self.executor, Reopens):
            return None
        self._losses += 1
        if self._losses > self._tolerance.lost_clusters:
            return None
        cause = failures.text_of(lost)
        self.logger.warning(
            "flow run %r: %s; it goes on when there is one within %g s",
            self.info.flow_run_name,
            cause,
            seconds,
        )
        try:
            graph_run = self.executor.reopen(self._package(), seconds)
            if graph_run is None:
                return None
            going_on = recovery.going_on(f"attempt lost: {cause}")
        except PrefectDaskError as error:
            self.logger.error(
                "flow run %r cannot go on: %s", self.info.flow_run_name, failures.text_of(error)
            )
            return None
        self._slots.give_up()
        self.book = Book(self.graph, going_on.task_states, self._widths, self._attempts)
        if self._slots.limited:
            self.book.limit(self._slots.limited)
        if isinstance(graph_run, HoldsResults):
            self.book.runs.folded.result_of = graph_run.result_of
        self._begin(graph_run)
        self._teller.tell(list(going_on.changes))
        return graph_run

    def _let_end(self, graph_run: GraphRun, cancel: Cancel) -> None:
        """Wait for the bodies at work to end by themselves, as long as they may."""
        self._is_closing = True
        self._move(Cancelling(f"cancelling: {cancel.cause}"))
        while graph_run.is_at_work():
            left = (self.steering.asked or cancel).until - clock.monotonic()
            if left <= 0:
                return
            self._take_in(graph_run, graph_run.wait(min(left, WAIT_SECONDS)))
            self._observer.check()

    def _cancel_rest(self, cancel: Cancel) -> State:
        """Come to the end of what was cancelled, and clean up what it had set up."""
        last_state = partial(cancelled, cancel.cause)
        cleaning = clean_ups(self.graph, self.book.runs)
        self._end_early(last_state, cleaning)
        if cleaning:
            self._clean_up(cleaning)
            self._end_early(last_state, ())
        return Cancelled(f"cancelled: {cancel.cause}", result=self._task_states())

    def _end_early(self, last_state: Callable[[State], State], but: Sequence[int]) -> None:
        self.book.forget_plans()
        ended = end_undone(self.book.runs, last_state, but)
        self._teller.tell([self._teller.decided(node, state) for node, state in ended])

    def _clean_up(self, tasks: Sequence[int]) -> None:
        """Run tasks that clean up, and nothing else, in a graph run of their own."""
        told = []
        for index in tasks:
            if isinstance(self.book.runs.state(index), Running):
                again = Pending("stopped together with the run; it is done again")
                self.book.runs.set_state(index, index, again)
                told.append(self._teller.decided(self.book.runs.node_id(index), again))
            self.book.sources.lay_out_for(index)
        self._teller.tell(told)
        # Nobody can ask for anything of them: what was set up is cleaned up.
        self.steering = Steering()
        # They wait for slots as any other task run.
        self._slots.note_all_over()
        graph_run: GraphRun | None = None
        is_whole = False
        try:
            graph_run = self._open()
            self._begin(graph_run)
            self._advance(graph_run)
            is_whole = True
        except Exception:
            # The place may be gone; the run is cancelled all the same.
            self.logger.exception("flow run %r: not all was cleaned up", self.info.flow_run_name)
        finally:
            self._is_closing = True
            if graph_run is not None:
                self._take_in(graph_run, graph_run.close(is_cancelled=not is_whole))

    def _advance(self, graph_run: GraphRun) -> None:
        if isinstance(graph_run, RunsHere):
            graph_run.take_early = partial(self._take_in, graph_run)
            if self._is_followed:
                self._announcer.watch(partial(self._look_in, graph_run))
        runs_here = not isinstance(graph_run, HoldsResults)
        with CollectorInRun(len(self.graph), runs_here=runs_here) as collector:
            self._advance_with(graph_run, collector)

    def _advance_with(self, graph_run: GraphRun, collector: CollectorInRun) -> None:
        book = self.book
        with CollectorHeld():
            plan = book.take_all(clock.now(), graph_run.room())
        self._hand_over(graph_run, plan)
        while self.steering.asked is None:
            collector.look()
            due = book.due_times.next()
            if due is not None and self._heed_set_back():
                continue
            if due is not None and due <= clock.now():
                self._hand_over(graph_run, book.take_due(clock.now()))
                continue
            if book.has_more and (room := graph_run.room()):
                self._hand_over(graph_run, book.take_more(clock.now(), room))
            if self._slots.limited:
                self._hand_over(graph_run, self._slots.see_to(book, graph_run.at_once()))
            is_idle = due is None and not (
                book.runs.out_count or book.has_more or book.wanted_slots.waiting
            )
            if is_idle:
                collector.let_go()  # a person may be asked, and take a while
                if not self._resume_paused(graph_run):
                    return
            if (
                due is not None
                and not (book.runs.out_count or book.wanted_slots.waiting)
                and clock.is_turned()
            ):
                clock.wait_until(due)
                continue
            longest = BREATH_SECONDS if book.has_more and graph_run.room() else WAIT_SECONDS
            if book.wanted_slots.waiting:
                longest = min(longest, SLOT_LOOK_SECONDS)
            if (left := collector.seconds_left()) > 0:
                longest = min(longest, left)
            timeout = longest if due is None else min(longest, due - clock.now())
            self._take_in(graph_run, graph_run.wait(max(0.0, timeout)))
            self._look_for_stall(graph_run)
            self._hand_over(graph_run, book.take_grown(clock.now(), graph_run.room()))
            self._hand_over(graph_run, book.take_freed(clock.now()))
            self._observer.check()

    # ---- where nothing happens

    def _look_in(self, graph_run: RunsHere) -> None:
        """Take in what there is, where the calling thread is in a body; called in the listeners' thread."""
        graph_run.look()
        self._look_for_stall(graph_run)

    def _look_for_stall(self, graph_run: GraphRun | RunsHere) -> None:
        quiet = self._stall.look(clock.monotonic())
        if quiet is not None:
            workers = graph_run.shortages() if isinstance(graph_run, SeesWorkers) else []
            self.logger.warning("%s", stall_text(self._stalled(quiet, workers), clock.now()))

    def _stalled(self, quiet_seconds: float, workers: Sequence[str]) -> Stalled:
        """Who waits for what, as far as it is known here."""
        book, nodes = self.book, self.graph.nodes
        due = book.due_times.next_of()
        return Stalled(
            self.info.flow_run_name,
            quiet_seconds,
            [
                AtWork(self._teller.name(i, m), state._time, self._intake.where.get((i, m), ""))
                for i, m, state in book.runs.in_state(Running)
            ],
            [
                WaitsForSlot(nodes[w.task].label.name, w.waiting, w.limits, w.why)
                for w in self._slots.waits()
            ],
            workers,
            None if due is None else (self._teller.name(*due[1:]), due[0]),
            sum(1 for _ in book.runs.in_state(Paused)),
        )

    def _resume_paused(self, graph_run: GraphRun) -> bool:
        """Ask for each paused task whether it may go on; whether any may."""
        if self._ask_to_resume is None:
            return False
        resumed = []
        for index, map_index, state in list(self.book.runs.in_state(Paused)):
            if self._ask_to_resume(self._teller.name(index, map_index), state):
                self.book.resume(index, map_index)
                resumed.append((index, map_index))
        self._hand_over(graph_run, self.book.take_from(resumed, clock.now()))
        return bool(resumed)

    def _hand_over(self, graph_run: GraphRun, plan: Sequence[HandOver]) -> None:
        if plan and not self._is_closing:
            graph_run.extend(plan)

    def _heed_set_back(self) -> bool:
        """See whether the machine's clock was set back; if so, delays are none the longer for that."""
        seconds = self._set_back.seconds()
        if seconds:
            self.book.due_times.note_set_back(seconds)
        return seconds > 0

    def _take_in(self, graph_run: GraphRun, events: Sequence[Event]) -> None:
        self._heed_set_back()
        again = self._intake.take(events, makes_again=not self._is_closing)
        if again:
            self._hand_over(graph_run, self.book.take_from(again, clock.now()))

    # ---- deciding

    def _outcome(self) -> State:
        """The flow's state from the states of its tasks; the user's handler has the last word."""
        states = self.book.runs.task_states()
        state = flow_outcome(self.graph, states)
        state.result = states_by_task(self.graph, states)
        return self._handlers.last_word(state, states)

    def _failed(self, error: BaseException) -> State:
        """The flow Failed because of `error`, with the states reached until then."""
        return flow_failed(error, self._task_states())

    def _cancelled(self) -> State:
        runs = self.book.runs
        told: list[StateChange] = []
        for index, map_index, state in list(runs.in_state(Running)):
            stopped = Cancelled("interrupted", context=state.context)
            runs.set_state(index, runs.row(index, map_index + 1), stopped)
            told.append(self._teller.decided(runs.node_id(index, map_index), stopped))
        self._teller.tell(told)
        state = Cancelled("interrupted from the keyboard", result=self._task_states())
        self._observer.take_flow_state(state)
        return state

    def _kept(self, state: State) -> State:
        """The flow's final state, once it is kept; Failed where it cannot be."""
        try:
            self._observer.end()
        except Exception as error:
            self.logger.exception("flow run %r failed", self.info.flow_run_name)
            return self._failed(error)
        return state

    def _task_states(self) -> dict[Any, State]:
        return states_by_task(self.graph, self.book.runs.task_states())

    def _move(self, new: State) -> State:
        """Come to the flow state `new`, or to the one that the state handlers make of it."""
        answer = self._handlers.state_after(self._state, new, self._task_states)
        if not isinstance(new, Cancelling):
            new = answer  # else they are only told: bodies are at work, and no other state is true
        self._state = new
        self._observer.take_flow_state(new)
        return new
