"""A box of its own in a picture: the shapes, lines and colours that occur in it, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prefect_dask.pictures.diagram import Diagram
from prefect_dask.pictures.labels import markup, small, swatch, table
from prefect_dask.pictures.style import (
    GROUNDS,
    INK,
    LINES,
    LINES_SAY,
    PAPER,
    SHAPES,
    in_order,
)

COLUMNS: Final = 3
"""So many shapes stand in a line."""


def legend_of(diagram: Diagram) -> Iterator[str]:
    """The legend of a diagram, in lines of DOT."""
    yield 'subgraph cluster_legend { label=<<B>Legend</B>>; fontname="Helvetica"; fontsize=11;'
    yield f'color="#d1d5db"; style=rounded; fontcolor="{INK}"; margin=10; node [fontsize=10]'
    names: list[str] = []
    present = {box.shown_as for box in diagram.boxes}
    for kind, shape in SHAPES.items():
        if kind in present:
            ground = GROUNDS.get(kind, PAPER)
            names.append(f"legend_{len(names)}")
            yield f'{names[-1]} [{shape}, fillcolor="{ground}", label=<{kind}>]'
    if any(box.is_mapped for box in diagram.boxes):
        names.append("legend_map")
        yield f'legend_map [{SHAPES["task"]}, fillcolor="{PAPER}", peripheries=2, label=<map>]'
    if any(len(box.tasks) > 1 for box in diagram.boxes):
        names.append("legend_group")
        yield f'legend_group [{SHAPES["task"]}, fillcolor="{PAPER}", penwidth=2, label=<several tasks>]'
    states = {name: 1 for box in diagram.boxes for name, count in box.states.items() if count}
    if states:
        names.append("legend_states")
        yield f"legend_states [shape=plain, label=<{_swatches(states)}>]"
    for column in range(COLUMNS):
        if len(names) > column + COLUMNS:
            yield f"{' -> '.join(names[column::COLUMNS])} [style=invis]"
    for line in dict.fromkeys(arrow.kind for arrow in diagram.arrows):
        yield (
            f"legend_from_{line} [shape=point, width=0.06]; "
            f"legend_to_{line} [shape=plain, label=<{small(LINES_SAY[line], INK)}>]; "
            f"legend_from_{line} -> legend_to_{line} [{LINES[line]}]"
        )
    yield "}"


def _swatches(states: Iterable[str]) -> str:
    return table(
        (
            f'<TR><TD>{swatch(name)}</TD><TD ALIGN="LEFT">{small(markup(name), INK)}</TD></TR>'
            for name, _ in in_order(dict.fromkeys(states, 1))
        ),
        spacing=2,
    )
