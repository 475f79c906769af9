"""Prefect 1: a flow of tasks with edges that carry states alone, `flow.run()`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import Flow, Task, task
from prefect.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor

from ..shapes import Body, Shape, noop

PLACES = {
    "this thread": LocalExecutor,
    "2 threads": lambda: LocalDaskExecutor("threads", num_workers=2),
}


class Calling(Task):
    def __init__(self, body: Body) -> None:
        super().__init__(name=body.__name__)
        self.body = body

    def run(self) -> None:
        self.body()


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def child(_: int) -> None:
    return None


class Prefect1:
    def __init__(self, executor) -> None:
        self.executor = executor

    def graph(self, shape: Shape, root: Body):
        tasks = [Calling(noop if above else root) for above in shape]
        flow = Flow("shape", tasks=tasks)
        for below, above in zip(tasks, shape, strict=True):
            for index in above:
                flow.add_edge(tasks[index], below, validate=False)
        return lambda: self.run(flow)

    def mapped(self, count: int):
        with Flow("map") as flow:
            child.map(numbers(count))
        return lambda: self.run(flow)

    def run(self, flow: Flow) -> None:
        state = flow.run(executor=self.executor)
        if not state.is_successful():
            raise RuntimeError(str(state))


@contextmanager
def started(place: str) -> Iterator[Prefect1]:
    if place in PLACES:
        yield Prefect1(PLACES[place]())
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield Prefect1(DaskExecutor(address=cluster.scheduler_address))
