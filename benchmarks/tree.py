"""What does a tree reduction cost? 4,096 leaves, added two by two."""

from __future__ import annotations

from benchmarks.core.graphs import compare
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.shapes import tree


def spread(options: Options) -> list[Row]:
    """A cluster."""
    shape = tree(options.size(4_096))
    return [compare("tree of 4,096 leaves, cluster", "cluster", shape, Bar(0.3), options)]


QUESTIONS: Questions = {"tree-cluster": spread}
