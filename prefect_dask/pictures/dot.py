"""A diagram as text for GraphViz.

All that users name stands in HTML-like labels, through `labels.markup`; boxes are called b0, b1, … whatever their
tasks are called.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from prefect_dask.pictures.diagram import Arrow, Box, Diagram
from prefect_dask.pictures.labels import arrow_text, label_of, markup
from prefect_dask.pictures.legend import legend_of
from prefect_dask.pictures.style import FAINT, INK, LINE, LINES, PAPER, SHAPES, ground_of

#: Which way the arrows lead: down, up, to the right, to the left.
Direction: TypeAlias = Literal["TB", "BT", "LR", "RL"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("TB", "BT", "LR", "RL")


def dot_of(diagram: Diagram, rankdir: Direction = "TB", *, legend: bool = False) -> str:
    """The diagram in the DOT language.

    Args:
        diagram: What is shown.
        rankdir: Which way its arrows lead.
        legend: Whether a legend tells what the shapes, lines and colours in it mean.

    Example:
        >>> from prefect_dask.pictures.diagram import diagram_of
        >>> from prefect_dask.pictures.outline import Outline, OutlineTask
        >>> print(dot_of(diagram_of(Outline("hello", (OutlineTask("greet", "greet-1"),), ()))))
        digraph {
        ...
        b0 [shape=box, style="rounded,filled", fillcolor="#ffffff", label=<greet>]
        }
    """
    lines = [
        "digraph {",
        f'graph [rankdir={rankdir}, bgcolor="{PAPER}", pad=0.25, nodesep=0.3, ranksep=0.45]',
        f'node [fontname="Helvetica", fontsize=12, fontcolor="{INK}", color="{LINE}", height=0.4,'
        ' margin="0.14,0.07"]',
        f'edge [fontname="Helvetica", fontsize=10, fontcolor="{FAINT}", arrowsize=0.7]',
        *map(_box_line, diagram.boxes),
        *map(_arrow_line, diagram.arrows),
    ]
    if legend:
        lines += legend_of(diagram)
    return "\n".join([*lines, "}"]) + "\n"


def _box_line(box: Box) -> str:
    attributes = [SHAPES[box.shown_as], f'fillcolor="{ground_of(box)}"']
    if box.is_mapped:
        attributes.append("peripheries=2")
    if len(box.tasks) > 1:
        attributes.append("penwidth=2")
    attributes.append(f"label=<{label_of(box)}>")
    return f"b{box.number} [{', '.join(attributes)}]"


def _arrow_line(arrow: Arrow) -> str:
    text = arrow_text(arrow)
    # The spaces hold the text off the line.
    label = f", label=<&nbsp;{markup(text)}&nbsp;>" if text else ""
    return f"b{arrow.above} -> b{arrow.below} [{LINES[arrow.kind]}{label}]"
