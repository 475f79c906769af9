"""Where the boxes and arrows of a diagram stand, for whoever draws them by other means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect_dask.pictures.diagram import Diagram
from prefect_dask.pictures.dot import Direction, dot_of
from prefect_dask.pictures.rendering import render


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box stands: its middle, width and height, in points; y grows downwards."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands.

    Attributes:
        width: Of the whole, in points (72 an inch).
        height: Of the whole, in points.
        boxes: The places of the boxes, by their numbers.
        arrows: For each arrow of the diagram, 1 + 3n points (x, y) of a line of n cubic Bézier curves.
    """

    width: float
    height: float
    boxes: tuple[Place, ...]
    arrows: tuple[tuple[tuple[float, float], ...], ...]


def layout_of(diagram: Diagram, rankdir: Direction = "TB") -> Layout:
    """Where the boxes and arrows of a diagram stand in its picture.

    Raises:
        NoGraphViz: Neither the program nor the wheel is there.
        GraphVizFailed: It cannot lay this out.
    """
    return read_layout(json.loads(render(dot_of(diagram, rankdir), "json0")), diagram)


def read_layout(said: Any, diagram: Diagram) -> Layout:
    """What GraphViz says in its format json0 about the DOT of a diagram."""
    _, _, width, height = _numbers(said.get("bb", "0,0,0,0"))
    places: dict[str, Place] = {}
    name_of: dict[int, str] = {}
    for each in said.get("objects", ()):
        x, y = _numbers(each["pos"])
        size = 72 * float(each["width"]), 72 * float(each["height"])
        places[each["name"]] = Place(x, height - y, *size)
        name_of[each["_gvid"]] = each["name"]
    lines: dict[tuple[str, str], list[tuple[tuple[float, float], ...]]] = {}
    for each in said.get("edges", ()):
        ends = name_of[each["tail"]], name_of[each["head"]]
        lines.setdefault(ends, []).append(_curve(each["pos"], height))
    return Layout(
        width,
        height,
        tuple(places[f"b{box.number}"] for box in diagram.boxes),
        tuple(lines[f"b{arrow.above}", f"b{arrow.below}"].pop(0) for arrow in diagram.arrows),
    )


def _numbers(text: str) -> Sequence[float]:
    return [float(number) for number in text.split(",")]


def _curve(text: str, height: float) -> tuple[tuple[float, float], ...]:
    """The points of an edge; its ends, where arrow heads are, are told apart as `e,x,y` and `s,x,y`."""
    points = [part.split(",") for part in text.split(" ")]
    ends = {point[0]: point[1:] for point in points if len(point) == 3}
    line = [point for point in points if len(point) == 2]
    if "s" in ends:
        line[0] = ends["s"]
    if "e" in ends:
        line[-1] = ends["e"]
    return tuple((float(x), height - float(y)) for x, y in line)
