"""A shape, timed in one place: ours and raw Dask in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import dask
import dask.threaded
import distributed

from benchmarks.core.options import Options
from benchmarks.core.places import THREADS, WORKERS, cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import Timed, alternate, per_task, run_flow
from benchmarks.core.shapes import DaskGraph, Shape, as_dask, as_flow
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor


def in_this_thread(work: str, shape: Shape, bar: Bar | None, options: Options) -> Row:
    """Ours beside `dask.get`."""
    return _here(work, shape, bar, options, LocalExecutor(), dask.get)


def in_threads(work: str, shape: Shape, bar: Bar | None, options: Options) -> Row:
    """Ours beside `dask.threaded.get`, both with 2 threads."""
    threads = WORKERS * THREADS
    executor = LocalDaskExecutor("threads", num_workers=threads)
    # Dask's own pool would outlive the benchmark.
    with ThreadPoolExecutor(threads) as pool:
        get = partial(dask.threaded.get, pool=pool)
        return _here(work, shape, bar, options, executor, get)


def _here(
    work: str,
    shape: Shape,
    bar: Bar | None,
    options: Options,
    executor: Executor,
    get: Callable[..., Any],
) -> Row:
    def compute(graph: DaskGraph) -> None:
        get(graph, list(graph))

    taken = alternate(options, _ours(shape, executor), _raw(shape, compute))
    return per_task(work, len(shape), taken, bar)


def on_cluster(
    work: str,
    shape: Shape,
    bar: Bar | None,
    options: Options,
    *,
    batch: int | None = None,
    saturation: float | None = None,
) -> Row:
    """Ours beside `Client.get` with each key held, on a fresh cluster."""
    with cluster(options, saturation=saturation) as client:

        def compute(graph: DaskGraph) -> None:
            distributed.wait(client.get(graph, list(graph), sync=False))

        ours = _ours(shape, DaskExecutor(), batch=batch)
        taken = alternate(options, ours, _raw(shape, compute), partial(settle, client))
    return per_task(work, len(shape), taken, bar)


def _ours(shape: Shape, executor: Executor, *, batch: int | None = None) -> Timed:
    flow = as_flow(shape, batch=batch)
    return lambda: run_flow(flow, executor, len(shape))[0]


def _raw(shape: Shape, compute: Callable[[DaskGraph], None]) -> Timed:
    def run() -> float:
        graph = as_dask(shape)
        gc.collect()
        begun = time.perf_counter()
        compute(graph)
        return time.perf_counter() - begun

    return run
