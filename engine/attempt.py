"""One execution of a task run: a column of checks.

Each check takes the run a step further or ends it. Nothing here knows where it runs: states go out through a
callable, and what cannot finish now (a retry, a pause) is a state that is returned, never a wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import Any

from . import clock, failures, secrets, signals
from .body import Body
from .child import ChildDied, ChildTimeout
from .context import TaskFrame, context
from .durable import Storing
from .errors import NotMappable, ProcessDied, TaskTimeout
from .finish_log import Finish
from .graph import Take
from .keeping import Kept, clash_in, copy_of_cached, is_still_good, names_of
from .moves import Moves, Stop
from .prepared import PreparedTask
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
from .stream import LOCATION, NodeId, Report, details_of, known_kind
from .timeouts import BodyStopped, BodyTimeout
from .widths import Pick, flat_pick, width_of

#: The message of a state whose body returned.
SUCCEEDED = "Task run succeeded."


class Attempt(Moves):
    """One execution of a task run: what the checks know and change.

    Args:
        prepared: The task at its place in the flow.
        node_id: Which execution this is.
        start: The state to go on from; None for a first attempt.
        as_of: The moment for which a scheduled start counts as reached, seconds since the epoch.
        upstream: The states of `prepared.views`, in that order.
        picks: Which item of each of these results it takes, for a child of a map.
        report: Is told each change of state.
        leaves_process: Whether the result must be able to travel to another process.
        worker: Where this runs, for the records.
    """

    __slots__ = (
        "as_of",
        "inputs",
        "kept",
        "picks",
        "prepared",
        "upstream",
    )

    def __init__(
        self,
        prepared: PreparedTask,
        node_id: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        picks: Sequence[Pick] | None,
        report: Report,
        leaves_process: bool,
        worker: str,
    ) -> None:
        frame = TaskFrame(prepared.run_info, prepared.node, node_id[1])
        super().__init__(
            prepared.node.task,
            prepared.tags,
            node_id,
            start,
            frame,
            report,
            leaves_process=leaves_process,
            worker=worker,
        )
        self.prepared, self.as_of = prepared, as_of
        self.upstream, self.picks = upstream, picks
        self.inputs: dict[str, Any] = {}
        self.kept: Kept | None = None

    # ---- the column

    def run(self) -> State:
        """Take the run as far as it can go now."""
        # The uppermost takes what the body sets; what the caller passed wins over the rest.
        context.push_frames(self.frame, self.prepared.run_info.caller, {})
        try:
            return self._take(self.column)
        finally:
            context.pop_frames(3)

    def run_on(
        self, frame: TaskFrame, inputs: dict[str, Any], began: float, came_to: State | BaseException
    ) -> State:
        """The same for a run whose body was called already, within this frame.

        Args:
            frame: What it could ask of its context.
            inputs: Its arguments.
            began: When it was called, seconds since the epoch.
            came_to: What it raised, or the state that its end means.
        """
        self.frame, self.inputs = frame, inputs
        self.begin_at(began)
        return self._take(partial(self.column_below_body, came_to))

    def _take(self, column: Callable[[], None]) -> State:
        try:
            column()
        except Stop:
            pass
        except ENDRUN as end:
            self.move_unasked(end.state)
        except BaseException:
            # Stopped from outside, such as by a worker that leaves: it did not come to its end, whatever it had
            # come to, and who stopped it sees to what follows.
            self.give_up()
            raise
        finally:
            if self.kept is not None:
                self.kept.close()
        self.send_held(is_over=True)
        return self.state

    def column(self) -> None:
        """All that is to be seen to, from top to bottom; a check that ends the run raises Stop."""
        self.unwrap_meta_state()
        self.check_own_state()
        self.check_start_time()
        self.check_upstream_finished()
        self.check_upstream_skipped()
        self.expand_if_mapped()
        self.gather_inputs()
        self.prepared.remember_secrets(self.inputs)
        self.name_run()
        self.check_trigger()
        self.use_kept_result()
        self.run_body_until_done()

    def column_below_body(self, came_to: State | BaseException) -> None:
        """What follows when the body was called."""
        self.take_end_of_body(
            self.state_after(came_to) if isinstance(came_to, BaseException) else came_to
        )
        if isinstance(self.state, Looped) and not self.frame.is_cancelled:
            self.run_body_until_done()

    # ---- the checks

    def unwrap_meta_state(self) -> None:
        """Go on from what a Queued or Submitted state was put around."""
        while isinstance(self.state, MetaState):
            self.state = self.state.state or Pending()
        if isinstance(self.state, Retrying):
            self.run_count = self.state.run_count + 1
        elif self.state._context:
            # An attempt that was lost with the process is made again under its number.
            self.run_count = self.state.context.get("task_run_count", 1)
        if isinstance(self.state, Resume):
            self.frame["resume"] = True
        loop = self.state.context.get("task_loop_count") if self.state._context else None
        if loop is not None:
            self.frame["task_loop_count"] = loop
            self.frame["task_loop_result"] = self.state.context.get("task_loop_result")
        self.frame["task_run_count"] = self.run_count

    def check_own_state(self) -> None:
        """Only what is Pending, Mapped or Cached is taken up."""
        if not isinstance(self.state, (Pending, Mapped, Cached)):
            raise Stop

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
            raise Stop

    def check_upstream_finished(self) -> None:
        """Nothing is decided, not even by the trigger, before all upstream states are final."""
        for view, state in zip(self.prepared.views, self.upstream, strict=True):
            if not state.is_finished() or state.is_looped():
                raise Stop
            # Of a map above, the parent of another one looks at the children where it counts what their lists hold.
            if (
                isinstance(state, Mapped)
                and (not self._is_parent() or view.take is Take.FLAT)
                and not all(
                    child.is_finished() and not child.is_looped() for child in state.map_states
                )
            ):
                raise Stop

    def _is_parent(self) -> bool:
        """Whether it is a mapped task itself, and no child of it."""
        return self.prepared.is_mapped and self.node_id[1] < 0

    def check_upstream_skipped(self) -> None:
        """A skip passes down, unless the task says otherwise."""
        # Of a map above, a parent's own children look at those that they have to do with.
        if self.task.skip_on_upstream_skip and any(
            isinstance(each, Skipped)
            for state in self.upstream
            for each in (
                state.map_states
                if isinstance(state, Mapped) and not self._is_parent()
                else (state,)
            )
        ):
            self.move(
                Skipped(
                    "an upstream task was skipped; set skip_on_upstream_skip=False on this task to run it "
                    "all the same"
                )
            )
            raise Stop

    def expand_if_mapped(self) -> None:
        """A mapped task becomes Mapped, with as many children as its shortest mapped input has items."""
        if not self.prepared.is_mapped or self.node_id[1] >= 0:
            return
        widths: dict[str, int] = {}
        lengths: dict[int, list[int]] = {}
        for edge, number in self.prepared.looks:
            if edge.mapped:
                name = edge.key or edge.upstream_task.name
                try:
                    widths[name], each = width_of(
                        self.prepared.node.label.name, edge, self.upstream[number]
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
        self._note_layout()
        raise Stop

    def _note_layout(self) -> None:
        """Note how a map is laid out, before any child is: else nobody knew whose ends these note."""
        storing, state = self.prepared.storing, self.state
        if storing is not None and storing.must_store and isinstance(state, Mapped):
            try:
                self._note_finish(storing, None)
            except StoreFailed as error:
                self.fail_for_good(error, str(error))

    def check_targets_differ(self, width: int, lengths: Mapping[int, Sequence[int]]) -> None:
        """Two children must not have one target: each would take the other's result for its own.

        Where a target depends on what a mapped task above has not made yet, nobody can tell.
        """
        keeper = self.prepared.keeper
        if keeper is None or keeper.target is None or width < 2:
            return
        target = keeper.target
        unknown = {
            edge.key
            for edge, number in self.prepared.looks
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
            error = TargetsClash(self.prepared.node.label.name, *clash)
            self.fail_for_good(error, str(error))

    def _facts_of_child(
        self, child: int, unknown: set[str | None], lengths: Mapping[int, Sequence[int]]
    ) -> Mapping[str, Any]:
        inputs: dict[str, Any] = dict(self.prepared.node.constants)
        for edge, number in self.prepared.looks:
            if edge.key is None or edge.key in unknown:
                continue
            value = self.upstream[number].result
            if edge.mapped and edge.flattened:
                outer, inner = flat_pick(list(accumulate(lengths[number])), child)
                value = value[outer][inner]
            elif edge.mapped:
                value = value[child]
            inputs[edge.key] = value
        frame = TaskFrame(self.prepared.run_info, self.prepared.node, child, {})
        return Facts(inputs, frame, context, self.prepared.run_info.parameters)

    def gather_inputs(self) -> None:
        """The arguments of the body."""
        self.inputs = self.prepared.inputs_of(self.upstream, self.picks)

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
        states = {edge: self.upstream[view] for edge, view in self.prepared.looks}
        try:
            if not self.task.trigger(states):
                raise signals.TRIGGERFAIL(
                    f"{self.prepared.node.label.name!r} did not run: its trigger was not satisfied by the "
                    f"upstream states"
                )
        except PrefectStateSignal as signal:
            self.move(signal.state)
            raise Stop from None
        except Exception as error:  # the user's trigger
            why = f"its trigger failed: {failures.text_of(error)}"
            self.move(TriggerFailed(why, result=self.portable(error)))
            raise Stop from None

    def use_kept_result(self) -> None:
        """Take an earlier result instead of running the body: a given one, the target's, the cache's.

        Asked after the trigger, which can only make it needless: a task that must not run opens no store.
        """
        keeper = self.prepared.keeper
        if keeper is None and not isinstance(self.state, Cached):
            return
        parameters = self.prepared.run_info.parameters
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
            raise Stop from None
        except Exception as error:  # the user's location or validator
            self.fail_for_good(error, failures.text_of(error))
        if found is not None:
            self.move(found)
            self.store_result()
            raise Stop

    def keep_result(self) -> None:
        """Write the result where it belongs, and into the cache."""
        if self.kept is None or type(self.state) is not Success:
            return
        try:
            location = self.kept.write(self.state.result)
        except Exception as error:  # the store, or the user's serializer
            self._fail_and_plan_retry(error)
            raise Stop from None
        if location is not None:
            self.state.context[LOCATION] = location
        cached = self.kept.remember(self.state)
        if cached is not None:
            self.move(cached)

    def store_result(self) -> None:
        """Keep the result so that the run can be taken up again, unless it was written anyway."""
        storing, state = self.prepared.storing, self.state
        if storing is None or not isinstance(state, (Success, Looped)) or isinstance(state, Mapped):
            return
        if isinstance(state, Cached):
            if LOCATION not in state.context:
                # A large one lies in the cache, or in its target.
                self.tell_stored(storing.small(state.result))
            return
        try:
            self._store(storing)
        except StoreFailed as error:
            self._fail_and_plan_retry(error)
            raise Stop from None

    def store_failure(self) -> None:
        """Keep what a task that failed for good leaves to those below, as far as that can be done."""
        storing = self.prepared.storing
        if storing is not None and isinstance(self.state, Failed):
            with suppress(StoreFailed):
                self._store(storing)

    def _store(self, storing: Storing) -> None:
        state, (_, map_index, _) = self.state, self.node_id
        slug, run_id = self.prepared.node.label.slug, self.prepared.run_info.flow_run_id
        stored: bytes | str | None = state.context.get(LOCATION) if state._context else None
        if stored is None:
            stored = storing.store(state.result, run_id, slug, map_index)
            self.tell_stored(stored)
        if storing.must_store and not isinstance(state, Looped):
            self._note_finish(storing, stored)

    def _note_finish(self, storing: Storing, stored: bytes | str | None) -> None:
        state, (_, map_index, _) = self.state, self.node_id
        slug, run_id = self.prepared.node.label.slug, self.prepared.run_info.flow_run_id
        facts = (self.run_count, known_kind(state), state.message, state._time, stored)
        details = details_of(state) if isinstance(state, Mapped) else {}
        storing.note(run_id, Finish(slug, map_index, *facts, details))

    def _fail_and_plan_retry(self, error: Exception) -> None:
        text = failures.text_of(error)
        context.logger.error("task %r failed: %s", self.frame.full_name, text)
        self.move(Failed(text, result=self.portable(error)))
        self.plan_retry()

    def run_body_until_done(self) -> None:
        """Run the body; in a loop, turn after turn."""
        while True:
            self.move(Running())
            if not isinstance(self.state, Running):
                raise Stop  # a handler decided otherwise
            self.take_end_of_body(self.call_body())
            if not isinstance(self.state, Looped) or self.frame.is_cancelled:
                return

    def take_end_of_body(self, new: State) -> None:
        """Come to the state that the end of the body means, and to what follows from it."""
        if self.prepared.node.label.is_secret:
            secrets.remember(new._result)
        self.move(self.check_result_can_travel(new))
        self.keep_result()
        self.store_result()
        self.plan_retry()
        self.store_failure()
        if isinstance(self.state, Looped):
            self.frame["task_loop_count"] = self.state.loop_count + 1
            self.frame["task_loop_result"] = self.state.result

    def call_body(self) -> State:
        """The state that the body's end means."""
        try:
            value = Body(
                self.prepared.node,
                self.prepared.run_info,
                self.frame,
                self.inputs,
                self.prepared.secret_keys,
                self.worker,
            ).value()
        except BaseException as error:
            return self.state_after(error)
        return Success(SUCCEEDED, result=value)

    def state_after(self, error: BaseException) -> State:
        """The state that an exception from the body means; raises it where it is not the task's."""
        if isinstance(error, PrefectStateSignal):
            return self.state_of_signal(error)
        if isinstance(error, (BodyTimeout, ChildTimeout)):
            late = TaskTimeout(self.frame.full_name, self.task.timeout_seconds or 0)
            context.logger.error("%s", late)
            return TimedOut(str(late), result=late)
        if isinstance(error, ChildDied):
            died = ProcessDied(self.frame.full_name, error.exit_code)
            context.logger.error("%s", died)
            return Crashed(str(died), result=died)
        if isinstance(error, (ENDRUN, BodyStopped)):
            raise error
        # The user's code; SystemExit too must end only this task.
        if isinstance(error, KeyboardInterrupt) and self._is_in_callers_hands():
            raise error
        context.logger.error(
            "task %r failed: %s\n%s",
            self.frame.full_name,
            failures.type_and_text_of(error),
            failures.traceback_of(error),
        )
        return Failed(failures.text_of(error), result=error)

    def _is_in_callers_hands(self) -> bool:
        """Whether Ctrl-C means the whole run: it reaches the main thread of the coordinating process."""
        return not self.leaves_process and threading.current_thread() is threading.main_thread()

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
