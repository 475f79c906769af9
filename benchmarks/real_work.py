"""Is anything lost where tasks are long? 64 tasks of 50 ms of CPU each, and one that adds their results up.

Efficiency: the CPU time of the tasks, shared out over the workers' threads, over the wall time.
"""

from __future__ import annotations

import time
from functools import partial

import distributed

from benchmarks.core.bodies import total
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import THREADS, WORKERS, cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate, compared, run_flow
from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor

WORK_SECONDS = 0.05


def work(i: int) -> int:
    """Takes its time of CPU, whatever else the machine does."""
    until = time.thread_time() + WORK_SECONDS
    while time.thread_time() < until:
        pass
    return i


def efficiency(options: Options) -> list[Row]:
    """A cluster, beside `Client.map` and a `Client.submit` over what it made."""
    count = options.size(64)
    worker, adder = task(work), task(total)
    with Flow("real work") as flow:
        adder([worker(i) for i in range(count)])
    with cluster(options) as client:

        def raw() -> float:
            begun = time.perf_counter()
            done = client.map(work, range(count), pure=False)
            distributed.wait(client.submit(total, done, pure=False))
            return time.perf_counter() - begun

        ours, theirs = alternate(
            options,
            lambda: run_flow(flow, DaskExecutor(), count + 1)[0],
            raw,
            partial(settle, client),
        )
    ideal = count * WORK_SECONDS / (WORKERS * THREADS)
    figures = [ideal / seconds for seconds in ours], [ideal / seconds for seconds in theirs]
    bar = Bar(1.0, at_least=True)
    return [compared("64 × 50 ms of work + reduce, cluster", "efficient", count, figures, bar)]


QUESTIONS: Questions = {"real-work": efficiency}
