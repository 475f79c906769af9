"""redun: lazy expressions, a scheduler with its records in memory; no two calls are the same, so none is cached."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import redun
from redun.config import Config

from ..shapes import Body, Shape, noop

redun_namespace = "peers"
#: Bodies by name: what a task is given has to be a value that redun can hash.
BODIES: dict[str, Body] = {}


@redun.task(cache=False)
def first(index: int, body: str) -> int:
    BODIES[body]()
    return index


@redun.task(cache=False)
def other(index: int, above: list) -> int:
    return index


@redun.task(cache=False)
def numbers(count: int) -> list:
    return list(range(count))


@redun.task(cache=False)
def children(found: list) -> list:
    return [first(number, "noop") for number in found]


class Redun:
    def graph(self, shape: Shape, root: Body):
        BODIES[root.__name__] = root
        made: list = []
        needed = {index for above in shape for index in above}
        for i, above in enumerate(shape):
            waits = [made[index] for index in above]
            made.append(other(i, waits) if above else first(i, root.__name__))
        last = [each for i, each in enumerate(made) if i not in needed]
        return lambda: self.run(last)

    def mapped(self, count: int):
        BODIES["noop"] = noop
        return lambda: self.run(children(numbers(count)))

    def run(self, expression) -> None:
        config = Config({"executors.default": {"type": "local", "max_workers": 2}})
        redun.Scheduler(config=config).run(expression)


@contextmanager
def started(place: str) -> Iterator[Redun]:
    logging.getLogger("redun").setLevel(logging.ERROR)
    # redun describes an expression with all that is nested in it, a thousand deep for a chain.
    sys.setrecursionlimit(20_000)
    yield Redun()
