"""A shape, timed in one place: ours and raw Dask in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import dask
import dask.threaded
import distributed

from benchmarks.core.options import Options
from benchmarks.core.places import THREADS, WORKERS, cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate, per_task, run_flow
from benchmarks.core.shapes import DaskGraph, Shape, as_dask, as_flow
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor

Where: TypeAlias = Literal["this thread", "threads", "cluster"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph is run by both.

    Attributes:
        executor: Ours.
        compute: Raw Dask's: makes every key of a graph and holds it until all are there.
        between: Lets go of what is left of a run.
    """

    executor: Executor
    compute: Callable[[DaskGraph], object]
    between: Callable[[], object] = lambda: None


@contextmanager
def place(where: Where, options: Options, *, saturation: float | None = None) -> Iterator[Place]:
    """This thread, two threads, or a fresh cluster of two processes."""
    if where == "this thread":
        yield Place(LocalExecutor(), lambda graph: dask.get(graph, list(graph)))
    elif where == "threads":
        count = WORKERS * THREADS
        # Dask's own pool would outlive the benchmark.
        with ThreadPoolExecutor(count) as pool:
            yield Place(
                LocalDaskExecutor("threads", num_workers=count),
                lambda graph: dask.threaded.get(graph, list(graph), pool=pool),
            )
    else:
        with cluster(options, saturation=saturation) as client:
            yield Place(
                DaskExecutor(),
                lambda graph: distributed.wait(client.get(graph, list(graph), sync=False)),
                partial(settle, client),
            )


def seconds_of(
    shape: Shape, at: Place, options: Options, *, batch: int | None = None, is_first: bool = False
) -> tuple[list[float], list[float]]:
    """Seconds of wall time of ours and of raw Dask, in alternating rounds; building the graphs is not timed.

    Args:
        shape: The graph.
        at: The place.
        options: How often.
        batch: The setting of that name of each task.
        is_first: Whether each run of ours is the first one of its flow, which is described in it.
    """
    flow = as_flow(shape, batch=batch)

    def ours() -> float:
        new = as_flow(shape, batch=batch) if is_first else flow
        return run_flow(new, at.executor, len(shape))[0]

    def raw() -> float:
        graph = as_dask(shape)
        gc.collect()
        begun = time.perf_counter()
        at.compute(graph)
        return time.perf_counter() - begun

    return alternate(options, ours, raw, at.between)


def compare(
    work: str,
    where: Where,
    shape: Shape,
    bar: Bar | None,
    options: Options,
    *,
    batch: int | None = None,
    saturation: float | None = None,
    is_first: bool = False,
) -> Row:
    """A row: µs a task of ours beside raw Dask's.

    Args:
        work: What the row is called, before the place.
        where: The place.
        shape: The graph.
        bar: What the ratio is held to.
        options: How often.
        batch: The setting of that name of each task.
        saturation: Dask's `worker-saturation` on the cluster; its default when not given.
        is_first: As for `seconds_of`.
    """
    with place(where, options, saturation=saturation) as at:
        seconds = seconds_of(shape, at, options, batch=batch, is_first=is_first)
    return per_task(work, len(shape), seconds, bar)
