"""What is written of a run, on its way to the ledger: plain values, so that a journal can hold it too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from prefect_dask.ledger.schema import TABLES

#: The largest number that a database has a place for.
MOST: Final = 2**63 - 1


class Begun(NamedTuple):
    """A flow run began; `flow_digest` tells a flow with the same graph and code, `durable` is JSON."""

    run_id: str
    fence: int = 0
    flow_digest: str = ""
    flow_name: str = "unknown"
    code: str = ""
    graph: str = "{}"
    run_name: str = ""
    parameters: str = "{}"
    scheduled: float = 0.0
    begun: float = 0.0
    coordinator: str = ""
    version: str = ""
    process: str = ""
    origin: str | None = None
    pickled: bytes | None = None
    lease_until: float | None = None
    durable: str | None = None


class Leased(NamedTuple):
    """A flow run is still its process's, until then; None: it lets it go.

    `process` is as from `name_of_holder`; "" where that is not told anew.
    """

    run_id: str
    fence: int
    until: float | None
    process: str = ""


class Moved(NamedTuple):
    """A flow run came to a state."""

    run_id: str
    fence: int
    number: int
    state: str
    message: str | None
    at: float
    is_finished: bool


class Rows(NamedTuple):
    """Rows of one table, each with the run's key and a number before these values.

    Attributes:
        run_id: The run.
        fence: As in `Begun`.
        table: The table.
        first: The number of the first row; the others count on.
        values: The values of all rows, one after the other: one list holds the garbage collector up less than as
            many tuples as there are rows.
    """

    run_id: str
    fence: int
    table: str
    first: int
    values: list[Any]

    @property
    def width(self) -> int:
        """How many values a row has here."""
        return len(TABLES[self.table].columns) - 2

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.values) // self.width


Entry: TypeAlias = Begun | Moved | Rows | Leased

_KINDS: tuple[type[Begun] | type[Moved] | type[Rows] | type[Leased], ...] = (
    Begun,
    Moved,
    Rows,
    Leased,
)


def pack(entries: Sequence[Entry]) -> bytes:
    """Entries as one msgpack list."""
    import msgpack

    def packed(those: Iterable[Entry]) -> bytes:
        rows = [(_KINDS.index(type(entry)), *entry) for entry in those]
        data: bytes = msgpack.packb(rows, unicode_errors="surrogatepass")
        return data

    try:
        return packed(entries)
    except OverflowError:
        return packed(cleaned(entries))


def unpack(data: bytes) -> list[Entry]:
    """What `pack` made.

    >>> unpack(pack([Moved("a", 0, 1, "Running", None, 1.5, False)]))[0].state
    'Running'
    """
    import msgpack

    rows = msgpack.unpackb(data, use_list=False, unicode_errors="surrogatepass")
    entries = [_KINDS[kind](*values) for kind, *values in rows]
    return [e._replace(values=list(e.values)) if isinstance(e, Rows) else e for e in entries]


def cleaned(entries: Iterable[Entry]) -> list[Entry]:
    """The same entries, without what no database takes: lone surrogates and NUL in text, and endless numbers."""
    return [
        entry._replace(values=list(map(cleaned_value, entry.values)))
        if isinstance(entry, Rows)
        else type(entry)(*map(cleaned_value, entry))
        for entry in entries
    ]


def cleaned_value(value: Any) -> Any:
    r"""A value without what no database takes in text; a number as near as there is a place for.

    >>> cleaned_value("a\0"), cleaned_value(10**30) == MOST, cleaned_value(1.5)
    ('a\\x00', True, 1.5)
    """
    if isinstance(value, str):
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    if type(value) is int:
        return max(-MOST, min(value, MOST))
    return value
