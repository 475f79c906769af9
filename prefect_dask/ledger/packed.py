"""Changes of state as they are written while a run goes on: a batch of them in columns, as one value.

A row a change costs the process that runs the tasks some ten times as much. Whoever asks for them makes rows of
them first (`Store.unpack`).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from prefect_dask.engine.state import Failed, State
from prefect_dask.engine.stream import LOCATION, StateChange, details_of
from prefect_dask.ledger.entries import cleaned_value
from prefect_dask.ledger.schema import TABLES

#: How many columns of `states` are packed: all but run and number. What was kept of the result follows.
WIDTH = len(TABLES["states"].names) - 2

_T = TypeVar("_T")

_message_of, _time_of, _context_of = map(attrgetter, ("message", "_time", "_context"))

#: Among the details of a Failed state: another state follows at once, such as Retrying, should the process live.
GOES_ON = "goes_on"

#: Marks a column that tells which of few values each row has.
_FEW = "few"


class Unpacked(NamedTuple):
    """What a packed batch says.

    Attributes:
        values: Of the rows of `states`, without run and number, one row after the other.
        results: Of those that have a result: how many rows come before, and the rest of the row of `results`.
    """

    values: list[Any]
    results: list[tuple[Any, ...]]


def pack_changes(changes: Sequence[StateChange]) -> bytes:
    """Changes as one value."""
    # Nothing is done a change in Python: 10,000 of them are some milliseconds in which no task runs.
    nodes, attempts, states, overs, workers, begans, stored = zip(*changes, strict=True)
    tasks, map_indices, _ = zip(*nodes, strict=True)
    kinds: tuple[type[State], ...] = _one_or_all(tuple(map(type, states)))
    contexts = _one_or_all(tuple(map(_context_of, states)))
    details: tuple[str | None, ...] = (None,)
    different = set(kinds)
    if dict in map(type, contexts) or any(
        kind.fields or issubclass(kind, Failed) for kind in different
    ):
        each = [dict(details_of(state)) for state in states]
        for told, state, is_over in zip(each, states, overs, strict=True):
            if isinstance(state, Failed) and not is_over:
                told[GOES_ON] = True
        stored = tuple(
            told.pop(LOCATION, None) if own is None else own
            for told, own in zip(each, stored, strict=True)
        )
        details = tuple(as_json_object(told) for told in each)
    return _packb(
        [
            _numbers(tasks),
            _numbers(map_indices),
            _numbers(attempts),
            _texts(tuple(kind.__name__ for kind in kinds)),
            _texts(tuple(map(_message_of, states))),
            tuple(map(_time_of, states)),
            _texts(workers),
            _numbers(begans),
            _texts(details),
            # A 1 that is kept is not the same as a True.
            stored if stored.count(None) < len(stored) else None,
        ]
    )


def pack_row(*values: Any) -> bytes:
    """One row of `states`, without run and number, and without a result."""
    return _packb((*values, None))


def unpack_changes(data: bytes, count: int) -> Unpacked:
    """What packed rows say, with text that every database takes.

    >>> unpack_changes(pack_row(0, -1, 1, "Success", None, 1.5, "", 1.25, None), 1)
    Unpacked(values=[0, -1, 1, 'Success', None, 1.5, '', 1.25, None], results=[])
    """
    import msgpack

    packed = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    *columns, stored = packed
    rows = list(zip(*[_column(column, count) for column in columns], strict=True))
    results = [
        (number, *rows[number][:2], *stored_columns(value))
        for number, value in enumerate(_column(stored, count))
        if value is not None
    ]
    return Unpacked([value for row in rows for value in row], results)


def stored_columns(
    stored: bytes | str | Sequence[Any],
) -> tuple[str | None, bytes | None, int | None]:
    """Location, value and size of a row of `results`."""
    if not isinstance(stored, (bytes, str)):
        stored = pickle.dumps(stored[0], 5)
    return (stored, None, None) if isinstance(stored, str) else (None, stored, len(stored))


def _packb(columns: Sequence[Any]) -> bytes:
    import msgpack

    data: bytes = msgpack.packb(columns, unicode_errors="surrogatepass")
    return data


def _one_or_all(column: tuple[_T, ...]) -> tuple[_T, ...]:
    """One value where all are equal, and else all of them."""
    return column[:1] if column.count(column[0]) == len(column) else column


def _numbers(column: tuple[Any, ...]) -> Any:
    """A column; where all rows have the same value, that alone."""
    shortened = _one_or_all(column)
    return shortened[0] if len(shortened) == 1 else column


def _texts(column: tuple[str | None, ...]) -> Any:
    """A column; where few values are shared by all rows, these, and which of them each row has."""
    first = column[0]
    if column.count(first) == len(column):
        return first
    number_of = {text: number for number, text in enumerate(dict.fromkeys(column))}
    if len(number_of) > len(column) // 2:
        return column
    return {_FEW: list(number_of), "": [number_of[text] for text in column]}


def _column(packed: Any, count: int) -> Iterator[Any]:
    if isinstance(packed, dict):
        few = [cleaned_value(text) for text in packed[_FEW]]
        return map(few.__getitem__, packed[""])
    if isinstance(packed, list):
        return map(cleaned_value, packed)
    return repeat(cleaned_value(packed), count)


def as_json_object(details: dict[str, Any]) -> str | None:
    """Details as JSON text; None where there are none."""
    import json

    return json.dumps(details) if details else None
