"""How one execution of a task run comes from state to state: handlers, secrets, what can travel, what is told."""

from __future__ import annotations

from typing import Any, NoReturn

from . import failures, secrets
from .context import TaskFrame
from .durable import Stored
from .graph import TaskLike
from .logs import get_logger
from .signals import ENDRUN, PrefectStateSignal
from .state import Failed, Looped, Pending, Retrying, Running, State, state_at
from .stream import NodeId, Report, StateChange, without_result


class Moves:
    """The state of one execution, and each way to another one.

    Args:
        task: The task.
        tags: Its tags, sorted.
        node_id: Which execution this is.
        start: The state to go on from; None for a first attempt.
        frame: What it may ask of its context.
        report: Is told each change of state.
        leaves_process: Whether the result must be able to travel to another process.
        worker: Where this runs, for the records.
    """

    __slots__ = (
        "_held",
        "_is_at_work",
        "frame",
        "leaves_process",
        "node_id",
        "report",
        "run_count",
        "state",
        "tags",
        "task",
        "worker",
    )

    def __init__(
        self,
        task: TaskLike,
        tags: tuple[str, ...],
        node_id: NodeId,
        start: State | None,
        frame: TaskFrame,
        report: Report,
        *,
        leaves_process: bool,
        worker: str,
    ) -> None:
        self.task, self.tags, self.node_id, self.frame = task, tags, node_id, frame
        self.report, self.leaves_process, self.worker = report, leaves_process, worker
        self.state: State = start if start is not None else Pending()
        self.run_count = 1
        self._held: StateChange | None = None
        self._is_at_work = False

    def begin_at(self, moment: float) -> None:
        """Be in Running since a moment that was noted already, seconds since the epoch."""
        self.state, self._is_at_work = state_at(Running, moment, tags=self.tags), True

    def check_result_can_travel(self, new: State) -> State:
        """A result or exception that cannot leave this process, where it has to, becomes one that tells so."""
        result = new._result
        if isinstance(result, BaseException) and isinstance(new, Failed):
            result = new.result = self._without_secrets(result)
        if not self.leaves_process:
            return new
        if isinstance(result, BaseException):
            new.result = failures.portable_exception(result)
            return new
        try:
            failures.check_portable(result, self.frame.full_name)
        except TypeError as error:
            return Failed(str(error), result=error)
        return new

    def move(self, new: State) -> None:
        """Come to state `new`, or to the one that the state handlers make of it."""
        old = self.state
        task = self.task
        if task.state_handlers or task.on_failure is not None:
            new = self._ask_handlers(old, new)
        self.move_unasked(new)

    def fail_for_good(self, error: BaseException, message: str) -> NoReturn:
        """Failed, without a retry.

        Raises:
            Stop: Always.
        """
        self.move(Failed(message, result=self.portable(error)))
        raise Stop

    def move_unasked(self, new: State) -> None:
        """Come to state `new`, whatever the handlers would say."""
        new.tag(self.tags)
        is_bare = type(new) is Running and not new.message and new._context is self.tags
        if secrets.are_known() and not is_bare:
            new.message = new.message and secrets.masked(new.message)
            new.context = secrets.without(new.context)
        self.state = new
        began = self._end_work()
        self.send_held(is_over=False)
        if is_bare:
            self._begin_work(new._time)
            return
        # Of a turn of a loop nobody needs the result but the next one: told with it, each would be kept.
        told = without_result(new) if isinstance(new, Looped) else new
        change = StateChange(self.node_id, self.run_count, told, False, self.worker, began)
        if isinstance(new, Running):
            self.report.tell(change)
            self._begin_work(None)
        else:
            # Whether it is the last one is known when the next comes, or none.
            self._held = change

    def _begin_work(self, untold_since: float | None) -> None:
        self.report.begin(self.node_id, self.run_count, untold_since)
        self._is_at_work = True

    def _end_work(self) -> float | None:
        """Since when the body ran, where that was not told by itself."""
        was_at_work, self._is_at_work = self._is_at_work, False
        return self.report.end(self.node_id) if was_at_work else None

    def send_held(self, *, is_over: bool) -> None:
        """Tell the last state; with `is_over`, that no other follows."""
        held, self._held = self._held, None
        if held is not None:
            self.report.tell(held._replace(is_over=True) if is_over else held)
        elif is_over:
            # Nothing could be done (or the last state was reported as it came): say that the node is over.
            self._end_work()
            self.report.tell(
                StateChange(self.node_id, self.run_count, self.state, True, self.worker)
            )

    def give_up(self) -> None:
        """Tell neither the state that is held back nor that the node is over; only that the body ran."""
        held, self._held = self._held, None
        began = self._end_work() if held is None else held.began
        if began is not None:
            running = state_at(Running, began, tags=self.tags)
            self.report.tell(StateChange(self.node_id, self.run_count, running, False, self.worker))

    def tell_stored(self, stored: Stored) -> None:
        """Have the last state told with what is kept of its result."""
        if self._held is not None:
            self._held = self._held._replace(stored=stored)

    def _ask_handlers(self, old: State, new: State) -> State:
        task = self.task
        try:
            for handler in task.state_handlers:
                answer = handler(task, old, new)
                if answer is None:
                    continue
                if not isinstance(answer, State):
                    raise TypeError(
                        f"the state handler {name_of(handler)!r} of task {task.name!r} returned a "
                        f"{type(answer).__name__}; return a State or None"
                    )
                new = self.check_result_can_travel(answer)
            if (
                task.on_failure is not None
                and isinstance(new, Failed)
                and not isinstance(old, Failed)
            ):
                task.on_failure(task, new)
        except PrefectStateSignal as signal:
            return self.state_of_signal(signal)
        except ENDRUN:
            raise
        except Exception as error:  # the user's handler
            get_logger(task.name).exception(
                "a state handler of task %r failed", self.frame.full_name
            )
            raise ENDRUN(
                Failed(
                    f"a state handler failed: {failures.text_of(error)}",
                    result=self.portable(error),
                )
            ) from error
        return new

    def portable(self, error: BaseException) -> BaseException:
        """An exception as it may be told: without secrets, and such that it can travel where it has to."""
        error = self._without_secrets(error)
        return failures.portable_exception(error) if self.leaves_process else error

    def _without_secrets(self, error: BaseException) -> BaseException:
        if isinstance(error, PrefectStateSignal):  # what it asks for stays as it was asked
            error.args = secrets.without(error.args)
            return error
        return failures.without_secrets(error)

    def state_of_signal(self, signal: PrefectStateSignal) -> State:
        """The state that a signal asks for."""
        state = signal.state
        if isinstance(state, Looped):
            state.loop_count = self.frame["task_loop_count"]
        elif isinstance(state, Retrying):
            state.run_count = self.run_count
        return state


def name_of(function: Any) -> str:
    """A function's name; its repr has an address in it, which differs from process to process."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


class Stop(Exception):
    """The run can go no further now; its state says why."""
