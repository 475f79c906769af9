"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from reprlib import Repr
from typing import Any, TextIO

import click

from prefect_dask.cli.tables import Column, table
from prefect_dask.engine import secrets
from prefect_dask.engine.state import STATES, State

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

limit_option = click.option(
    "-l",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many at most.",
)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, err: bool = False
) -> None:
    """Print a table that fits the terminal; where there is none, each row is as long as it is.

    Args:
        columns: Its columns.
        rows: As many texts each.
        err: Whether on standard error.
    """
    stream = sys.stderr if err else sys.stdout
    colour = _colour if has_colours(stream) else None
    for line in table(columns, rows, width(stream), colour=colour):
        click.echo(line, err=err)


def width(stream: TextIO) -> int | None:
    """How many columns the terminal has, or COLUMNS says; None where nothing does."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else None


def has_colours(stream: TextIO) -> bool:
    """Whether what is printed may have colours: on a terminal whose user does not mind."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def state_text(state: str) -> str:
    """A state in its colour, where there may be colours."""
    return _colour(state, state) if has_colours(sys.stdout) else state


def _colour(text: str, state: str) -> str:
    kind = STATES.get(state)
    if kind is None or kind is State:
        return text
    return click.style(text, fg=nearest_of_256(kind.color))


_SHORT = Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 20
_SHORT.maxstring, _SHORT.maxother = 500, 2_000


def short_repr(value: Any) -> str:
    """The repr of a user's value, cut short, and without the secrets that are known here.

    >>> short_repr(list(range(100)))
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, ...]'
    """
    return secrets.masked(_SHORT.repr(value))


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
