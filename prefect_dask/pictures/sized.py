"""Where boxes stand whose sizes are the same whatever becomes of their tasks: for pictures of a run that goes on.

GraphViz places them; a plain layout of ours does where there is none, or where it would take seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from prefect_dask.pictures.diagram import MOST_ARROWS, Box, Diagram, diagram_of, without_implied
from prefect_dask.pictures.labels import clean
from prefect_dask.pictures.layout import Layout, Place, read_layout
from prefect_dask.pictures.outline import Outline
from prefect_dask.pictures.rendering import GraphVizFailed, NoGraphViz, render

#: Sizes in pixels, at full size.
HEIGHT: Final = 36.0
HEIGHT_OF_MANY: Final = 54.0
NARROWEST, NARROWEST_OF_MANY = 60.0, 130.0
PER_LETTER: Final = 8.0
GAP, RANK_GAP, MARGIN = 18.0, 48.0, 6.0
LONGEST_LABEL: Final = 24

MOST_PASSED: Final = 1_000
"""Where arrows pass more columns than these, counted for each arrow, GraphViz is not asked: it keeps a place for an
arrow in each. 1,000 take it 0.1 s, 2,700 1 s, 4,400 4 s, 8,000 20 s, for a picture many times as high as ours."""

Point: TypeAlias = tuple[float, float]


def is_many(box: Box) -> bool:
    """Whether a box stands for several task runs, so that their states are a bar, and not its colour."""
    return box.is_mapped or len(box.tasks) > 1


def label_in(box: Box) -> str:
    """What is written in a box: its title, cut short."""
    return clean(box.title, LONGEST_LABEL)


def size_of(box: Box) -> tuple[float, float]:
    """How wide and high a box is, in pixels: it stays whatever its states are."""
    letters = PER_LETTER * len(label_in(box)) + 20
    if is_many(box):
        return max(NARROWEST_OF_MANY, letters), HEIGHT_OF_MANY
    return max(NARROWEST, letters), HEIGHT


def readable_diagram(outline: Outline) -> Diagram:
    """What a picture of a run that goes on shows of a flow, with fewer arrows where `MOST_ARROWS` are not enough.

    Those are left out that a longer way implies; if others are too many still, alike tasks share boxes, however few
    tasks there are.
    """
    diagram = without_implied(diagram_of(outline))
    if len(diagram.arrows) > MOST_ARROWS:
        return _with_fewer_boxes(outline, diagram)
    return diagram


def _with_fewer_boxes(outline: Outline, diagram: Diagram) -> Diagram:
    grouped = diagram_of(outline, group=True)
    return grouped if len(grouped.boxes) < len(diagram.boxes) else diagram


def laid_out(
    outline: Outline, diagram: Diagram, tallest: float, widest: float = math.inf
) -> tuple[Diagram, Layout]:
    """What a picture of a flow shows, and where that stands, in pixels, when arrows lead to the right.

    Args:
        outline: The flow.
        diagram: What is shown of it, if that is small enough.
        tallest: Where the picture would be higher, alike tasks share boxes, however few tasks there are.
        widest: The same for its width.
    """
    layout = _layout_of(diagram)
    if layout.height > tallest or layout.width > widest:
        smaller = _with_fewer_boxes(outline, diagram)
        if smaller is not diagram:
            return smaller, _layout_of(smaller)
    return diagram, layout


def _layout_of(diagram: Diagram) -> Layout:
    sizes = [size_of(box) for box in diagram.boxes]
    if not sizes:
        return Layout(0.0, 0.0, (), ())
    if _passed(diagram) <= MOST_PASSED:
        with suppress(NoGraphViz, GraphVizFailed):
            return read_layout(json.loads(render(_dot_of(diagram, sizes), "json0")), diagram)
    return plain_layout(diagram, sizes)


def _passed(diagram: Diagram) -> int:
    """How many columns the arrows pass, each arrow for itself."""
    links = _links(diagram)
    columns = in_columns(len(diagram.boxes), links)
    column_of = {box: number for number, column in enumerate(columns) for box in column}
    return sum(column_of[below] - column_of[above] for above, below in links)


def _links(diagram: Diagram) -> list[tuple[int, int]]:
    return [(arrow.above, arrow.below) for arrow in diagram.arrows]


def _dot_of(diagram: Diagram, sizes: Sequence[tuple[float, float]]) -> str:
    """The diagram for GraphViz, with boxes of these sizes and nothing written in them."""
    lines = [
        "digraph {",
        f"graph [rankdir=LR, pad=0, nodesep={GAP / 72:.3f}, ranksep={RANK_GAP / 72:.3f}]",
        'node [shape=box, fixedsize=true, label=""]',
        *(
            f"b{box.number} [width={width / 72:.4f}, height={height / 72:.4f}]"
            for box, (width, height) in zip(diagram.boxes, sizes, strict=True)
        ),
        *(f"b{arrow.above} -> b{arrow.below}" for arrow in diagram.arrows),
    ]
    return "\n".join([*lines, "}"])


# ---- a layout of ours


def plain_layout(diagram: Diagram, sizes: Sequence[tuple[float, float]]) -> Layout:
    """Boxes in columns, each right of all that it waits for; arrows may pass behind boxes."""
    links = _links(diagram)
    columns = in_columns(len(sizes), links)
    heights = [sum(sizes[box][1] + GAP for box in column) - GAP for column in columns]
    tallest = max(heights)
    places: dict[int, Place] = {}
    left = MARGIN
    for column, height in zip(columns, heights, strict=True):
        width = max(sizes[box][0] for box in column)
        top = MARGIN + (tallest - height) / 2
        for box in column:
            places[box] = Place(left + width / 2, top + sizes[box][1] / 2, *sizes[box])
            top += sizes[box][1] + GAP
        left += width + RANK_GAP
    return Layout(
        left - RANK_GAP + MARGIN,
        tallest + 2 * MARGIN,
        tuple(places[box] for box in range(len(sizes))),
        tuple(_arrow(places, above, below) for above, below in links),
    )


def _arrow(places: Mapping[int, Place], above: int, below: int) -> tuple[Point, ...]:
    start, end = places[above], places[below]
    x0, x1 = start.x + start.width / 2, end.x - end.width / 2
    reach = max(RANK_GAP / 2, (x1 - x0) / 2)
    return ((x0, start.y), (x0 + reach, start.y), (x1 - reach, end.y), (x1, end.y))


def in_columns(count: int, links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Boxes in columns, each right of all that it waits for, and near the middle of these.

    Args:
        count: How many boxes there are.
        links: Which box waits for which, as (above, below); they make no cycle.

    >>> in_columns(4, [(0, 2), (1, 2), (2, 3)])
    [[0, 1], [2], [3]]
    """
    above: list[list[int]] = [[] for _ in range(count)]
    for one, other in links:
        above[other].append(one)
    column_of: dict[int, int] = {}
    waiting = list(range(count))
    while waiting:
        ready = [box for box in waiting if all(each in column_of for each in above[box])]
        for box in ready or waiting:
            column_of[box] = max([column_of.get(each, -1) + 1 for each in above[box]], default=0)
        waiting = [box for box in waiting if box not in column_of]
    columns: list[list[int]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for box in range(count):
        columns[column_of[box]].append(box)
    place: dict[int, float] = {}
    for column in columns:
        middles = {box: _middle([place[each] for each in above[box]]) for box in column}
        column.sort(key=middles.__getitem__)
        for number, box in enumerate(column):
            place[box] = number - (len(column) - 1) / 2
    return columns


def _middle(places: Sequence[float]) -> float:
    return sum(places) / len(places) if places else 0.0
