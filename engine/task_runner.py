"""One task at its place in a flow, and one execution of it as a column of checks.

Each check takes the run a step further or ends it. Nothing here knows where it runs: states go out through a
callable, and what cannot finish now (a retry, a pause) is a state that is returned, never a wait.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NoReturn

from . import clock, failures, secrets, signals
from .body import Body, remember_secrets
from .child import ChildDied, ChildTimeout
from .context import RunInfo, TaskFrame, context
from .errors import NotMappable, ProcessDied, TaskTimeout
from .graph import Edge, Node, View
from .keeping import Keeper, Kept, clash_in, copy_of_cached, is_still_good, names_of
from .logs import get_logger
from .result import Facts, StoreFailed, TargetsClash, fill
from .retry import retry_delay_seconds
from .signals import ENDRUN, PrefectStateSignal
from .state import (
    Cached,
    Crashed,
    Failed,
    Looped,
    Mapped,
    MetaState,
    Pending,
    Resume,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    Success,
    TimedOut,
    TriggerFailed,
)
from .stream import LOCATION, NodeId, Report, StateChange, without_result
from .timeouts import BodyStopped, BodyTimeout
from .widths import Pick, flat_pick, has_result, width_of


class TaskRunner:
    """Runs one task of a flow, as often as it is asked to.

    Args:
        node: The task and its constants.
        edges: The edges that point to it.
        run: The facts of the flow run.
        mapped_above: Indices of those of the tasks above that are mapped themselves.
    """

    __slots__ = (
        "is_mapped",
        "keeper",
        "looks",
        "mapped_above",
        "node",
        "run_info",
        "secret_keys",
        "tags",
        "views",
    )

    def __init__(
        self,
        node: Node,
        edges: Sequence[Edge],
        run: RunInfo,
        mapped_above: frozenset[int] = frozenset(),
    ) -> None:
        self.node, self.run_info = node, run
        #: What `run` wants to see of the tasks above, in that order.
        self.views = tuple(dict.fromkeys(View.of(edge) for edge in edges))
        #: Each edge, and which of the views it looks through.
        numbers = {view: number for number, view in enumerate(self.views)}
        self.looks = tuple((edge, numbers[View.of(edge)]) for edge in edges)
        self.is_mapped = any(edge.mapped for edge in edges)
        self.mapped_above = mapped_above
        self.tags = sorted(node.label.tags)
        # A secret is kept nowhere, whatever the flow or the configuration say of results.
        self.keeper = None if node.label.is_secret else Keeper.of(node.task, run.results)
        #: Arguments whose values nobody else may see.
        self.secret_keys = tuple(
            edge.key for edge in edges if edge.key is not None and edge.upstream_task.is_secret
        )

    def run(
        self,
        node_id: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        report: Report,
        *,
        picks: Sequence[Pick] | None = None,
        leaves_process: bool = False,
        worker: str = "",
    ) -> State:
        """Take one run of the task from `start` as far as it can go now.

        Args:
            node_id: Which execution this is.
            start: The state to go on from; None for a first attempt.
            as_of: The moment for which a scheduled start counts as reached, seconds since the epoch.
            upstream: The states of `self.views`, in that order.
            report: Is told each change of state.
            picks: Which item of each of these results it takes, for a child of a map.
            leaves_process: Whether the result must be able to travel to another process.
            worker: Where this runs, for the records.

        Returns:
            The last state that was reported, or `start` where nothing could be done.

        Raises:
            KeyboardInterrupt: Ctrl-C while the body ran in this thread.
        """
        attempt = Attempt(
            self, node_id, start, as_of, upstream, picks, report, leaves_process, worker
        )
        return attempt.run()


class Attempt:
    """One execution of a task run: what the checks know and change."""

    __slots__ = (
        "_held",
        "as_of",
        "frame",
        "inputs",
        "kept",
        "leaves_process",
        "node_id",
        "picks",
        "report",
        "run_count",
        "runner",
        "state",
        "task",
        "upstream",
        "worker",
    )

    def __init__(
        self,
        runner: TaskRunner,
        node_id: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        picks: Sequence[Pick] | None,
        report: Report,
        leaves_process: bool,
        worker: str,
    ) -> None:
        self.runner, self.task = runner, runner.node.task
        self.node_id, self.as_of, self.worker = node_id, as_of, worker
        self.report, self.leaves_process = report, leaves_process
        self.state: State = start if start is not None else Pending()
        self.upstream, self.picks = upstream, picks
        self.run_count = 1
        self.inputs: dict[str, Any] = {}
        self.frame = TaskFrame(runner.run_info, runner.node, node_id[1], {})
        self.kept: Kept | None = None
        self._held: StateChange | None = None

    # ---- the column

    def run(self) -> State:
        """Take the run as far as it can go now."""
        # The uppermost takes what the body sets; what the caller passed wins over the rest.
        context.push_frames(self.frame, self.runner.run_info.caller, {})
        try:
            self.unwrap_meta_state()
            self.check_own_state()
            self.check_start_time()
            self.check_upstream_finished()
            self.check_upstream_skipped()
            self.expand_if_mapped()
            self.gather_inputs()
            remember_secrets(self.runner.run_info, self.inputs, self.runner.secret_keys)
            self.name_run()
            self.check_trigger()
            self.use_kept_result()
            self.run_body_until_done()
        except _Stop:
            pass
        except ENDRUN as end:
            self._move_unasked(end.state)
        finally:
            if self.kept is not None:
                self.kept.close()
            context.pop_frames(3)
            self._send_held(is_over=True)
        return self.state

    def unwrap_meta_state(self) -> None:
        """Go on from what a Queued or Submitted state was put around."""
        while isinstance(self.state, MetaState):
            self.state = self.state.state or Pending()
        if isinstance(self.state, Retrying):
            self.run_count = self.state.run_count + 1
        elif isinstance(self.state, Resume):
            self.frame["resume"] = True
        loop = self.state.context.get("task_loop_count") if self.state._context else None
        if loop is not None:
            self.frame["task_loop_count"] = loop
            self.frame["task_loop_result"] = self.state.context.get("task_loop_result")
        self.frame["task_run_count"] = self.run_count

    def check_own_state(self) -> None:
        """Only what is Pending, Mapped or Cached is taken up."""
        if not isinstance(self.state, (Pending, Mapped, Cached)):
            raise _Stop

    def check_start_time(self) -> None:
        """What is not due yet waits, and holds nothing while it does."""
        # `Resume` was told to go on, whatever its time. A later execution was handed over because its time had
        # come; the state it goes on from may have been made anew since, by Dask, after its worker died.
        if (
            self.node_id[2] == 1
            and isinstance(self.state, Scheduled)
            and not isinstance(self.state, Resume)
            and clock.to_seconds(self.state.start_time) > self.as_of
        ):
            raise _Stop

    def check_upstream_finished(self) -> None:
        """Nothing is decided, not even by the trigger, before all upstream states are final."""
        is_parent = self.runner.is_mapped and self.node_id[1] < 0
        for state in self.upstream:
            if not state.is_finished() or state.is_looped():
                raise _Stop
            if (
                isinstance(state, Mapped)
                and not is_parent
                and not all(
                    child.is_finished() and not child.is_looped() for child in state.map_states
                )
            ):
                raise _Stop

    def check_upstream_skipped(self) -> None:
        """A skip passes down, unless the task says otherwise."""
        if self.task.skip_on_upstream_skip and any(
            isinstance(each, Skipped)
            for state in self.upstream
            for each in (state.map_states if isinstance(state, Mapped) else (state,))
        ):
            self.move(
                Skipped(
                    "an upstream task was skipped; set skip_on_upstream_skip=False on this task to run it "
                    "all the same"
                )
            )
            raise _Stop

    def expand_if_mapped(self) -> None:
        """A mapped task becomes Mapped, with as many children as its shortest mapped input has items."""
        if not self.runner.is_mapped or self.node_id[1] >= 0:
            return
        widths: dict[str, int] = {}
        lengths: dict[int, list[int]] = {}
        for edge, number in self.runner.looks:
            if edge.mapped:
                name = edge.key or edge.upstream_task.name
                try:
                    widths[name], each = width_of(
                        self.runner.node.label.name, edge, self.upstream[number]
                    )
                except NotMappable as error:
                    self.fail_for_good(error, str(error))
                if each is not None:
                    lengths[number] = each
        width = min(widths.values())
        if width != max(widths.values()):
            context.logger.warning(
                "task %r is mapped over inputs of different lengths (%s): the shortest counts, the rest is "
                "left out",
                self.frame.full_name,
                ", ".join(f"{name!r}: {each}" for name, each in widths.items()),
            )
        self.check_targets_differ(width, lengths)
        state = Mapped("Preparing children.")
        state.width, state.lengths = width, lengths
        self.move(state)
        raise _Stop

    def check_targets_differ(self, width: int, lengths: Mapping[int, Sequence[int]]) -> None:
        """Two children must not have one target: each would take the other's result for its own.

        Where a target depends on what a mapped task above has not made yet, nobody can tell.
        """
        keeper = self.runner.keeper
        if keeper is None or keeper.target is None or width < 2:
            return
        target = keeper.target
        unknown = {
            edge.key
            for edge, number in self.runner.looks
            if edge.mapped and isinstance(self.upstream[number], Mapped)
        }
        named = names_of(target)
        if unknown and (named is None or not unknown.isdisjoint(named)):
            return
        try:
            clash = clash_in(
                fill(target, self._facts_of_child(child, unknown, lengths))
                for child in range(width)
            )
        except Exception:  # each child finds the fault by itself, and tells it as its own
            return
        if clash is not None:
            error = TargetsClash(self.runner.node.label.name, *clash)
            self.fail_for_good(error, str(error))

    def _facts_of_child(
        self, child: int, unknown: set[str | None], lengths: Mapping[int, Sequence[int]]
    ) -> Mapping[str, Any]:
        inputs: dict[str, Any] = dict(self.runner.node.constants)
        for edge, number in self.runner.looks:
            if edge.key is None or edge.key in unknown:
                continue
            value = self.upstream[number].result
            if edge.mapped and edge.flattened:
                outer, inner = flat_pick(list(accumulate(lengths[number])), child)
                value = value[outer][inner]
            elif edge.mapped:
                value = value[child]
            inputs[edge.key] = value
        frame = TaskFrame(self.runner.run_info, self.runner.node, child, {})
        return Facts(inputs, frame, context, self.runner.run_info.parameters)

    def gather_inputs(self) -> None:
        """The arguments of the body: constants, and the results of the edges with a key."""
        self.inputs = dict(self.runner.node.constants)
        picks = self.picks
        for edge, number in self.runner.looks:
            if edge.key is not None:
                state = self.upstream[number]
                pick = picks[number] if picks is not None else None
                if pick is None:
                    self.inputs[edge.key] = state.result
                elif isinstance(pick, int):
                    self.inputs[edge.key] = state.result[pick]
                else:
                    self.inputs[edge.key] = self._flat_item(edge, state, pick)

    def _flat_item(self, edge: Edge, state: State, pick: tuple[int, int]) -> Any:
        outer, inner = pick
        if edge.upstream_task.index in self.runner.mapped_above:
            # The state is that of the child which made the list.
            return state.result[inner] if has_result(state) else state.result
        return state.result[outer][inner]

    def name_run(self) -> None:
        """A name made from a template or by a function, where the task has one."""
        name = self.task.task_run_name
        if name is None:
            return
        facts = {**context.to_dict(), **self.inputs}
        try:
            self.frame["task_run_name"] = (
                name.format(**facts) if isinstance(name, str) else name(**facts)
            )
        except Exception as error:  # the user's template or function
            self.fail_for_good(error, f"its task_run_name failed: {failures.text_of(error)}")

    def check_trigger(self) -> None:
        """Ask the task's trigger whether it runs."""
        states = {edge: self.upstream[view] for edge, view in self.runner.looks}
        try:
            if not self.task.trigger(states):
                raise signals.TRIGGERFAIL(
                    f"{self.runner.node.label.name!r} did not run: its trigger was not satisfied by the "
                    f"upstream states"
                )
        except PrefectStateSignal as signal:
            self.move(signal.state)
            raise _Stop from None
        except Exception as error:  # the user's trigger
            why = f"its trigger failed: {failures.text_of(error)}"
            self.move(TriggerFailed(why, result=self._portable(error)))
            raise _Stop from None

    def use_kept_result(self) -> None:
        """Take an earlier result instead of running the body: a given one, the target's, the cache's.

        Asked after the trigger, which can only make it needless: a task that must not run opens no store.
        """
        keeper = self.runner.keeper
        if keeper is None and not isinstance(self.state, Cached):
            return
        parameters = self.runner.run_info.parameters
        is_child = self.node_id[1] >= 0
        found: Cached | None = None
        try:
            if isinstance(self.state, Cached) and is_still_good(
                self.state, self.task, self.inputs, parameters, is_child=is_child
            ):
                found = copy_of_cached(self.state)
            elif keeper is not None:
                self.kept = Kept(
                    keeper,
                    Facts(self.inputs, context, parameters),
                    self.inputs,
                    parameters,
                    name=self.frame.full_name,
                    is_child=is_child,
                    logger=context.logger,
                )
                found = self.kept.find()
        except StoreFailed as error:
            self._fail_and_plan_retry(error)
            raise _Stop from None
        except Exception as error:  # the user's location or validator
            self.fail_for_good(error, failures.text_of(error))
        if found is not None:
            self.move(found)
            raise _Stop

    def keep_result(self) -> None:
        """Write the result where it belongs, and into the cache."""
        if self.kept is None or type(self.state) is not Success:
            return
        try:
            location = self.kept.write(self.state.result)
        except Exception as error:  # the store, or the user's serializer
            self._fail_and_plan_retry(error)
            raise _Stop from None
        if location is not None:
            self.state.context[LOCATION] = location
        cached = self.kept.remember(self.state)
        if cached is not None:
            self.move(cached)

    def _fail_and_plan_retry(self, error: Exception) -> None:
        text = failures.text_of(error)
        context.logger.error("task %r failed: %s", self.frame.full_name, text)
        self.move(Failed(text, result=self._portable(error)))
        self.plan_retry()

    def run_body_until_done(self) -> None:
        """Run the body; in a loop, turn after turn."""
        while True:
            self.move(Running())
            if not isinstance(self.state, Running):
                raise _Stop  # a handler decided otherwise
            new = self.call_body()
            if self.runner.node.label.is_secret:
                secrets.remember(new._result)
            new = self.check_result_can_travel(new)
            self.move(new)
            self.keep_result()
            self.plan_retry()
            if not isinstance(self.state, Looped):
                return
            self.frame["task_loop_count"] = self.state.loop_count + 1
            self.frame["task_loop_result"] = self.state.result

    def call_body(self) -> State:
        """The state that the body's end means."""
        try:
            value = Body(
                self.runner.node,
                self.runner.run_info,
                self.frame,
                self.inputs,
                self.runner.secret_keys,
                self.worker,
            ).value()
        except PrefectStateSignal as signal:
            return self._state_of_signal(signal)
        except (BodyTimeout, ChildTimeout):
            error: BaseException = TaskTimeout(self.frame.full_name, self.task.timeout_seconds or 0)
            context.logger.error("%s", error)
            return TimedOut(str(error), result=error)
        except ChildDied as death:
            error = ProcessDied(self.frame.full_name, death.exit_code)
            context.logger.error("%s", error)
            return Crashed(str(error), result=error)
        except (ENDRUN, BodyStopped):
            raise
        except BaseException as error:  # the user's code; SystemExit too must end only this task
            if isinstance(error, KeyboardInterrupt) and self._is_in_callers_hands():
                raise
            text = failures.text_of(error)
            context.logger.error(
                "task %r failed: %s: %s\n%s",
                self.frame.full_name,
                type(error).__name__,
                text,
                failures.traceback_of(error),
            )
            return Failed(text, result=error)
        return Success("Task run succeeded.", result=value)

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

    def plan_retry(self) -> None:
        """A failed attempt is followed by another one where the task's retry rule says so."""
        task, state = self.task, self.state
        if not isinstance(state, Failed) or isinstance(state, TriggerFailed):
            return
        if self.run_count > task.max_retries:
            return
        if task.retry_on and not isinstance(state.result, task.retry_on):
            return
        try:
            seconds = retry_delay_seconds(task.retry_delay, task.retry_jitter, self.run_count)
        except Exception as error:  # the user's function
            self.fail_for_good(error, f"its retry_delay failed: {failures.text_of(error)}")
        # A retry inside a loop resumes at that turn.
        loop = {name: value for name, value in self.frame.items() if name.startswith("task_loop_")}
        self.move(
            Retrying(
                f"attempt {self.run_count} of {task.max_retries + 1} failed; the next starts in {seconds:g} s",
                result=state.result,
                start_time=clock.to_datetime(clock.now() + seconds),
                context=loop,
                run_count=self.run_count,
            )
        )

    # ---- moves

    def move(self, new: State) -> None:
        """Come to state `new`, or to the one that the state handlers make of it."""
        old = self.state
        task = self.task
        if task.state_handlers or task.on_failure is not None:
            new = self._ask_handlers(old, new)
        self._move_unasked(new)

    def fail_for_good(self, error: BaseException, message: str) -> NoReturn:
        """Failed, without a retry.

        Raises:
            _Stop: Always.
        """
        self.move(Failed(message, result=self._portable(error)))
        raise _Stop

    def _move_unasked(self, new: State) -> None:
        new.context.setdefault("tags", self.runner.tags)
        if secrets.are_known():
            new.message = new.message and secrets.masked(new.message)
            new.context = secrets.without(new.context)
        self.state = new
        self._send_held(is_over=False)
        # Of a turn of a loop nobody needs the result but the next one: told with it, each would be kept.
        told = without_result(new) if isinstance(new, Looped) else new
        change = StateChange(self.node_id, self.run_count, told, False, self.worker)
        if isinstance(new, (Running, Looped)):
            self.report(change)
        else:
            # Whether it is the last one is known when the next comes, or none.
            self._held = change

    def _send_held(self, *, is_over: bool) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.report(held._replace(is_over=True) if is_over else held)
        elif is_over:
            # Nothing could be done (or the last state was reported as it came): say that the node is over.
            self.report(StateChange(self.node_id, self.run_count, self.state, True, self.worker))

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
            return self._state_of_signal(signal)
        except ENDRUN:
            raise
        except Exception as error:  # the user's handler
            get_logger(task.name).exception(
                "a state handler of task %r failed", self.frame.full_name
            )
            raise ENDRUN(
                Failed(
                    f"a state handler failed: {failures.text_of(error)}",
                    result=self._portable(error),
                )
            ) from error
        return new

    def _portable(self, error: BaseException) -> BaseException:
        error = self._without_secrets(error)
        return failures.portable_exception(error) if self.leaves_process else error

    def _without_secrets(self, error: BaseException) -> BaseException:
        if isinstance(error, PrefectStateSignal):  # what it asks for stays as it was asked
            error.args = secrets.without(error.args)
            return error
        return failures.without_secrets(error)

    def _state_of_signal(self, signal: PrefectStateSignal) -> State:
        state = signal.state
        if isinstance(state, Looped):
            state.loop_count = self.frame["task_loop_count"]
        elif isinstance(state, Retrying):
            state.run_count = self.run_count
        return state

    def _is_in_callers_hands(self) -> bool:
        """Whether Ctrl-C means the whole run: it reaches the main thread of the coordinating process."""
        return not self.leaves_process and threading.current_thread() is threading.main_thread()


def name_of(function: Any) -> str:
    """A function's name; its repr has an address in it, which differs from process to process."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


class _Stop(Exception):
    """The run can go no further now; its state says why."""
