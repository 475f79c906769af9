"""How much does the scheduler's memory grow while a map of 100,000 runs? Its peak, beside raw Dask.

The scheduler is a process of its own, a new one for each figure; it has run the same map of 100 before.
"""

from __future__ import annotations

from benchmarks.core.memory import MIB, peak_growth
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster_apart, processes, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import run_flow
from benchmarks.runtime_map import map_flow, map_raw
from prefect_dask.executors import DaskExecutor

WARM_UP = 100


def ours(options: Options, count: int, batch: int | None) -> float:
    """MiB by which the scheduler grew at most in a run of ours."""
    flow, warm_up = map_flow(1, batch=batch), min(WARM_UP, count)
    with cluster_apart(options) as client:
        run_flow(flow, DaskExecutor(), warm_up, count=warm_up)
        settle(client)
        with peak_growth({"scheduler": processes(client)["scheduler"]}) as peaks:
            run_flow(flow, DaskExecutor(), count, count=count)
    return peaks["scheduler"] / MIB


def raw(options: Options, count: int) -> float:
    """The same of raw Dask."""
    with cluster_apart(options) as client:
        map_raw(client, 1, min(WARM_UP, count))
        settle(client)
        with peak_growth({"scheduler": processes(client)["scheduler"]}) as peaks:
            map_raw(client, 1, count)
    return peaks["scheduler"] / MIB


def growth(options: Options) -> list[Row]:
    """With one child a node, and as it comes; once each."""
    count = options.size(100_000)
    theirs = raw(options, count)
    work = "peak scheduler memory, map of 100,000"
    return [
        Row(f"{work}, batch=1", "MiB", ours(options, count, 1), theirs, Bar(1.1), count),
        Row(work, "MiB", ours(options, count, None), theirs, Bar(0.15), count),
    ]


QUESTIONS: Questions = {"scheduler-memory": growth}
