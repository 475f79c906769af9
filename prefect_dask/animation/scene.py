"""Where the boxes of a flow's diagram stand on the page, from left to right as time goes below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prefect_dask.ledger.facts import RecordedFlow
from prefect_dask.pictures.diagram import ArrowKind
from prefect_dask.pictures.outline import Outline
from prefect_dask.pictures.sized import (
    Point,
    is_many,
    label_in,
    laid_out,
    readable_diagram,
    size_of,
)

#: Where the picture would be higher, alike tasks share boxes: nobody could read it.
TALLEST: Final = 1_000.0


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
    diagram, layout = laid_out(outline, readable_diagram(outline), TALLEST)
    return Scene(
        tuple(
            ShownBox(
                *(box.title, label_in(box), box.tasks, is_many(box)),
                *(place.x, place.y, *size_of(box)),
            )
            for box, place in zip(diagram.boxes, layout.boxes, strict=True)
        ),
        tuple(
            ShownArrow(points, arrow.kind)
            for arrow, points in zip(diagram.arrows, layout.arrows, strict=True)
        ),
        diagram.box_of,
        layout.width,
        layout.height,
    )


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
