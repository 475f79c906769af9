"""How much memory does the coordinating process keep for each finished child of a map? 100,000 of them.

That process is a new one which runs nothing else; scheduler and workers are elsewhere. It runs the map twice and
holds both flow states. What counts is what it has more after the second than after the first: what it works with
while a map runs, however wide, is there by then. The JSON has what the first run grew it by, at last and at most.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import distributed
import psutil

from benchmarks.core.machine import ROOT
from benchmarks.core.memory import peak_growth
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster_apart
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import run_flow
from benchmarks.runtime_map import map_flow
from prefect_dask.executors import DaskExecutor

WARM_UP = 1_000


def coordinate(address: str, count: int) -> dict[str, float]:
    """Run the map twice from this process; bytes a child that it grew by."""
    process, flow, warm_up = psutil.Process(), map_flow(1), min(WARM_UP, count)
    with distributed.Client(address):
        run_flow(flow, DaskExecutor(), warm_up, count=warm_up)
        gc.collect()
        before = process.memory_info().rss
        with peak_growth({"here": process.pid}) as peaks:
            seconds, first = run_flow(flow, DaskExecutor(), count, count=count)
        gc.collect()
        after_first = process.memory_info().rss
        _, second = run_flow(flow, DaskExecutor(), count, count=count)
        gc.collect()
        after = process.memory_info().rss
        assert first.is_successful() and second.is_successful()  # and held until here
    return {
        "kept_bytes": (after - after_first) / count,
        "first_run_bytes": (after_first - before) / count,
        "first_run_peak_bytes": peaks["here"] / count,
        "seconds": seconds,
    }


def kept(options: Options) -> list[Row]:
    """Once, on a cluster whose processes are all elsewhere."""
    count = options.size(100_000)
    with cluster_apart(options) as client:
        assert client.scheduler is not None
        call = f"coordinate({client.scheduler.address!r}, {count})"
        code = f"import json; from benchmarks.coordinator_memory import coordinate; print(json.dumps({call}))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
    figures = json.loads(done.stdout.splitlines()[-1])
    kept_bytes = figures.pop("kept_bytes")
    work = "coordinator memory a finished child of 100,000"
    return [Row(work, "bytes", kept_bytes, None, Bar(250, of="ours"), count, notes=figures)]


QUESTIONS: Questions = {"coordinator-memory": kept}
