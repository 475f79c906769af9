"""What does a step cost that has to wait for the one before? 1,000 in a row."""

from __future__ import annotations

from benchmarks.core.graphs import compare
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.shapes import Shape, chain


def shape(options: Options) -> Shape:
    return chain(options.size(1_000))


def threads(options: Options) -> list[Row]:
    """Two threads beside `dask.threaded.get`."""
    return [compare("chain, 2 threads", "threads", shape(options), Bar(0.4), options)]


def fused(options: Options) -> list[Row]:
    """A cluster, where raw Dask pays a round trip a step."""
    return [compare("chain, cluster", "cluster", shape(options), Bar(0.01), options)]


QUESTIONS: Questions = {"chain-threads": threads, "chain-cluster": fused}
