"""How long does a map of 1,000,000 no-ops take, and does anything swell on the way? Once, when asked for."""

from __future__ import annotations

import os

from benchmarks.core.memory import MIB, peak_growth
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster_apart, processes
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import run_flow
from benchmarks.runtime_map import map_flow
from prefect_dask.executors import DaskExecutor

WARM_UP = 1_000


def million(options: Options) -> list[Row]:
    """Seconds; every state has to arrive. The peaks are those of each process, over what it had before."""
    count, flow = options.size(1_000_000), map_flow(1)
    warm_up = min(WARM_UP, count)
    with cluster_apart(options) as client:
        run_flow(flow, DaskExecutor(), warm_up, count=warm_up)
        with peak_growth({"coordinator": os.getpid(), **processes(client)}) as peaks:
            # The state is let go of, and the results with it.
            seconds = run_flow(flow, DaskExecutor(), count, count=count)[0]
    grown = {f"{name} grew, MiB": round(peak / MIB) for name, peak in peaks.items()}
    bar = Bar(180, of="ours", below=True)
    return [Row("map of 1,000,000, cluster", "s", seconds, None, bar, count, notes=grown)]


QUESTIONS: Questions = {"million": million}
