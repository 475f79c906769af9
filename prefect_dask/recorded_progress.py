"""What a recorded flow run is at: counted from its ledger as a run of this process is from what its tasks tell."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, cast

from prefect_dask.engine import clock
from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.stream import StateChange, bare_state
from prefect_dask.ledger.facts import RecordedFlow, RecordedState
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.progress.counting import RATE_SECONDS, Counts, Failure, TaskProgress
from prefect_dask.progress.watch import FlowProgress


class RecordedProgress:
    """Counts what a recorded run is at; each look reads what came since the one before.

    Args:
        ledger: Where the run is recorded.
        run_id: Its whole id.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> with Flow("doubles") as flow:
        ...     _ = double.map([1, 2, 3])
        >>> ledger = Ledger(":memory:")
        >>> _ = flow.run(ledger=ledger)
        >>> now = RecordedProgress(ledger, ledger.flow_runs()[0].run_id).look()
        >>> now.state, [(each.name, each.states) for each in now.tasks if each.is_mapped]
        ('Success', [('double', {'Success': 3})])
    """

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger, self._run_id = ledger, run_id
        self._counts = Counts(graph_of(ledger.flow(run_id)))
        self._after = -1
        #: Per task, when it was first and last heard of, seconds since the epoch.
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        #: Per task, when of late its task runs ended.
        self._ends: dict[int, deque[float]] = {}

    def look(self, most_tasks: int | None = None) -> FlowProgress:
        """What the run is at; `failures` are those that came since the look before.

        Args:
            most_tasks: Not more tasks than these; see `Counts.tasks`.
        """
        run = self._ledger.flow_run(self._run_id)
        failures = self._take(self._ledger.states(self._run_id, after=self._after))
        now = clock.now()
        states, done, known = self._counts.totals()
        end = now if run.ended is None else clock.to_seconds(run.ended)
        return FlowProgress(
            run.flow_name,
            run.run_id,
            run.name,
            run.state,
            run.message,
            states,
            done,
            known,
            tuple(self._timed(each, end) for each in self._counts.tasks(now, most_tasks)),
            self._counts.task_count,
            tuple(failures),
            max(0.0, end - clock.to_seconds(run.begun)),
            end,
        )

    def _take(self, states: list[RecordedState]) -> list[Failure]:
        changes = []
        for told in states:
            self._after = max(self._after, told.number)
            if told.task < 0:
                continue
            time = clock.to_seconds(told.time)
            self._first.setdefault(told.task, time)
            self._last[told.task] = max(time, self._last.get(told.task, time))
            state = bare_state(told.state, told.message, time, dict(told.details))
            if state.is_finished():
                self._ends.setdefault(told.task, deque(maxlen=10_000)).append(time)
            # Whether more follows of a task run nobody can say: what came to Success may be lost with its worker.
            changes.append(
                StateChange((told.task, told.map_index, 0), told.attempt, state, False, told.worker)
            )
        return self._counts.take(changes)

    def _timed(self, task: TaskProgress, now: float) -> TaskProgress:
        """The task with the times of its records: it began, most often, before somebody looked."""
        begun = self._first.get(task.index)
        if begun is None:
            return task
        ended = None if task.ended is None else self._last[task.index]
        rate = None
        if task.is_mapped:
            ends = self._ends.get(task.index, deque())
            since = begun if ended is not None else max(begun, now - RATE_SECONDS)
            seconds = (ended or now) - since
            count = task.done if ended is not None else sum(end > since for end in ends)
            rate = count / seconds if seconds > 0 and count else None
        return replace(task, begun=begun, ended=ended, rate=rate)


def graph_of(flow: RecordedFlow) -> FlowGraph:
    """A recorded flow as the engine knows it, without its tasks: it can be looked at, and not run."""
    labels = [
        TaskLabel(task.index, task.name, task.slug, frozenset(task.tags)) for task in flow.tasks
    ]
    no_task = cast(Any, None)
    return FlowGraph(
        flow.name,
        [Node(label, no_task) for label in labels],
        [Edge(labels[up], labels[down], key, m, f) for up, down, key, m, f in flow.edges],
    )
