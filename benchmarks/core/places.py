"""Where the benchmarks run: Dask's local schedulers, and fresh clusters of 2 workers with 1 thread each."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
import distributed
from distributed.deploy.subprocess import SubprocessCluster

from benchmarks.core.options import Options
from benchmarks.core.running import WrongRun
from prefect_dask.engine.executors.dask_cluster import Cluster, make_cluster

WORKERS, THREADS = 2, 1

#: How long what a run leaves on a cluster may take to go, seconds.
SETTLE_SECONDS = 120.0


@contextmanager
def cluster(options: Options, *, saturation: float | None = None) -> Iterator[distributed.Client]:
    """A client of a fresh cluster whose workers are processes; it is the current client meanwhile.

    Args:
        options: Whether workers are threads after all.
        saturation: Dask's `worker-saturation`; its default when not given.
    """
    settings = {} if saturation is None else {"distributed.scheduler.worker-saturation": saturation}
    with (
        dask.config.set(settings),
        _made(
            distributed.LocalCluster,
            n_workers=WORKERS,
            threads_per_worker=THREADS,
            processes=not options.threads_only,
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


@contextmanager
def cluster_apart(options: Options) -> Iterator[distributed.Client]:
    """The same with a scheduler in a process of its own, whose memory is its own."""
    if options.threads_only:
        with cluster(options) as client:
            yield client
        return
    with (
        _made(
            SubprocessCluster,
            n_workers=WORKERS,
            threads_per_worker=THREADS,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as made,
        distributed.Client(made) as client,
    ):
        client.wait_for_workers(WORKERS, timeout=60)
        yield client
        # A scheduler that loses results with its workers lists them all in a pipe that nobody reads, and hangs.
        settle(client)


def _made(kind: Callable[..., Any], **arguments: Any) -> Cluster:
    """A cluster as an executor makes its own: Ctrl-C while it starts leaves none of its processes."""
    return make_cluster(kind, arguments, debug=False)


def settle(client: distributed.Client) -> None:
    """Wait until nothing of the last run is left on the cluster.

    Raises:
        WrongRun: Something stays.
    """
    gc.collect()
    until = time.monotonic() + SETTLE_SECONDS
    while left := client.run_on_scheduler(_tasks):
        if time.monotonic() > until:
            raise WrongRun(f"{left} keys are left on the scheduler after {SETTLE_SECONDS:.0f} s")


def _tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def processes(client: distributed.Client) -> dict[str, int]:
    """The process ids of the scheduler ("scheduler") and of each worker ("worker 0", …)."""
    workers = client.run(os.getpid)
    named = {f"worker {i}": workers[address] for i, address in enumerate(sorted(workers))}
    return {"scheduler": client.run_on_scheduler(os.getpid), **named}
