"""What stands in boxes and at arrows, as HTML-like labels of GraphViz, and what a tooltip adds to it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Final

from prefect_dask.engine.secrets import masked
from prefect_dask.pictures.colors import text_color
from prefect_dask.pictures.diagram import Arrow, Box, Diagram
from prefect_dask.pictures.style import (
    FAINT,
    INK,
    LINES_SAY,
    bar_widths,
    color_of,
    has_histogram,
    in_order,
)

LONGEST_NAME: Final = 40
"""Of a longer name the middle is left out; the tooltip has more."""


def sub_title(box: Box) -> str:
    """What a box says below its title of how much is in it; "" where that is a single run."""
    tasks, runs = len(box.tasks), sum(box.states.values())
    many = f"{tasks:,} {'maps' if box.is_mapped else 'tasks'}"
    if tasks > 1:
        if box.layers == tasks:
            return f"{many} in a row"
        return many if box.layers == 1 else f"{many}, {box.layers:,} deep"
    if runs > 1:
        return f"map of {runs:,}"
    return "map" if box.is_mapped else ""


def label_of(box: Box) -> str:
    """What stands in a box."""
    title, sub = markup(box.title), sub_title(box)
    if has_histogram(box):
        return table(
            [
                _row(f"<B>{title}</B>"),
                _row(small(sub, FAINT)),
                _row(_bar(box.states)),
                _row(_figures(box.states)),
            ]
        )
    if not box.states:
        return title if not sub else table([_row(title), _row(small(sub, FAINT))])
    [state] = box.states
    ink = text_color(color_of(state))
    said = f"{sub}, {state}" if sub else state
    return table([_row(f'<FONT COLOR="{ink}">{title}</FONT>'), _row(small(markup(said), ink))])


def small(text: str, color: str) -> str:
    """A line in small letters."""
    return f'<FONT POINT-SIZE="10" COLOR="{color}">{text}</FONT>'


def table(rows: Iterable[str], *, spacing: int = 0, padding: int = 1) -> str:
    """Rows, one below the other."""
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}">'
        f"{''.join(rows)}</TABLE>"
    )


def _row(cell: str) -> str:
    return f"<TR><TD>{cell}</TD></TR>"


def _bar(states: Mapping[str, int]) -> str:
    cells = "".join(
        f'<TD WIDTH="{width}" HEIGHT="9" FIXEDSIZE="TRUE" BGCOLOR="{color_of(name)}"></TD>'
        for name, width in bar_widths(states)
    )
    return table([f"<TR>{cells}</TR>"], padding=0)


def swatch(state: str) -> str:
    """A small square in the colour of a state, which its row cannot stretch."""
    cell = f'<TD WIDTH="9" HEIGHT="9" FIXEDSIZE="TRUE" BGCOLOR="{color_of(state)}"></TD>'
    return table([f"<TR>{cell}</TR>"], padding=0)


def _figures(states: Mapping[str, int]) -> str:
    rows = (
        f'<TR><TD>{swatch(name)}</TD><TD ALIGN="LEFT">{small(markup(name), INK)}</TD>'
        f'<TD ALIGN="RIGHT">{small(f"{count:,}", INK)}</TD></TR>'
        for name, count in in_order(states)
        if count
    )
    return table(rows, spacing=2, padding=1)


def arrow_text(arrow: Arrow, most: int = 3) -> str:
    """What an arrow says: the arguments that its results are given as."""
    keys = list(arrow.keys)
    if len(keys) > most:
        keys = [f"{keys[0]} … {keys[-1]}"]
    text = ", ".join(keys)
    return f"flatten({text})" if arrow.flattened else text


def tooltips(diagram: Diagram) -> dict[str, str]:
    """More of what each box and arrow is, by its name in DOT: `b0`, `b0->b1`."""
    tips: dict[str, list[str]] = {f"b{box.number}": [_tip(box)] for box in diagram.boxes}
    for arrow in diagram.arrows:
        ends = f"{diagram.boxes[arrow.above].title} → {diagram.boxes[arrow.below].title}"
        what = arrow_text(arrow, most=20) or LINES_SAY[arrow.kind]
        tips.setdefault(f"b{arrow.above}->b{arrow.below}", []).append(f"{ends}: {what}")
    return {
        name: clean(tip, 1_000) for name, several in tips.items() for tip in ["; ".join(several)]
    }


def _tip(box: Box) -> str:
    names = ", ".join(box.slugs[:20]) + (", …" if len(box.slugs) > 20 else "")
    states = ", ".join(f"{name} {count:,}" for name, count in in_order(box.states))
    return f"{names}: {states}" if states else names


# ---- any text

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACES = re.compile(r"\s+")


def clean(text: str, longest: int = LONGEST_NAME) -> str:
    """A text in one line, without secrets and what XML does not know; of a long one the middle is left out.

    >>> clean("a\\nb\\0"), clean("x" * 50, 9), clean(" ")
    ('a b�', 'xxxx…xxxx', '␣')
    """
    text = masked(text)
    if len(text) > 10 * longest:
        text = text[: 5 * longest] + text[-5 * longest :]
    text = _SPACES.sub(" ", _NOT_IN_XML.sub("\ufffd", text)).strip() or "␣"
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half].rstrip()}…{text[-half:].lstrip()}"


def markup(text: str, longest: int = LONGEST_NAME) -> str:
    """A text as it may stand in a label, whatever is in it.

    GraphViz puts a box's name in the place of `\\N`, also where the label is HTML; twice the backslash is one.

    >>> print(markup("<b> & \\\\N"))
    &lt;b&gt; &amp; \\\\N
    """
    return html.escape(clean(text, longest).replace("\\", "\\\\"))
