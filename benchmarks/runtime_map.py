"""What does a child cost of a map over a list known only at run time? 10,000 of them; and three maps in a row.

Raw Dask: a list made by `Client.submit`, brought home, and `Client.map` over it, each key held.
"""

from __future__ import annotations

import time
from functools import partial

import distributed

from benchmarks.core.bodies import numbers, one
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate, per_task, run_flow
from prefect_dask import Flow, Parameter, task
from prefect_dask.executors import DaskExecutor


def map_flow(maps: int, *, batch: int | None = None) -> Flow:
    """So many maps, each over the one before, the first one over a list made when the flow runs."""
    same = task(one, batch=batch)
    with Flow("run-time map") as flow:
        xs = task(numbers)(Parameter("count"))
        for _ in range(maps):
            xs = same.map(xs)
    return flow


def map_raw(client: distributed.Client, maps: int, count: int) -> float:
    """Seconds of wall time of the same in raw Dask."""
    begun = time.perf_counter()
    xs = client.submit(numbers, count, pure=False).result()
    held = []
    for _ in range(maps):
        xs = client.map(one, xs, pure=False)
        held.append(xs)
    distributed.wait(xs)
    return time.perf_counter() - begun


def _maps(work: str, maps: int, bar: Bar, options: Options) -> Row:
    count, flow = options.size(10_000), map_flow(maps)
    with cluster(options) as client:
        seconds = alternate(
            options,
            lambda: run_flow(flow, DaskExecutor(), maps * count, count=count)[0],
            lambda: map_raw(client, maps, count),
            partial(settle, client),
        )
    return per_task(work, maps * count, seconds, bar)


def single(options: Options) -> list[Row]:
    """One map."""
    return [_maps("map over a run-time list, cluster", 1, Bar(0.05), options)]


def in_a_row(options: Options) -> list[Row]:
    """Three maps, child to child."""
    return [_maps("three maps in a row, cluster", 3, Bar(0.04), options)]


QUESTIONS: Questions = {"map-one": single, "map-three": in_a_row}
