"""Graphs of no-ops with results along their edges, as a flow and as a Dask graph."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dask._task_spec import List as DaskList
from dask._task_spec import Task as DaskTask
from dask._task_spec import TaskRef

from benchmarks.core.bodies import add, one, start, three, total
from prefect_dask import Flow, task

DaskKey: TypeAlias = tuple[str, int]
DaskGraph: TypeAlias = dict[DaskKey, DaskTask]


class Step(NamedTuple):
    """One task of a shape: the function, and the positions of the tasks whose results it takes."""

    run: Callable[..., Any]
    upstream: tuple[int, ...] = ()


Shape: TypeAlias = list[Step]


def wide(count: int) -> Shape:
    """Independent tasks, and one that takes the results of all."""
    return [*[Step(start)] * count, Step(total, tuple(range(count)))]


def chain(count: int) -> Shape:
    """Tasks, each of which takes the result of the one before."""
    return [Step(start), *(Step(one, (i,)) for i in range(count - 1))]


def tree(leaves: int) -> Shape:
    """Leaves, added two by two until one is left; an odd one waits for the next row."""
    shape = [Step(start)] * leaves
    row = list(range(leaves))
    while len(row) > 1:
        above = []
        for left, right in zip(row[::2], row[1::2], strict=False):
            above.append(len(shape))
            shape.append(Step(add, (left, right)))
        row = above + row[len(above) * 2 :]
    return shape


def layered(layers: int, width: int) -> Shape:
    """Layers of tasks, each of which takes three random ones of the layer before; the same each time."""
    draw = random.Random(0)
    shape = [Step(start)] * width
    for layer in range(1, layers):
        before = range((layer - 1) * width, layer * width)
        shape += [Step(three, tuple(draw.sample(before, 3))) for _ in range(width)]
    return shape


def as_flow(shape: Shape, *, batch: int | None = None) -> Flow:
    """The shape as a flow."""
    kinds = {step.run: task(step.run, batch=batch) for step in shape}
    made: list[Any] = []
    with Flow("benchmark") as flow:
        for i, step in enumerate(shape):
            kind, above = kinds[step.run], [made[j] for j in step.upstream]
            if step.run is total:
                made.append(kind(above))
            else:
                made.append(kind(*above) if above else kind(i))
    return flow


def as_dask(shape: Shape) -> DaskGraph:
    """The shape as a Dask graph under new keys, which are named as the functions are."""
    run = uuid.uuid4().hex
    keys = [(f"{step.run.__name__}-{run}", i) for i, step in enumerate(shape)]
    graph: DaskGraph = {}
    for i, (key, step) in enumerate(zip(keys, shape, strict=True)):
        above: list[TaskRef | int] = [TaskRef(keys[j]) for j in step.upstream]
        if step.run is total:
            graph[key] = DaskTask(key, total, DaskList(*above))
        else:
            graph[key] = DaskTask(key, step.run, *(above or [i]))
    return graph
