"""The graph of a flow that runs, as SVG in the same HTML as all the rest: boxes in the colours of states."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import STATES, Finished, Looped, State
from prefect_dask.pictures.colors import text_color
from prefect_dask.pictures.diagram import MOST_ARROWS, Arrow, ArrowKind, Box, Diagram
from prefect_dask.pictures.labels import clean
from prefect_dask.pictures.layout import Layout, Place
from prefect_dask.pictures.outline import Outline
from prefect_dask.pictures.sized import Point, is_many, label_in, laid_out, readable_diagram
from prefect_dask.pictures.style import bar_widths, color_of, in_order
from prefect_dask.progress.watch import Watch

MOST_TASKS: Final = 2_000
"""Flows with more tasks have no graph: to add their states up takes longer than all the rest that is drawn."""

TALLEST, WIDEST = 500.0, 1_800.0
"""Where it would be higher or wider, in pixels at full size, alike tasks share boxes."""

SHOWN_TALLEST: Final = 380
"""It is made smaller where it would be higher on the page."""

SMALLEST: Final = 0.65
"""To no less than this: below, nobody can read it. What is wider then, or higher than `ROOM`, is scrolled."""

ROOM: Final = 500
"""So many pixels of the page, from top to bottom, it has at most."""

MARGIN: Final = 4
HEAD: Final = 7.0
"""How long the head of an arrow is."""

BAR_INSET: Final = 12


class Graph:
    """The graph of a flow, laid out once.

    Attributes:
        diagram: What it shows.
        layout: Where that stands.
    """

    def __init__(self, diagram: Diagram, layout: Layout) -> None:
        self.diagram, self.layout = diagram, layout

    @classmethod
    def of(cls, outline: Outline) -> Graph | None:
        """The graph of a flow; None where it says nothing that a list of tasks does not, or too much.

        GraphViz, where there is one, takes some 50 ms, and 0.2 s at most, in a process of its own.
        """
        if not 1 < len(outline.tasks) <= MOST_TASKS or not outline.edges:
            return None
        try:
            diagram = readable_diagram(outline)
            if not 0 < len(diagram.arrows) <= MOST_ARROWS:
                return None
            diagram, layout = laid_out(outline, diagram, TALLEST, WIDEST)
        except Exception:  # a run is worth more than its picture
            get_logger("progress").debug("flow %r was not laid out", outline.name, exc_info=True)
            return None
        return cls(diagram, layout) if diagram.arrows else None

    def html(self, watch: Watch) -> str:
        """The graph in the colours of now."""
        states = watch.states_of(box.tasks for box in self.diagram.boxes)
        return graph_svg(self.diagram, self.layout, states) if states else ""


def graph_svg(diagram: Diagram, layout: Layout, counts: Sequence[Mapping[str, int]]) -> str:
    """The graph of a flow as SVG that stands in HTML: no script, no style of its own, as wide as there is room.

    Args:
        diagram: What it shows, with at least one box.
        layout: Where that stands, in pixels.
        counts: For each box, how many runs of its tasks are at which state.
    """
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    boxes = "".join(
        _box(box, place, states)
        for box, place, states in zip(diagram.boxes, layout.boxes, counts, strict=True)
    )
    # Never larger than at full size; what is higher than SHOWN_TALLEST is made narrower with it.
    shown = width * max(SMALLEST, min(1.0, SHOWN_TALLEST / height))
    return (
        f'<div style="overflow:auto;max-height:{ROOM}px"><svg role="img" aria-label="graph of the flow" '
        f'viewBox="{-MARGIN} {-MARGIN} {width:.0f} {height:.0f}" style="display:block;width:100%;'
        f"max-width:{shown:.0f}px;min-width:{width * SMALLEST:.0f}px;height:auto;"
        f'margin:8px 0 4px" font-size="12" text-anchor="middle">'
        f"{_arrows(diagram.arrows, layout.arrows)}{boxes}</svg></div>"
    )


# ---- boxes


def _box(box: Box, place: Place, states: Mapping[str, int]) -> str:
    tip = ", ".join(f"{name} {count:,}" for name, count in in_order(states))
    title = escape(clean(f"{box.title}: {tip}", 160))
    inside = _many(box, place, states) if is_many(box) else _one(box, place, states)
    return f"<g><title>{title}</title>{inside}</g>"


def _one(box: Box, place: Place, states: Mapping[str, int]) -> str:
    """A task run: its state's colour, its name, and its state."""
    [(state, _), *_] = in_order(states)
    ground = color_of(state)
    fill, ink = f'fill="{ground}"', text_color(ground)
    if state == "Pending":  # on dark ground its colour would be the first that is seen
        fill, ink = 'fill="#808080" fill-opacity=".2"', "currentColor"
    return (
        _frame(place, f'{fill} stroke="#808080" stroke-opacity=".6"')
        + _text(box, place, -3, f'fill="{ink}"')
        + f'<text x="{place.x:.0f}" y="{place.y + 12:.0f}" font-size="10" fill="{ink}">{escape(state)}</text>'
    )


def _many(box: Box, place: Place, states: Mapping[str, int]) -> str:
    """Several task runs: a bar of their states, how many are over, and the colour of what matters most as frame."""
    total = sum(states.values())
    done = sum(count for name, count in states.items() if _is_over(name))
    lead = next((name for name in _LEADING if states.get(name)), None)
    line = "#808080" if lead is None else color_of(lead)
    left, bar = place.x - place.width / 2 + BAR_INSET, place.width - 2 * BAR_INSET
    parts = [
        f'<path d="M{left:.0f} {place.y:.0f}h{bar:.0f}" stroke="#808080" stroke-opacity=".3" stroke-width="7"/>'
    ]
    x = left
    for name, wide in bar_widths(states, int(bar)):
        if name != "Pending":
            parts.append(
                f'<path d="M{x:.0f} {place.y:.0f}h{wide}" stroke="{color_of(name)}" stroke-width="7"/>'
            )
        x += wide
    said = f"{done:,}/{total:,}" if total > 1 else escape("".join(states))
    return (
        _frame(place, f'fill="none" stroke="{line}" stroke-width="1.5"')
        + _text(box, place, -10, 'fill="currentColor"')
        + "".join(parts)
        + f'<text x="{place.x:.0f}" y="{place.y + 18:.0f}" font-size="10" fill="currentColor">{said}</text>'
    )


#: What a frame tells of first.
_LEADING: Final = (
    *("Failed", "Crashed", "TimedOut", "ValidationFailed", "TriggerFailed", "Cancelled"),
    *("Running", "Retrying", "Paused"),
)


def _is_over(state: str) -> bool:
    kind = STATES.get(state, State)
    return issubclass(kind, Finished) and not issubclass(kind, Looped)


def _frame(place: Place, look: str) -> str:
    x, y = place.x - place.width / 2, place.y - place.height / 2
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{place.width:.0f}" height="{place.height:.0f}" rx="6" {look}/>'


def _text(box: Box, place: Place, lower: float, look: str) -> str:
    label, room = label_in(box), place.width - 16
    # Letters that are as wide as high are pressed together.
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in label)
    is_tight = wide > 0 and 12 * wide + 7 * (len(label) - wide) > room
    fit = f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"' if is_tight else ""
    return f'<text x="{place.x:.0f}" y="{place.y + lower:.0f}"{fit} {look}>{escape(label)}</text>'


# ---- arrows


def _arrows(arrows: Sequence[Arrow], lines: Sequence[Sequence[Point]]) -> str:
    """All arrows of a kind as one line: a result, one item for each child (doubled), a state alone (dashed)."""
    of_kind: dict[ArrowKind, list[Sequence[Point]]] = {}
    for arrow, points in zip(arrows, lines, strict=True):
        of_kind.setdefault(arrow.kind, []).append(points)
    return "".join(_of_kind(kind, several) for kind, several in of_kind.items())


def _of_kind(kind: ArrowKind, lines: Iterable[Sequence[Point]]) -> str:
    curves, heads = [], []
    for points in lines:
        tip, line = points[-1], [*points[:-1], _before(points)]
        curves.append(f"M{_at(line[0])}C{' '.join(map(_at, line[1:]))}")
        heads.append(_head(tip, line[-1]))
    curve, head = "".join(curves), "".join(heads)
    look = 'fill="none" stroke="#808080" stroke-width="1.4"'
    if kind == "state":
        return f'<path d="{curve}" {look} stroke-dasharray="5 3"/><path d="{head}" {look}/>'
    if kind == "mapped":
        double = 'fill="none" stroke="#808080" stroke-width="4"'
        inner = 'class="pd-gap" fill="none" stroke-width="1.6"'
        lines_of = f'<path d="{curve}" {double}/><path d="{curve}" {inner}/>'
    else:
        lines_of = f'<path d="{curve}" {look}/>'
    return f'{lines_of}<path d="{head}" fill="#808080"/>'


def _before(points: Sequence[Point]) -> Point:
    """Where the head of an arrow begins."""
    (x, y), (dx, dy) = points[-1], _direction(points)
    return x - HEAD * dx, y - HEAD * dy


def _direction(points: Sequence[Point]) -> Point:
    end = points[-1]
    for point in reversed(points[:-1]):
        dx, dy = end[0] - point[0], end[1] - point[1]
        if (length := math.hypot(dx, dy)) > 0.5:
            return dx / length, dy / length
    return 1.0, 0.0


def _head(tip: Point, begin: Point) -> str:
    across = (tip[1] - begin[1]) / 2, (begin[0] - tip[0]) / 2
    one = begin[0] + across[0], begin[1] + across[1]
    other = begin[0] - across[0], begin[1] - across[1]
    return f"M{_at(tip)}L{_at(one)} {_at(other)}z"


def _at(point: Point) -> str:
    return f"{point[0]:.0f},{point[1]:.0f}"
