"""Dask without anything above it; every key of a graph is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from dask._task_spec import Task, TaskRef

from ..shapes import Body, Shape, noop

numbered = itertools.count()


def numbers(count: int) -> list[int]:
    return list(range(count))


def as_dask(shape: Shape, root: Body) -> dict[tuple[str, int], Task]:
    name = f"shape-{next(numbered)}"
    return {
        (name, i): Task(
            (name, i), noop if above else root, *[TaskRef((name, index)) for index in above]
        )
        for i, above in enumerate(shape)
    }


class Local:
    """One of Dask's own schedulers; a map is a graph for the list, and another for the children."""

    def __init__(self, get, **options) -> None:
        self.get = lambda graph: get(graph, list(graph), **options)

    def graph(self, shape: Shape, root: Body):
        graph = as_dask(shape, root)
        return lambda: self.get(graph)

    def mapped(self, count: int):
        def run() -> None:
            [found] = self.get({"numbers": Task("numbers", numbers, count)})
            self.get({("child", i): Task(("child", i), noop, i) for i in found})

        return run


class Cluster:
    """2 worker processes of 1 thread, Dask's default settings."""

    def __init__(self, client) -> None:
        self.client = client

    def graph(self, shape: Shape, root: Body):
        from distributed import wait

        graph = as_dask(shape, root)

        def run() -> None:
            done, _ = wait(self.client.get(graph, list(graph), sync=False))
            check(done)

        return run

    def mapped(self, count: int):
        from distributed import wait

        def run() -> None:
            found = self.client.submit(numbers, count, pure=False).result()
            done, _ = wait(self.client.map(noop, found, pure=False))
            check(done)

        return run


def check(futures) -> None:
    failed = [future for future in futures if future.status != "finished"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(futures)} failed")


@contextmanager
def started(place: str) -> Iterator[Local | Cluster]:
    if place == "this thread":
        yield Local(dask.get)
    elif place == "2 threads":
        from dask.threaded import get

        yield Local(get, num_workers=2)
    else:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield Cluster(client)
