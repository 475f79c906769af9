"""What does it cost a run that it is recorded, and that its results are stored? Beside the same without a ledger.

The ledger is a new SQLite file on the disk of the temporary folder, and so is the home folder, where large results
go. Where the name of a row does not say that states stream to a listener on both sides, nobody else listens.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.core.bodies import large, start
from benchmarks.core.graphs import Where, place
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import Count, WrongRun, alternate, per_task
from benchmarks.core.shapes import Shape, as_flow, chain, layered, wide
from prefect_dask import Flow, task
from prefect_dask.engine.durable import RESULTS
from prefect_dask.engine.home import HOME_VARIABLE
from prefect_dask.engine.state import Success, state_at
from prefect_dask.engine.stream import StateChange
from prefect_dask.executors import Executor, LocalExecutor
from prefect_dask.ledger.entries import Begun, Rows
from prefect_dask.ledger.packed import pack_changes
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.writer import close_writers, open_store

#: What recording may add to a run. What it costs to store results as well is a question of its own (`stored`).
BAR = Bar(1.05)

#: Whether results are kept, from not at all to before anybody is told.
POLICIES: tuple[bool | Literal["auto"], ...] = (False, "auto", True)

#: Task runs in a batch: what a fast run makes in the time that a writer waits for company.
BATCH = 5_000


def mapped(count: int, body: Callable[[int], object] = start) -> Flow:
    """A task mapped over so many items; one that does nothing, when none is given."""
    with Flow("mapped") as flow:
        task(body).map(list(range(count)))
    return flow


def seconds_of(
    flow: Flow,
    executor: Executor,
    ledger: str,
    durable: bool | Literal["auto"] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    *,
    is_heard: bool = False,
) -> float:
    """Seconds that a run takes, by a clock: of wall time, where none is given.

    With `is_heard` its states stream to a listener that counts them.

    Raises:
        WrongRun: It did not succeed.
    """
    gc.collect()
    begun = clock()
    listener = Count() if is_heard else None
    state = flow.run(executor=executor, ledger=ledger, durable=durable, on_state=listener)
    seconds = clock() - begun
    if not state.is_successful():
        raise WrongRun(f"flow {flow.name!r}: {state}")
    return seconds


def recorded(
    work: str, where: Where, flow: Flow, count: int, options: Options, *, is_heard: bool = False
) -> Row:
    """A row: µs a task with a ledger, beside those without one where others have raw Dask's."""
    with ExitStack() as stack:
        at = stack.enter_context(place(where, options))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.callback(close_writers)
        ledger = str(Path(folder) / "ledger.sqlite")
        seconds = alternate(
            options,
            lambda: seconds_of(flow, at.executor, ledger, durable=False, is_heard=is_heard),
            lambda: seconds_of(flow, at.executor, "none", is_heard=is_heard),
            at.between,
        )
    work = f"recording, {work}{', to a listener' if is_heard else ''}"
    return per_task(work, count, seconds, BAR, beside="the same without a ledger")


def this_thread(options: Options) -> list[Row]:
    """The most tasks a second, all in one interpreter with the thread that writes."""
    count = options.size(10_000)
    flows = (("wide, this thread", wide), ("chain, this thread", chain))
    return [
        recorded(work, "this thread", as_flow(shape(count)), count, options, is_heard=is_heard)
        for work, shape in flows
        for is_heard in (False, True)
    ]


def threads(options: Options) -> list[Row]:
    """Two threads that run tasks, and the one that writes."""
    count = options.size(10_000)
    flow = as_flow(wide(count))
    rows = [
        recorded("wide, 2 threads", "threads", flow, count, options, is_heard=is_heard)
        for is_heard in (False, True)
    ]
    return rows + [
        recorded(f"{name}, 2 threads", "threads", as_flow(shape), len(shape), options)
        for name, shape in shorter(options)
    ]


def cluster(options: Options) -> list[Row]:
    """A cluster, where the process that coordinates has little else to do."""
    count = options.size(10_000)
    return [recorded("map, cluster", "cluster", mapped(count), count, options)] + [
        recorded(f"{name}, cluster", "cluster", as_flow(shape), len(shape), options)
        for name, shape in shorter(options)
    ]


def shorter(options: Options) -> list[tuple[str, Shape]]:
    """The graphs for which bars speak of one or two thousand tasks."""
    return [
        ("chain of 1,000", chain(options.size(1_000))),
        ("layered 20 × 100 × 3", layered(20, options.size(100))),
    ]


def stored(where: Where, options: Options) -> list[Row]:
    """For small results and large ones, a row a policy: µs a task, beside those without a ledger."""
    works = (("small", start, options.size(10_000)), ("100 kB", large, options.size(500)))
    rows: list[Row] = []
    with ExitStack() as stack:
        at = stack.enter_context(place(where, options))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(home_in(folder))
        stack.callback(close_writers)

        def between() -> None:
            shutil.rmtree(folder / RESULTS, ignore_errors=True)
            at.between()

        for what, body, count in works:
            flow = mapped(count, body)
            for durable in POLICIES:
                seconds = alternate(
                    options,
                    partial(seconds_of, flow, at.executor, str(folder / "ledger.sqlite"), durable),
                    partial(seconds_of, flow, at.executor, "none"),
                    between,
                )
                work = f"{what}, durable={durable!r}, {where}"
                rows.append(
                    per_task(work, count, seconds, None, beside="the same without a ledger")
                )
    return rows


def processor(options: Options) -> list[Row]:
    """The same of small results in processor time, that of the writer with it: also a busy machine can tell it."""
    count = options.size(10_000)
    flow, executor = mapped(count), LocalExecutor()
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(home_in(folder))
        stack.callback(close_writers)
        run = partial(seconds_of, flow, executor, clock=time.process_time)
        for durable in POLICIES:
            seconds = alternate(
                options,
                partial(run, str(folder / "ledger.sqlite"), durable),
                partial(run, "none"),
                lambda: None,
            )
            work = f"small, durable={durable!r}, processor time"
            rows.append(per_task(work, count, seconds, None, beside="the same without a ledger"))
    return rows


@contextmanager
def home_in(folder: Path) -> Iterator[None]:
    """A home folder for the runs of the block; workers take it from the run."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[HOME_VARIABLE]
        else:
            os.environ[HOME_VARIABLE] = before


def writer(options: Options) -> list[Row]:
    """One writer and nothing else: Running and Success of each task run, packed and written, a batch at a time."""
    count = options.size(500_000, least=BATCH)
    run = "a" * 32
    batches = [
        [
            StateChange((0, child, 0), 1, state_at(Success, 1.7e9, "done"), True, "w", 1.7e9)
            for child in range(first, first + BATCH)
        ]
        for first in range(0, count, BATCH)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Place("sqlite", str(Path(folder) / "ledger.sqlite")))
        store.write([Begun(run)])
        begun = time.perf_counter()
        for number, batch in enumerate(batches):
            data = pack_changes(batch)
            store.write([Rows(run, 0, "packed_states", number * BATCH, [len(batch), data])])
        seconds = time.perf_counter() - begun
        store.close()
    rate = 2 * BATCH * len(batches) / seconds
    bar = Bar(50_000, of="ours", at_least=True)
    return [Row("state changes/s into SQLite", "1/s", rate, None, bar, BATCH * len(batches))]


QUESTIONS: Questions = {
    "recording-this-thread": this_thread,
    "recording-threads": threads,
    "recording-cluster": cluster,
    "recording-writer": writer,
    "storing-processor": processor,
    "storing-this-thread": partial(stored, "this thread"),
    "storing-cluster": partial(stored, "cluster"),
}
