"""What does a child cost whose item lies in a list of lists? 200 lists of 200, mapped, flattened, mapped again."""

from __future__ import annotations

import statistics

from benchmarks.core.bodies import one
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import THREADS, WORKERS
from benchmarks.core.rows import Row
from benchmarks.core.running import run_flow
from prefect_dask import Flow, Parameter, flatten, task
from prefect_dask.executors import Executor, LocalDaskExecutor, LocalExecutor


def rows(count: int) -> list[list[int]]:
    """As many lists as items in each."""
    return [list(range(count))] * count


def nested(options: Options) -> list[Row]:
    """In this thread and in two; raw Dask has no such thing."""
    count = options.size(200)
    same = task(one)
    with Flow("nested") as flow:
        same.map(flatten(same.map(task(rows)(Parameter("count")))))
    places: dict[str, Executor] = {
        "this thread": LocalExecutor(),
        "2 threads": LocalDaskExecutor("threads", num_workers=WORKERS * THREADS),
    }
    children = count * count
    answer = []
    for place, executor in places.items():
        seconds = [
            run_flow(flow, executor, children, count=count)[0] for _ in range(options.rounds + 1)
        ]
        cost = statistics.median(seconds[1:]) / children * 1e6
        answer.append(
            Row(f"map over flattened lists, {place}", "µs/task", cost, None, None, children)
        )
    return answer


QUESTIONS: Questions = {"nested": nested}
