"""What does a task cost in a graph without a simple shape? 20 layers of 100, each task after three random ones."""

from __future__ import annotations

from benchmarks.core.graphs import compare
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.shapes import Shape, layered


def shape(options: Options) -> Shape:
    return layered(20, options.size(100))


def threads(options: Options) -> list[Row]:
    """Two threads beside `dask.threaded.get`."""
    return [
        compare("layered 20 × 100 × 3, 2 threads", "threads", shape(options), Bar(0.8), options)
    ]


def spread(options: Options) -> list[Row]:
    """A cluster."""
    return [compare("layered 20 × 100 × 3, cluster", "cluster", shape(options), Bar(1.0), options)]


QUESTIONS: Questions = {"layered-threads": threads, "layered-cluster": spread}
