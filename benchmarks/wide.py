"""What does a task cost that waits for nothing? 10,000 of them, and one that adds their results up."""

from __future__ import annotations

from benchmarks.core.graphs import compare
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.shapes import Shape, wide


def shape(options: Options) -> Shape:
    return wide(options.size(10_000))


def this_thread(options: Options) -> list[Row]:
    """LocalExecutor beside `dask.get`."""
    again, first = "wide + reduce, this thread", "wide + reduce, this thread, first run of a flow"
    return [
        compare(again, "this thread", shape(options), Bar(0.5), options),
        compare(first, "this thread", shape(options), Bar(0.5), options, is_first=True),
    ]


def threads(options: Options) -> list[Row]:
    """Two threads beside `dask.threaded.get`."""
    return [compare("wide + reduce, 2 threads", "threads", shape(options), Bar(0.6), options)]


def single(options: Options) -> list[Row]:
    """A cluster, where each task is a node of its own."""
    work = "wide + reduce, cluster, batch=1"
    return [compare(work, "cluster", shape(options), Bar(1.15), options, batch=1)]


def saturated(options: Options) -> list[Row]:
    """The same where Dask sends a worker all it has."""
    work = "wide + reduce, cluster, batch=1, saturation inf"
    inf = float("inf")
    return [compare(work, "cluster", shape(options), Bar(1.25), options, batch=1, saturation=inf)]


QUESTIONS: Questions = {
    "wide-this-thread": this_thread,
    "wide-threads": threads,
    "wide-cluster": single,
    "wide-saturated": saturated,
}
