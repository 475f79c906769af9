"""Luigi: tasks that require others, one worker, the local scheduler; what is complete is remembered in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import luigi

from ..shapes import Body, Shape, noop

#: A number for each run, so that no run finds its tasks complete.
numbered = itertools.count()
complete: set[tuple[int, int]] = set()
shapes: dict[int, tuple[Shape, Body]] = {}


class Remembered(luigi.Task):
    """A task that is complete once it has run in this process."""

    run_number = luigi.IntParameter()
    index = luigi.IntParameter()

    def complete(self) -> bool:
        return (self.run_number, self.index) in complete

    def finish(self) -> None:
        complete.add((self.run_number, self.index))


class Node(Remembered):
    def requires(self):
        shape, _ = shapes[self.run_number]
        return [Node(self.run_number, index) for index in shape[self.index]]

    def run(self) -> None:
        shape, root = shapes[self.run_number]
        (noop if shape[self.index] else root)()
        self.finish()


class Child(Remembered):
    def run(self) -> None:
        self.finish()


class Mapped(Remembered):
    """Finds its list when it runs, and then what it needs: Luigi's dynamic dependencies."""

    count = luigi.IntParameter()

    def run(self):
        found = list(range(self.count))
        yield [Child(self.run_number, number) for number in found]
        self.finish()


class Luigi:
    def graph(self, shape: Shape, root: Body):
        number = next(numbered)
        shapes[number] = shape, root
        needed = {index for above in shape for index in above}
        last = [Node(number, i) for i in range(len(shape)) if i not in needed]
        return lambda: self.run(last)

    def mapped(self, count: int):
        return lambda: self.run([Mapped(next(numbered), -1, count)])

    def run(self, tasks: list[luigi.Task]) -> None:
        done = luigi.build(tasks, workers=1, local_scheduler=True, no_lock=True, log_level="ERROR")
        if not done or not all(task.complete() for task in tasks):
            raise RuntimeError("Luigi did not finish all tasks")


@contextmanager
def started(place: str) -> Iterator[Luigi]:
    yield Luigi()
