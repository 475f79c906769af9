"""prefect_dask: a task an index, states streaming to a listener, results kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_dask import Flow, Task, task

from ..shapes import Body, Shape, noop


def executor_at(place: str):
    """Imports what it needs and no more: a hello-world in this thread is not to wait for a cluster's library."""
    from prefect_dask import executors

    if place == "this thread":
        return executors.LocalExecutor()
    if place == "2 threads":
        return executors.LocalDaskExecutor("threads", num_workers=2)
    return executors.DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1})


class Calling(Task):
    """A task that calls a body, and takes no argument: its upstream edges carry states alone."""

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


class Ours:
    def __init__(self, executor) -> None:
        self.executor = executor

    def graph(self, shape: Shape, root: Body):
        tasks = [Calling(noop if above else root) for above in shape]
        flow = Flow("shape", tasks=tasks)
        for below, above in zip(tasks, shape, strict=True):
            for index in above:
                flow.add_edge(tasks[index], below, validate=False)
        return lambda: self.run(flow, len(shape))

    def mapped(self, count: int):
        with Flow("map") as flow:
            child.map(numbers(count))
        return lambda: self.run(flow, count + 1)

    def run(self, flow: Flow, tasks: int) -> None:
        heard: list[object] = []
        state = flow.run(executor=self.executor, on_state=heard.extend)
        if not state.is_successful() or len(heard) < 2 * tasks:
            raise RuntimeError(f"{state}, {len(heard)} records for {tasks} tasks")


@contextmanager
def started(place: str) -> Iterator[Ours]:
    executor = executor_at(place)
    with executor.start():
        yield Ours(executor)
