"""Does a cluster that lives long swell? 20 runs of 5,000 tasks on one, memory after each.

The figure is the steepest slope of scheduler and workers, MiB a run, least squares over the runs after the fifth.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import distributed

from benchmarks.core.memory import MIB, resident
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster_apart, processes, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import run_flow
from benchmarks.runtime_map import map_flow, map_raw
from prefect_dask.executors import DaskExecutor

#: At least two are needed for a slope.
RUNS, FIRST = 20, 5


def slopes(options: Options, run: Callable[[distributed.Client], object]) -> dict[str, float]:
    """MiB a run by which the scheduler and each worker grow."""
    taken: list[dict[str, int]] = []
    many = options.size(RUNS, least=FIRST + 2)
    with cluster_apart(options) as client:
        pids = processes(client)
        for _ in range(many):
            run(client)
            settle(client)
            taken.append(resident(pids))
    runs = range(FIRST, many)
    return {
        name: statistics.linear_regression(runs, [taken[i][name] for i in runs]).slope / MIB
        for name in pids
    }


def swelling(options: Options) -> list[Row]:
    """Maps over a run-time list, beside the same by raw Dask."""
    count, flow = options.size(5_000), map_flow(1)
    ours = slopes(options, lambda client: run_flow(flow, DaskExecutor(), count, count=count))
    raw = slopes(options, lambda client: map_raw(client, 1, count))
    return [
        Row(
            "memory slope of scheduler and workers, 5,000 a run",
            "MiB/run",
            max(ours.values()),
            max(raw.values()),
            Bar(1.0, of="ours", below=True),
            options.size(RUNS, least=FIRST + 2) * count,
            notes={"ours": ours, "raw": raw},
        )
    ]


QUESTIONS: Questions = {"long-lived": swelling}
