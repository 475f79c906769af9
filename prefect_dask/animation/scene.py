"""Where the boxes of a flow's diagram stand on the page, from left to right as time goes below them.

GraphViz places them where it is; where it is not, a plain layout of ours does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from prefect_dask.ledger.facts import RecordedFlow
from prefect_dask.pictures.diagram import ArrowKind, Box, Diagram, diagram_of
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

#: Where a diagram is higher, alike tasks share boxes, however few tasks there are: nobody could read it.
TALLEST: Final = 1_000.0

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ShownBox:
    """One box of the picture.

    Attributes:
        name: What it is called.
        label: What is written in it: the same, cut short.
        tasks: The tasks it stands for, by place in the flow.
        is_many: Whether it stands for several task runs, and shows how many are at which state.
        x, y: Its middle; y grows downwards.
        width, height: Its size.
    """

    name: str
    label: str
    tasks: tuple[int, ...]
    is_many: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class ShownArrow:
    """A line from one box to another.

    Attributes:
        points: 1 + 3n points of a line of n cubic Bézier curves.
        kind: What goes along it.
    """

    points: tuple[Point, ...]
    kind: ArrowKind


@dataclass(frozen=True, slots=True)
class Scene:
    """The whole picture, from (0, 0) to (width, height).

    Attributes:
        boxes: What stands in it.
        arrows: Between the boxes.
        box_of: For each task of the flow, the number of its box.
        width, height: Its size in pixels.
    """

    boxes: tuple[ShownBox, ...]
    arrows: tuple[ShownArrow, ...]
    box_of: tuple[int, ...]
    width: float
    height: float


def scene_of(flow: RecordedFlow) -> Scene:
    """The picture of a recorded flow."""
    outline = Outline.of_record(flow)
    diagram = diagram_of(outline)
    scene = _placed(diagram)
    if scene.height > TALLEST:
        grouped = diagram_of(outline, group=True)
        if len(grouped.boxes) < len(diagram.boxes):
            return _placed(grouped)
    return scene


def _placed(diagram: Diagram) -> Scene:
    sizes = [size_of(box) for box in diagram.boxes]
    if not sizes:
        return Scene((), (), (), 0.0, 0.0)
    try:
        layout = read_layout(json.loads(render(_dot_of(diagram, sizes), "json0")), diagram)
    except (NoGraphViz, GraphVizFailed):
        layout = plain_layout(diagram, sizes)
    return Scene(
        tuple(
            ShownBox(
                *(box.title, clean(box.title, LONGEST_LABEL), box.tasks, _is_many(box)),
                *(place.x, place.y, *size),
            )
            for box, place, size in zip(diagram.boxes, layout.boxes, sizes, strict=True)
        ),
        tuple(
            ShownArrow(points, arrow.kind)
            for arrow, points in zip(diagram.arrows, layout.arrows, strict=True)
        ),
        diagram.box_of,
        layout.width,
        layout.height,
    )


def _is_many(box: Box) -> bool:
    return box.is_mapped or len(box.tasks) > 1


def size_of(box: Box) -> tuple[float, float]:
    """How wide and high a box is, in pixels: its size stays while it is played."""
    letters = PER_LETTER * len(clean(box.title, LONGEST_LABEL)) + 20
    if _is_many(box):
        return max(NARROWEST_OF_MANY, letters), HEIGHT_OF_MANY
    return max(NARROWEST, letters), HEIGHT


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


# ---- without GraphViz


def plain_layout(diagram: Diagram, sizes: Sequence[tuple[float, float]]) -> Layout:
    """Boxes in columns, each right of all that it waits for; arrows may pass behind boxes."""
    links = [(arrow.above, arrow.below) for arrow in diagram.arrows]
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


# ---- lines


def along(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Points along a line of cubic Bézier curves, to be joined by straight lines.

    >>> along([(0, 0), (1, 0), (2, 0), (3, 0)], steps=3)
    [(0, 0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]
    """
    line = [points[0]]
    for at in range(0, len(points) - 3, 3):
        curve = points[at : at + 4]
        line += [_on_curve(curve, step / steps) for step in range(1, steps + 1)]
    return line


def _on_curve(curve: Sequence[Point], t: float) -> Point:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    xs, ys = zip(*curve, strict=True)
    return (
        round(sum(w * x for w, x in zip(weights, xs, strict=True)), 2),
        round(sum(w * y for w, y in zip(weights, ys, strict=True)), 2),
    )
