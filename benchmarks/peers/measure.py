"""One system, one place, one kind of work, in this process: `python -m peers.measure SYSTEM PLACE WORK …`.

Adds a line of JSON to a file for each round as soon as it is over, so that what was measured is kept when the time
is up. The first round warms up and is written, too; the reader leaves it out.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from . import shapes

Run = Callable[[], None]
"""Runs what was prepared, to its end; raises where anything in it failed."""


class System(Protocol):
    """A system that is ready to run something."""

    def graph(self, shape: shapes.Shape, root: shapes.Body) -> Run:
        """A run of the graph: `root` in the tasks that wait for none, a no-op in all others."""

    def mapped(self, count: int) -> Run:
        """A run of a task that returns a list of `count` numbers, and of a no-op for each of them."""


class Module(Protocol):
    """What each file in `systems/` has."""

    def started(self, place: str) -> AbstractContextManager[System]:
        """The system, up and ready in one of its places; nothing of it is left afterwards."""


def prepare(system: System, work: str, most: int) -> tuple[int, Run]:
    """How many tasks there are, and the run of them."""
    if work == "map":
        count = shapes.map_width(most)
        return count + 1, system.mapped(count)
    if work == "work":
        shape = shapes.work()
        return len(shape), system.graph(shape, shapes.spin)
    shape = shapes.GRAPHS[work](most)
    return len(shape), system.graph(shape, shapes.noop)


def measure(system: System, work: str, most: int, rounds: int, path: str) -> None:
    """Run one kind of work, once to warm up and then `rounds` times; only the runs are timed."""
    for _ in range(rounds + 1):
        tasks, run = prepare(system, work, most)
        start = time.perf_counter()
        run()
        write(path, tasks, time.perf_counter() - start)


def measure_processes(name: str, place: str, rounds: int, path: str) -> None:
    """The same for a hello-world, each a process of its own."""
    command = [sys.executable, "-m", f"{__package__}.hello", name, place]
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True)
        write(path, 1, time.perf_counter() - start)


def write(path: str, tasks: int, seconds: float) -> None:
    """Add a round to the file."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"tasks": tasks, "seconds": seconds}) + "\n")


def main(name: str, place: str, work: str, most: str, rounds: str, path: str) -> None:
    """Measure."""
    if work == "hello":
        return measure_processes(name, place, int(rounds), path)
    module: Module = importlib.import_module(f".systems.{name}", __package__)
    with module.started(place) as system:
        measure(system, work, int(most), int(rounds), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
