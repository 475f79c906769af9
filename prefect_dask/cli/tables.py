"""Tables for people: rows of texts in, lines out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prefect_dask.progress.lines import cut

GAP = "  "

#: A column that may be narrowed is not made narrower than this.
NARROWEST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: What stands above it.
        may_shrink: Whether its texts may be cut where the table is too wide.
        is_number: Whether its texts stand at the right.
        is_state: Whether its texts are states, which have colours.
    """

    name: str
    may_shrink: bool = False
    is_number: bool = False
    is_state: bool = False


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    colour: Callable[[str, str], str] | None = None,
) -> Iterable[str]:
    """The lines of a table.

    Where it is wider than `width`, the columns that may be are narrowed; where that does not do, each row becomes
    a few lines, one a column.

    Args:
        columns: Its columns.
        rows: As many texts each.
        width: How long a line may be; None: as long as it gets.
        colour: Gives (a text, the state that it names) its colour.

    >>> print(*table([Column("RUN"), Column("N", is_number=True)], [["a1", "10"], ["b", "9"]]), sep="\\n")
    RUN   N
    a1   10
    b     9
    """
    cells = [[_one_line(text) for text in row] for row in rows]
    widths = [
        max([len(column.name), *(len(row[at]) for row in cells)])
        for at, column in enumerate(columns)
    ]
    if width is not None and not _fit(widths, columns, width):
        yield from _stacked(columns, cells, width, colour)
        return
    yield _line([column.name for column in columns], columns, widths, None)
    for row in cells:
        yield _line(row, columns, widths, colour)


def _fit(widths: list[int], columns: Sequence[Column], width: int) -> bool:
    """Narrow columns until the table fits; whether it does."""
    narrowable = [at for at, column in enumerate(columns) if column.may_shrink]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widest = max(narrowable, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= NARROWEST:
            return False
        widths[widest] -= 1
    return True


def _line(
    row: Sequence[str],
    columns: Sequence[Column],
    widths: Sequence[int],
    colour: Callable[[str, str], str] | None,
) -> str:
    parts = []
    for at, (text, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        shown = cut(text, width)
        room = " " * (width - len(shown))
        if colour is not None and column.is_state:
            shown = colour(shown, text)
        is_last = at == len(columns) - 1
        parts.append(room + shown if column.is_number else shown + ("" if is_last else room))
    return GAP.join(parts).rstrip()


def _stacked(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    colour: Callable[[str, str], str] | None,
) -> Iterable[str]:
    names = max(len(column.name) for column in columns) + 1
    for number, row in enumerate(rows):
        if number:
            yield ""
        for text, column in zip(row, columns, strict=True):
            if text:
                shown = cut(text, max(NARROWEST, width - names))
                if colour is not None and column.is_state:
                    shown = colour(shown, text)
                yield f"{column.name:<{names}}{shown}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
