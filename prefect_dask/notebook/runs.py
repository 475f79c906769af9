"""What a flow run is at, as HTML: the same page while it runs, when it is over, and when a ledger tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from prefect_dask.engine.state import STATES, Running, State
from prefect_dask.notebook import markup
from prefect_dask.notebook.markup import MOST_FAILURES, code, said_beyond, short_repr, text
from prefect_dask.progress.counting import Failure, TaskProgress
from prefect_dask.progress.lines import duration, rate_text
from prefect_dask.progress.watch import FlowProgress

#: So many tasks have a line while a run goes on: a page of a screen, and 10 KB each time it is drawn.
MOST_TASKS = 25

#: So many characters of an id are shown: as many as tell runs apart for a lifetime.
SHORT_ID = 12


class Failures:
    """The first failures of a run, and how many there are."""

    def __init__(self) -> None:
        self.first: list[Failure] = []
        self.count = 0

    def take(self, failures: Sequence[Failure]) -> None:
        """Note what failed since somebody looked last."""
        self.count += len(failures)
        self.first += failures[: MOST_FAILURES - len(self.first)]


def progress_html(progress: FlowProgress, failures: Failures, graph: str = "") -> str:
    """What a run is at: its state, a line a task with bar, counts, rate and time, and what failed.

    Args:
        progress: What it is at.
        failures: What failed until now.
        graph: The flow with its states, as SVG.
    """
    runs = f"{progress.done:,}/{progress.known:,} task runs"
    hidden = progress.task_count - len(progress.tasks)
    return markup.card(
        markup.head(
            "Flow",
            progress.flow_name,
            markup.state(progress.state),
            runs,
            duration(progress.seconds),
            f'<span class="pd-soft">run {code(progress.run_id[:SHORT_ID])}</span>',
        ),
        _message(progress.message),
        f"<p>{markup.counts(progress.states)}</p>" if progress.states else "",
        markup.table([""] * 5, [_task(each, progress) for each in progress.tasks], styles=".wn..")
        if progress.tasks
        else "",
        markup.more(hidden, "tasks"),
        graph,
        _failures(failures),
    )


def _message(message: str | None) -> str:
    said = text(said_beyond(message))
    return f"<p>{said}</p>" if said else ""


def _task(task: TaskProgress, progress: FlowProgress) -> list[str]:
    width = "?" if task.width is None else f"{task.width:,}"
    if task.is_mapped:
        counted, states = f"{task.done:,}/{width}", markup.counts(task.states)
    else:
        counted, states = "", "".join(map(markup.state, task.states))
    return [
        code(task.name, markup.LONGEST_NAME),
        markup.bar(task.states, task.width),
        counted,
        states,
        f'<span class="pd-soft">{", ".join(_times(task, progress))}</span>',
    ]


def _times(task: TaskProgress, progress: FlowProgress) -> list[str]:
    told, now = [], progress.at
    goes_on = issubclass(STATES.get(progress.state, State), Running)
    if task.rate and (goes_on or task.ended is not None):
        told.append(rate_text(task.rate))
    if task.seconds_left is not None and goes_on:
        told.append(f"{duration(task.seconds_left)} left")
    elif task.begun is not None:
        told.append(duration((now if task.ended is None else task.ended) - task.begun))
    return told


def _failures(failures: Failures) -> str:
    if not failures.count:
        return ""
    rows = [
        [
            code(each.task_run, markup.LONGEST_NAME),
            markup.state(each.state),
            text(each.message or ""),
        ]
        for each in failures.first
    ]
    table = markup.table(["failed", "", ""], rows, styles="..r")
    return table + markup.more(failures.count - len(rows), "failed")


# ---- a line of a ledger


class Recorded(Protocol):
    """A flow run as a ledger tells it; see `ledger.facts.RecordedFlowRun`."""

    @property
    def flow_name(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def message(self) -> str | None: ...
    @property
    def begun(self) -> datetime: ...
    @property
    def ended(self) -> datetime | None: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


def recorded_run_html(run: Recorded) -> str:
    """What a ledger says of a flow run as a whole."""
    took = "" if run.ended is None else duration((run.ended - run.begun).total_seconds())
    given = [code(f"{name} = {short_repr(value)}") for name, value in run.parameters.items()]
    return markup.card(
        markup.head(
            "Flow run",
            run.flow_name,
            markup.state(run.state),
            took,
            f'<span class="pd-soft">{run.begun.astimezone():%Y-%m-%d %H:%M:%S}</span>',
        ),
        _message(run.message),
        markup.facts([("parameters", ", ".join(given[:MOST_TASKS])), ("run", code(run.run_id))]),
    )
