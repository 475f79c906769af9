"""Where does the time of the hot path go? A profile of 10,000 tasks and a reduce, printed.

    python -m benchmarks.hot_path [--scale 1.0] [--lines 25] [--sort tottime]

First in this thread, whole; then the coordinating process on a cluster whose processes are all elsewhere: the
thread that calls `flow.run`, and beside it the thread of the client's event loop. A profile makes calls look dearer
than they are: compare lines with each other, and measure with `make bench`.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import threading
from collections.abc import Callable

import distributed

from benchmarks.core.options import Options
from benchmarks.core.places import cluster_apart, settle
from benchmarks.core.running import Count, run_flow
from benchmarks.core.shapes import as_flow, wide
from prefect_dask import Flow
from prefect_dask.executors import DaskExecutor, Executor, LocalExecutor

#: How long the event loop may take to start or stop its profile, seconds.
LOOP_SECONDS = 60


def profiled(flow: Flow, executor: Executor, task_runs: int) -> cProfile.Profile:
    """A profile of the calling thread in a run, after one without it."""
    run_flow(flow, executor, task_runs)
    gc.collect()
    profile = cProfile.Profile()
    profile.enable()
    try:
        flow.run(executor=executor, on_state=Count(), ledger="none")
    finally:
        profile.disable()
    return profile


def in_loop(client: distributed.Client, call: Callable[[], None]) -> None:
    """Call a function in the thread of the client's event loop, and wait for it."""
    done = threading.Event()

    def work() -> None:
        call()
        done.set()

    client.loop.add_callback(work)
    if not done.wait(LOOP_SECONDS):
        raise TimeoutError(f"the event loop was busy for {LOOP_SECONDS} s")


def show(title: str, profile: cProfile.Profile, *, sort: str, lines: int) -> None:
    """Print the dearest functions."""
    print(f"\n==== {title}", flush=True)
    pstats.Stats(profile).strip_dirs().sort_stats(sort).print_stats(lines)


def main() -> int:
    """Run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 10,000 tasks (1.0)")
    parser.add_argument("--lines", type=int, default=25, help="functions to show (25)")
    parser.add_argument("--sort", default="tottime", help="tottime, cumtime or ncalls")
    chosen = parser.parse_args()
    os.environ.setdefault("PREFECT__LOGGING__LEVEL", "WARNING")
    shape = wide(Options(scale=chosen.scale).size(10_000))
    flow = as_flow(shape)
    here = profiled(flow, LocalExecutor(), len(shape))
    show("this thread", here, sort=chosen.sort, lines=chosen.lines)
    with cluster_apart(Options()) as client:
        run_flow(flow, DaskExecutor(), len(shape))
        settle(client)
        loop = cProfile.Profile()
        in_loop(client, loop.enable)
        try:
            calling = profiled(flow, DaskExecutor(), len(shape))
        finally:
            in_loop(client, loop.disable)
    show("coordinator: the calling thread", calling, sort=chosen.sort, lines=chosen.lines)
    show("coordinator: the event loop", loop, sort=chosen.sort, lines=chosen.lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
