"""How what a picture shows looks: shapes, lines, colours, the order of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.state import STATES, State
from prefect_dask.pictures.diagram import ArrowKind, Box

INK: Final = "#1f2937"
LINE: Final = "#5b6472"
FAINT: Final = "#4b5563"
PAPER: Final = "#ffffff"

BAR_POINTS: Final = 132
"""The width of a bar of states; each state that there is has at least `LEAST_POINTS` of it."""
LEAST_POINTS: Final = 4

#: In which order states stand in a bar: what is over, what goes on, what is to come.
_ORDER: Final = (
    *("Success", "Cached", "Mapped", "Skipped", "Finished", "Looped"),
    *("Failed", "TimedOut", "ValidationFailed", "Crashed", "TriggerFailed", "Cancelled"),
    *("Running", "Cancelling", "Retrying", "Paused", "Scheduled", "Resume"),
    *("Queued", "Submitted", "Pending"),
)

SHAPES: Final[Mapping[ShownAs, str]] = {
    "task": 'shape=box, style="rounded,filled"',
    "parameter": "shape=ellipse, style=filled",
    "constant": "shape=note, style=filled",
    "collection": "shape=box, style=filled",
    "case": "shape=hexagon, style=filled",
    "merge": "shape=invtrapezium, style=filled",
    "flow": "shape=component, style=filled",
    "set-up": "shape=house, style=filled",
    "clean-up": "shape=invhouse, style=filled",
}

GROUNDS: Final[Mapping[ShownAs, str]] = {
    "parameter": "#e6eefb",
    "constant": "#f6f2e2",
    "collection": "#f3f4f6",
    "case": "#f1ebfa",
    "merge": "#f1ebfa",
    "set-up": "#e9f5ec",
    "clean-up": "#e9f5ec",
}

LINES: Final[Mapping[ArrowKind, str]] = {
    "data": f'color="{LINE}"',
    "mapped": f'color="{LINE}:{PAPER}:{LINE}"',
    "state": f'color="{LINE}", style=dashed, arrowhead=empty',
}

LINES_SAY: Final[Mapping[ArrowKind, str]] = {
    "data": "the result, as this argument",
    "mapped": "an item for each child",
    "state": "waits for it alone",
}


def has_histogram(box: Box) -> bool:
    """Whether the states of a box are a bar, and not its colour."""
    return bool(box.states) and (len(box.tasks) > 1 or sum(box.states.values()) > 1)


def ground_of(box: Box) -> str:
    """What colour a box is filled with: its state's, where it has one."""
    if not box.states:
        return GROUNDS.get(box.shown_as, PAPER)
    if has_histogram(box):
        return PAPER
    [state] = box.states
    return color_of(state)


def color_of(state: str) -> str:
    """The colour of a state, by its name."""
    return STATES.get(state, State).color


def in_order(states: Mapping[str, int]) -> list[tuple[str, int]]:
    """States and how many there are of each, in the order in which they are shown."""
    places = {name: place for place, name in enumerate(_ORDER)}
    return sorted(states.items(), key=lambda item: (places.get(item[0], len(places)), item[0]))


def bar_widths(states: Mapping[str, int], points: int = BAR_POINTS) -> list[tuple[str, int]]:
    """How wide each state is in a bar, in order: in proportion, and never too narrow to be seen.

    >>> bar_widths({"Failed": 1, "Success": 9_999})
    [('Success', 128), ('Failed', 4)]
    """
    shown = in_order({name: count for name, count in states.items() if count})
    total = sum(count for _, count in shown)
    free = points - LEAST_POINTS * len(shown)
    exact = [max(0.0, points * count / total - LEAST_POINTS) for _, count in shown]
    scale = free / (sum(exact) or 1)
    return [
        (name, LEAST_POINTS + round(each * scale))
        for (name, _), each in zip(shown, exact, strict=True)
    ]
