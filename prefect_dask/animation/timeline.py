"""A flow run as columns of numbers and texts, read from the ledger bit by bit: all that the player plays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from prefect_dask.animation.values import plain_value, short_text
from prefect_dask.engine import clock
from prefect_dask.engine.state import STATES
from prefect_dask.ledger.facts import (
    RecordedClusterEvent,
    RecordedFlow,
    RecordedFlowRun,
    RecordedResult,
    RecordedState,
)

#: A task run: place of the task, map index.
TaskRun: TypeAlias = tuple[int, int]

#: The states, by the number that stands for each in columns.
STATE_NAMES: Final = tuple(STATES)
_NUMBER_OF: Final = {name: number for number, name in enumerate(STATE_NAMES)}

NOTHING: Final = -1
"""Stands in a column of numbers where there is none."""


class Records(Protocol):
    """Where a run is read: a `Ledger`."""

    def flow_run(self, run_id: str) -> RecordedFlowRun:
        """One flow run."""

    def flow(self, run_id: str) -> RecordedFlow:
        """Its flow."""

    def states(
        self, run_id: str, task: int | None = None, map_index: int = -1, *, after: int = -1
    ) -> list[RecordedState]:
        """Its changes of state."""

    def results(self, run_id: str, *, after: int = -1) -> list[RecordedResult]:
        """Its results."""

    def cluster_events(self, run_id: str) -> list[RecordedClusterEvent]:
        """What happened to its workers."""


@dataclass
class News:
    """What came since the last look, in columns.

    A text is told by its number in the order in which `texts` come; `NOTHING` where there is none. Times are in
    seconds since the run began.

    Attributes:
        texts: Texts that were not told before.
        runs: Task runs that were not known before: `task` and `index`. The first is the flow itself, the next ones
            those of each task as a whole.
        events: Changes of state in order: `at`, `run` (number of the task run), `state` (place in `STATE_NAMES`),
            `attempt`, `worker`, `message` and `value` (what came of it), each a text.
        widths: How many children mapped tasks have: `task`, `width`.
        items: Of tasks over whose list others are mapped, the items: `task`, `value`; in order.
        cluster: What happened to workers: `at`, `kind`, `worker` and `details`, each a text.
        facts: The run now: `state`, `message`, `now` (until when it is known), `is_alive`, `is_over`.
    """

    texts: list[str] = field(default_factory=list)
    runs: dict[str, list[int]] = field(default_factory=lambda: _columns("task", "index"))
    events: dict[str, list[Any]] = field(
        default_factory=lambda: _columns(
            "at", "run", "state", "attempt", "worker", "message", "value"
        )
    )
    widths: dict[str, list[int]] = field(default_factory=lambda: _columns("task", "width"))
    items: dict[str, list[int]] = field(default_factory=lambda: _columns("task", "value"))
    cluster: dict[str, list[Any]] = field(
        default_factory=lambda: _columns("at", "kind", "worker", "details")
    )
    facts: dict[str, Any] = field(default_factory=dict)

    def tables(self) -> dict[str, dict[str, list[Any]]]:
        """All of it as columns by table; `facts` in one row."""
        return {
            "texts": {"text": self.texts},
            "runs": self.runs,
            "events": self.events,
            "widths": self.widths,
            "items": self.items,
            "cluster": self.cluster,
            "facts": {name: [fact] for name, fact in self.facts.items()},
        }


def _columns(*names: str) -> dict[str, list[Any]]:
    return {name: [] for name in names}


class Reader:
    """Reads one flow run.

    Args:
        records: Where it is recorded.
        run_id: Its id, or as much of the beginning as tells it from others.

    Raises:
        UnknownRun: There is no such run.
    """

    def __init__(self, records: Records, run_id: str) -> None:
        self._records = records
        self.run = records.flow_run(run_id)
        self.flow = records.flow(self.run.run_id)
        self._begun = clock.to_seconds(self.run.begun)
        self._texts: dict[str, int] = {}
        self._runs: dict[TaskRun, int] = {}
        self._widths: dict[int, int] = {}
        self._last_number, self._last_at, self._cluster_count = -1, 0.0, 0
        #: Over the results of these others are mapped; those whose items were told are left out.
        self._lists = {up for up, _, _, is_mapped, _ in self.flow.edges if is_mapped}
        self._parameters = self._find_parameters()

    def _find_parameters(self) -> dict[int, Any]:
        """What was given to the run, by place of the parameter's task."""
        downstream = {down for _, down, *_ in self.flow.edges}
        given = self.run.parameters
        return {
            task.index: given[task.name]
            for task in self.flow.tasks
            if task.name in given and task.index not in downstream
        }

    def read(self) -> News:
        """What came since the last time; all at first."""
        news = News()
        # First: what it told before it was over is there then.
        self.run = self._records.flow_run(self.run.run_id)
        if not self._runs:
            for task_run in [(-1, -1), *((task.index, -1) for task in self.flow.tasks)]:
                self._number(news, task_run)
        states = self._records.states(self.run.run_id, after=self._last_number)
        if states:
            last = max(state.number for state in states)
            results = self._records.results(self.run.run_id, after=self._last_number)
            self._take(news, states, {r.number: r for r in results if r.number <= last})
            self._last_number = last
        self._take_cluster(news, self._records.cluster_events(self.run.run_id))
        news.facts = self._facts()
        return news

    def _take(
        self, news: News, states: Iterable[RecordedState], results: Mapping[int, RecordedResult]
    ) -> None:
        for state in states:
            at = clock.to_seconds(state.time) - self._begun
            self._last_at = max(self._last_at, at)
            value = NOTHING
            if state.state == "Mapped":
                self._take_width(news, state.task, int(state.details.get("width", 0)))
            elif state.number in results and state.state in ("Success", "Cached"):
                value = self._value(news, state, results[state.number])
            elif state.state == "Success" and state.task in self._parameters:
                value = self._take_value(news, state.task, self._parameters[state.task])
            row = (
                at,
                self._number(news, (state.task, state.map_index)),
                _NUMBER_OF[state.state],
                state.attempt,
                self._text(news, state.worker),
                self._text(news, state.message or ""),
                value,
            )
            for column, cell in zip(news.events.values(), row, strict=True):
                column.append(cell)

    def _take_width(self, news: News, task: int, width: int) -> None:
        if self._widths.get(task) != width:
            self._widths[task] = width
            _append(news.widths, task, width)

    def _value(self, news: News, state: RecordedState, result: RecordedResult) -> int:
        if result.value is None:
            return self._text(news, f"at {result.location}") if result.location else NOTHING
        is_plain, value = plain_value(bytes(result.value))
        if not is_plain:
            return NOTHING
        if state.map_index >= 0:
            return self._text(news, short_text(value))
        return self._take_value(news, state.task, value)

    def _take_value(self, news: News, task: int, value: Any) -> int:
        if task in self._lists and isinstance(value, list | tuple):
            self._lists.discard(task)
            for item in value:
                _append(news.items, task, self._text(news, short_text(item)))
        return self._text(news, short_text(value))

    def _take_cluster(self, news: News, events: Sequence[RecordedClusterEvent]) -> None:
        for event in events[self._cluster_count :]:
            at = clock.to_seconds(event.time) - self._begun
            self._last_at = max(self._last_at, at)
            details = ", ".join(f"{name} {value}" for name, value in event.details.items())
            texts = (self._text(news, each) for each in (event.kind, event.worker, details))
            _append(news.cluster, at, *texts)
        self._cluster_count = len(events)

    def _number(self, news: News, task_run: TaskRun) -> int:
        number = self._runs.get(task_run)
        if number is None:
            number = self._runs[task_run] = len(self._runs)
            _append(news.runs, *task_run)
        return number

    def _text(self, news: News, text: str) -> int:
        number = self._texts.get(text)
        if number is None:
            number = self._texts[text] = len(self._texts)
            news.texts.append(text)
        return number

    def _facts(self) -> dict[str, Any]:
        run = self.run
        ends = run.ended if run.ended is not None else clock.to_datetime(clock.now())
        is_known = run.ended is not None or run.is_alive
        now = clock.to_seconds(ends) - self._begun if is_known else 0.0
        return {
            "state": run.state,
            "message": run.message or "",
            "now": max(now, self._last_at),
            "is_alive": run.is_alive,
            "is_over": run.ended is not None,
        }


def _append(columns: Mapping[str, list[Any]], *row: Any) -> None:
    for column, cell in zip(columns.values(), row, strict=True):
        column.append(cell)
