"""Parsl: apps that take the futures above as arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.threads import ThreadPoolExecutor
from parsl.providers import LocalProvider

from ..shapes import Body, Shape, noop

PLACES = {
    "2 threads": lambda: ThreadPoolExecutor(max_threads=2),
    "HTEX 2 processes": lambda: HighThroughputExecutor(
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=1,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    ),
}


def numbers(count: int) -> list[int]:
    return list(range(count))


class Parsl:
    def graph(self, shape: Shape, root: Body):
        return partial(self.run, shape, parsl.python_app(root), parsl.python_app(noop))

    def mapped(self, count: int):
        listing, child = parsl.python_app(numbers), parsl.python_app(noop)

        def whole() -> None:
            for future in [child(number) for number in listing(count).result()]:
                future.result()

        return whole

    def run(self, shape: Shape, first, other) -> None:
        futures: list = []
        for above in shape:
            futures.append(other(*[futures[index] for index in above]) if above else first())
        for future in futures:
            future.result()


@contextmanager
def started(place: str) -> Iterator[Parsl]:
    config = Config(executors=[PLACES[place]()], strategy="none", usage_tracking=0)
    with parsl.load(config):
        yield Parsl()
