"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from prefect_dask.cli.tables import Column, table
from prefect_dask.engine.state import STATES, State

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; where there is none, each row is as long as it is."""
    colour = _colour if has_colours() else None
    for line in table(columns, rows, width(), colour=colour):
        click.echo(line)


def width() -> int | None:
    """How many columns the terminal has, or COLUMNS says; None where nothing does."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return None


def has_colours() -> bool:
    """Whether what is printed may have colours: on a terminal whose user does not mind."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def state_text(state: str) -> str:
    """A state in its colour, where there may be colours."""
    return _colour(state, state) if has_colours() else state


def _colour(text: str, state: str) -> str:
    kind = STATES.get(state)
    if kind is None or kind is State:
        return text
    return click.style(text, fg=nearest_of_256(kind.color))


def nearest_of_256(color: str) -> int:
    """The number of the colour that is nearest to a web colour, of the 256 that nearly every terminal has.

    >>> nearest_of_256("#ff0000"), nearest_of_256("#28a745")
    (196, 35)
    """
    # The levels of the cube are 0, 95, 135, 175, 215, 255.
    levels = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    red, green, blue = (int(v > 47) if v < 115 else (v - 35) // 40 for v in levels)
    return 16 + 36 * red + 6 * green + blue


def time_text(time: datetime | None) -> str:
    """A time as people here say it."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
