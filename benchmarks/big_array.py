"""Does a large result travel needlessly? An array of 50 MB through a chain of 10 tasks."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

import distributed
import numpy
from dask._task_spec import Task as DaskTask
from dask._task_spec import TaskRef

from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate, compared, run_flow
from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor

STEPS, ARRAY_BYTES = 10, 50_000_000


def make(length: int) -> Any:
    """An array of 8 bytes a number."""
    return numpy.zeros(length)


def increase(array: Any) -> Any:
    """Another one of the same size."""
    return array + 1.0


def through_a_chain(options: Options) -> list[Row]:
    """A cluster, beside `Client.get` with each key held."""
    length = options.size(ARRAY_BYTES // 8)
    step = task(increase)
    with Flow("large array") as flow:
        array = task(make)(length)
        for _ in range(STEPS - 1):
            array = step(array)
    with cluster(options) as client:

        def raw() -> float:
            name = f"array-{uuid.uuid4().hex}"
            graph = {(name, 0): DaskTask((name, 0), make, length)}
            for i in range(1, STEPS):
                graph[name, i] = DaskTask((name, i), increase, TaskRef((name, i - 1)))
            begun = time.perf_counter()
            distributed.wait(client.get(graph, list(graph), sync=False))
            return time.perf_counter() - begun

        seconds = alternate(
            options,
            lambda: run_flow(flow, DaskExecutor(), STEPS)[0],
            raw,
            partial(settle, client),
        )
    return [compared("50 MB through a chain of 10, cluster", "s", STEPS, seconds, Bar(0.8))]


QUESTIONS: Questions = {"big-array": through_a_chain}
