"""One run of one flow: sets it up, advances it in one graph run after the other, decides the flow's state."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from . import clock, failures, secrets
from .advancing import Advancing
from .book import Book
from .collector import MadeToLast
from .context import RunInfo
from .early_end import cancelled, clean_ups, end_undone
from .errors import ClusterLost, PrefectDaskError, RunInterrupted
from .executors.base import Executor, GraphRun, HoldsResults, Reopens
from .flow_handlers import FlowHandlers, FlowStateHandler, TerminalStateHandler
from .graph import FlowGraph
from .held_slots import HeldSlots
from .intake import Intake
from .logs import get_logger
from .needless_results import NeedlessResults
from .node import RunPackage
from .outcome import flow_failed, flow_outcome, states_by_task
from .recovery import Recovery
from .result import ResultRules
from .slots import Slots
from .stall import StallWatch
from .stall_report import StallReport
from .state import Cancelled, Cancelling, Pending, Running, State
from .steering import Cancel, Steering
from .stream import Announcer, Listener, Observer, StateChange
from .telling import Teller
from .tolerance import Tolerance
from .widths import known_widths

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
        watch = StallWatch(stall_seconds)
        self.steering = steering or Steering()
        self._recovery, self._tolerance = recovery, tolerance or Tolerance()
        self._announcer = Announcer(listeners, self.logger)
        self._teller = Teller(
            self.info,
            graph,
            observer=self._observer,
            announcer=self._announcer,
            stall=watch,
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
        self._stalls = StallReport(
            self.info.flow_run_name,
            watch,
            teller=self._teller,
            slots=self._slots,
            where=self._intake.where,
            logger=self.logger,
        )
        #: Whether anybody wants to know what task runs come to.
        self._is_followed = observer is not None or self._announcer.is_wanted
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
                with MadeToLast():
                    self._look_for_limits()
                    graph_run = self._open()
                if isinstance(graph_run, HoldsResults):
                    self.book.runs.folded.result_of = graph_run.result_of
                self._observer.begin(self.info, self.graph)
                advancing = self._begin(graph_run)
                state = self._move(Running("Running flow."))
                if state.is_running():
                    state = self._move(self._advance_to_the_end(advancing))
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
        """Begin on the executor; on another cluster where the one that it had is lost meanwhile."""
        try:
            return self.executor.open(self._package())
        except ClusterLost as lost:
            graph_run = self._open_elsewhere(lost)
            if graph_run is None:
                raise
            return graph_run

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

    def _begin(self, graph_run: GraphRun) -> Advancing:
        """Go on in a graph run."""
        return Advancing(
            self.book,
            graph_run,
            steering=self.steering,
            intake=self._intake,
            slots=self._slots,
            stalls=self._stalls,
            observer=self._observer,
            followed_by=self._announcer if self._is_followed else None,
            may_resume=None if self._ask_to_resume is None else self._may_resume,
        )

    def _may_resume(self, index: int, map_index: int, state: State) -> bool:
        assert self._ask_to_resume is not None
        return self._ask_to_resume(self._teller.name(index, map_index), state)

    # ---- graph runs, one after the other

    def _advance_to_the_end(self, advancing: Advancing) -> State:
        """Advance until nothing is under way or due, on another cluster where the one before is lost."""
        again: Advancing | None = advancing
        error: Exception | None = None
        cancel: Cancel | None = None
        try:
            while again is not None:
                error, cancel = self._advance_as_far_as_possible(again)
                again = None
                if isinstance(error, ClusterLost):
                    if cancel is None:
                        again = self._go_on_elsewhere(error)
                    if again is None and self.steering.asked is not None:
                        # What ran went with the cluster, and nothing stands in the way of being cancelled.
                        error, cancel = None, self._take_cancel()
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
        self, advancing: Advancing
    ) -> tuple[Exception | None, Cancel | None]:
        """Advance in one graph run.

        Returns:
            What stood in the way, if anything did; and that it was cancelled, if it was.
        """
        error: Exception | None = None
        cancel: Cancel | None = None
        is_whole = False
        try:
            advancing.advance()
            cancel = self._take_cancel()
            if cancel is not None:
                advancing.let_end(cancel)
            is_whole = cancel is None
        except Exception as caught:
            error = caught
        finally:
            advancing.close(is_whole=is_whole)
        return error, cancel

    def _take_cancel(self) -> Cancel | None:
        """Whether somebody asked to cancel the run; what is asked from here on does not count."""
        cancel = self.steering.close()
        if cancel is not None and not isinstance(self._state, Cancelling):
            self._move(Cancelling(f"cancelling: {cancel.cause}"))
        return cancel

    def _go_on_elsewhere(self, lost: ClusterLost) -> Advancing | None:
        """Take the run up again on a cluster that took the place of a lost one; None where that is not possible."""
        if self._recovery is None:
            return None
        try:
            graph_run = self._open_elsewhere(lost)
            if graph_run is None:
                return None
            going_on = self._recovery.going_on(f"attempt lost: {failures.text_of(lost)}")
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
        advancing = self._begin(graph_run)
        self._teller.tell(list(going_on.changes))
        return advancing

    def _open_elsewhere(self, lost: ClusterLost) -> GraphRun | None:
        """Wait for a cluster that takes the place of a lost one, and begin there; None where there can be none.

        Raises:
            PrefectDaskError: There was none within the time.
        """
        seconds = self._tolerance.reconnect_seconds
        self._losses += 1
        if self._losses > self._tolerance.lost_clusters or not isinstance(self.executor, Reopens):
            return None
        self.logger.warning(
            "flow run %r: %s; it goes on when there is one within %g s",
            self.info.flow_run_name,
            failures.text_of(lost),
            seconds,
        )
        return self.executor.reopen(self._package(), seconds, lambda: self.steering.asked is None)

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
        advancing: Advancing | None = None
        is_whole = False
        try:
            advancing = self._begin(self.executor.open(self._package()))
            advancing.advance()
            is_whole = True
        except Exception:
            # The place may be gone; the run is cancelled all the same.
            self.logger.exception("flow run %r: not all was cleaned up", self.info.flow_run_name)
        finally:
            if advancing is not None:
                advancing.close(is_whole=is_whole)

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
