"""Prefect 3: tasks submitted inside a flow, which wait for futures; nothing is cached, no line logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from ..shapes import Body, Shape, noop


@task(cache_policy=NO_CACHE)
def numbers(count: int) -> list[int]:
    return list(range(count))


@task(cache_policy=NO_CACHE)
def child(_: int) -> None:
    return None


class Prefect3:
    def __init__(self, runner) -> None:
        self.flow = flow(task_runner=runner, validate_parameters=False)

    def graph(self, shape: Shape, root: Body):
        first, other = (task(body, cache_policy=NO_CACHE) for body in (root, noop))

        @self.flow
        def whole() -> None:
            futures = []
            for above in shape:
                waits = [futures[index] for index in above]
                futures.append(other.submit(wait_for=waits) if above else first.submit())
            finish(futures)

        return whole

    def mapped(self, count: int):
        @self.flow
        def whole() -> None:
            finish(child.map(numbers.submit(count)))

        return whole


def finish(futures) -> None:
    """Wait for all; raises what a task raised."""
    for future in futures:
        future.result()


@contextmanager
def started(place: str) -> Iterator[Prefect3]:
    if place == "2 threads":
        yield Prefect3(ThreadPoolTaskRunner(max_workers=2))
        return
    from distributed import LocalCluster

    # Prefect's own package of that name, not ours: only it is installed here.
    from prefect_dask import DaskTaskRunner

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield Prefect3(DaskTaskRunner(address=cluster.scheduler_address))
