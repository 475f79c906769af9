"""Running a flow as every benchmark does: states streaming to a listener that counts, and nothing left unseen."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.core.options import Options
from benchmarks.core.rows import Bar, Row
from prefect_dask import Flow
from prefect_dask.engine.state import State
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import Executor

#: Runs it once, and returns seconds of wall time.
Timed = Callable[[], float]


class WrongRun(RuntimeError):
    """What was measured is not what was meant to be."""


class Count:
    """A listener that counts."""

    def __init__(self) -> None:
        self.records = 0

    def __call__(self, records: list[StateRecord]) -> None:
        self.records += len(records)


def run_flow(
    flow: Flow, executor: Executor, task_runs: int, **parameters: Any
) -> tuple[float, State]:
    """Seconds of wall time of a flow run, and its state.

    Args:
        flow: The flow.
        executor: Where it runs.
        task_runs: How many task runs it has; each has to report that it runs and how it ended.
        parameters: The flow's.

    Raises:
        WrongRun: It did not succeed, or states are missing.
    """
    count = Count()
    gc.collect()
    begun = time.perf_counter()
    # What recording costs is a question of its own, and no run of a benchmark belongs in the user's ledger.
    state = flow.run(parameters, executor=executor, on_state=count, ledger="none")
    seconds = time.perf_counter() - begun
    if not state.is_successful():
        raise WrongRun(f"flow {flow.name!r}: {state}")
    if count.records < 2 * task_runs:
        raise WrongRun(
            f"flow {flow.name!r}: {count.records} state records for {task_runs} task runs"
        )
    return seconds, state


def alternate(
    options: Options, ours: Timed, raw: Timed, between: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Seconds of ours and of raw Dask, in rounds of both, after one round that does not count.

    Args:
        options: How many rounds.
        ours: Runs ours.
        raw: Runs raw Dask.
        between: Called after each run, outside what is measured: lets go of what is left of it.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(options.rounds + 1):
        for run, seconds in zip((ours, raw), taken, strict=True):
            seconds.append(run())
            between()
    return taken[0][1:], taken[1][1:]


def per_task(
    work: str, tasks: int, seconds: tuple[list[float], list[float]], bar: Bar | None, **notes: Any
) -> Row:
    """A row in µs of wall time a task."""
    return compared(work, "µs/task", tasks, seconds, bar, scale=1e6 / tasks, **notes)


def compared(
    work: str,
    unit: str,
    tasks: int,
    figures: tuple[list[float], list[float]],
    bar: Bar | None,
    *,
    scale: float = 1.0,
    **notes: Any,
) -> Row:
    """A row from the figures of alternating rounds: medians, and the ratios' spread."""
    ours, raw = figures
    ratios = [a / b for a, b in zip(ours, raw, strict=True)]
    return Row(
        work=work,
        unit=unit,
        ours=statistics.median(ours) * scale,
        raw=statistics.median(raw) * scale,
        bar=bar,
        tasks=tasks,
        ratios=(min(ratios), max(ratios)),
        notes=notes,
    )
