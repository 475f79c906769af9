"""How far a recorded flow run is, wherever it runs: what the ledger tells, counted as what a run itself tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from prefect_dask.engine import clock
from prefect_dask.engine.state import STATES, Pending, State, Success
from prefect_dask.engine.stream import StateChange, bare_state
from prefect_dask.ledger.facts import RecordedFlowRun, RecordedLine, RecordedState
from prefect_dask.ledger.leases import is_final
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.packed import GOES_ON
from prefect_dask.pictures.outline import Outline
from prefect_dask.progress.counting import RATE_SECONDS, Counts, TaskProgress
from prefect_dask.progress.watch import FlowProgress, Watch
from prefect_dask.resumption import TaskRun


class RecordedProgress:
    """Has a watch see what is recorded of a run, look by look.

    Args:
        ledger: Where it is recorded.
        run: The run.
        watch: Counts, and may draw.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> with Flow("doubles") as flow:
        ...     _ = double.map([1, 2, 3])
        >>> ledger, watch = Ledger(":memory:"), Watch()
        >>> _ = flow.run(ledger=ledger)
        >>> RecordedProgress(ledger, ledger.flow_runs()[0], watch).look()
        True
        >>> now = watch.look()
        >>> now.state, [(each.name, each.states) for each in now.tasks if each.is_mapped]
        ('Success', [('double', {'Success': 3})])
    """

    def __init__(self, ledger: Ledger, run: RecordedFlowRun, watch: Watch) -> None:
        self._ledger, self._run_id, self._watch = ledger, run.run_id, watch
        outline = Outline.of_record(ledger.flow(run.run_id))
        self._counts = Counts([task.is_mapped for task in outline.tasks], outline.tasks.__getitem__)
        self._after, self._after_line = -1, -1
        #: Which task runs are over with a result, to notice where it is lost and they run again.
        self._succeeded: set[TaskRun] = set()
        #: Per task, when it was first and last heard of, seconds since the epoch.
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        #: Per task, when of late its task runs ended.
        self._ends: dict[int, deque[float]] = {}
        begun = _on_steady_clock(clock.to_seconds(run.begun))
        names = run.flow_name, run.run_id, run.name
        watch.begin_with(self._counts, lambda: outline, *names, begun=begun)

    def look(self) -> bool:
        """Take what came since the last look, at first what each task run came to; whether there was anything."""
        states = self._ledger.states(self._run_id, after=self._after)
        if not states:
            return False
        is_first = self._after < 0
        self._after = states[-1].number
        self._note_times(states)
        if is_first:
            # What was logged before is in the ledger for who wants it.
            self._after_line = self._after
            states = list({(state.task, state.map_index): state for state in states}.values())
        for state in states:
            if state.task < 0:
                at = _on_steady_clock(clock.to_seconds(state.time))
                self._watch.take_flow_state(_state_of(state), at)
        self._watch.take_changes(list(self._changes(states)))
        return True

    def timed(self, progress: FlowProgress) -> FlowProgress:
        """What the watch says, with the times of the record: tasks began, most often, before somebody looked."""
        return replace(progress, tasks=tuple(self._timed(each) for each in progress.tasks))

    def lines(self) -> list[RecordedLine]:
        """What was logged since the first look, or since this was asked last."""
        lines = self._ledger.logs(self._run_id, after=self._after_line)
        if lines:
            self._after_line = lines[-1].number
        return lines

    def _note_times(self, states: Iterable[RecordedState]) -> None:
        for told in states:
            if told.task < 0:
                continue
            time = clock.to_seconds(told.time)
            self._first.setdefault(told.task, time)
            self._last[told.task] = max(time, self._last.get(told.task, time))
            if is_final(STATES[told.state]):
                self._ends.setdefault(told.task, deque(maxlen=10_000)).append(time)

    def _timed(self, task: TaskProgress) -> TaskProgress:
        begun = self._first.get(task.index)
        if begun is None:
            return task
        ended = None if task.ended is None else self._last[task.index]
        rate = None
        if task.is_mapped:
            now = clock.now()
            since = begun if ended is not None else max(begun, now - RATE_SECONDS)
            seconds = (ended or now) - since
            ends = self._ends.get(task.index, ())
            count = task.done if ended is not None else sum(end > since for end in ends)
            rate = count / seconds if seconds > 0 and count else None
        return replace(
            task,
            begun=_on_steady_clock(begun),
            ended=None if ended is None else _on_steady_clock(ended),
            rate=rate,
        )

    def _changes(self, states: Iterable[RecordedState]) -> Iterable[StateChange]:
        for each in states:
            if each.task < 0:
                continue
            task_run, kind = (each.task, each.map_index), STATES[each.state]
            if kind is Pending and task_run in self._succeeded:
                self._succeeded.remove(task_run)
                self._counts.take_back(each.task)
            elif kind is Success:
                self._succeeded.add(task_run)
            state = _state_of(each)
            is_over = is_final(kind) and not each.details.get(GOES_ON)
            yield StateChange((*task_run, 0), each.attempt, state, is_over, each.worker)


def _state_of(recorded: RecordedState) -> State:
    time, details = clock.to_seconds(recorded.time), dict(recorded.details)
    return bare_state(recorded.state, recorded.message, time, details)


def _on_steady_clock(time: float) -> float:
    """A moment in seconds since the epoch, on the clock that does not go back."""
    return clock.monotonic() - (clock.now() - time)
