"""Writing entries to a database in one transaction, and asking it: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from prefect_dask.engine.failures import type_and_text_of
from prefect_dask.ledger.entries import Begun, Entry, Leased, Moved, Rows, cleaned
from prefect_dask.ledger.errors import LedgerAway, LedgerDamaged
from prefect_dask.ledger.migrations import all_steps, statements, ways_down
from prefect_dask.ledger.packed import unpack_changes
from prefect_dask.ledger.places import Place

#: So many packed batches become rows in one transaction: other writers wait for it.
UNPACK_BATCHES = 10


class Store(ABC):
    """A database with the ledger's tables. One thread at a time may use it.

    Args:
        place: Where it is.
    """

    #: How a value is marked in the statements that the database takes.
    mark: str
    #: What stands for the words of a migration.
    words: ClassVar[Mapping[str, str]]

    def __init__(self, place: Place) -> None:
        self.place = place
        #: Runs that began here and are not over: one that is not there any more was removed.
        self._begun: set[str] = set()

    # ---- what each database does its own way

    @abstractmethod
    def open(self, *, is_to_read: bool = False) -> None:
        """Connect, and bring the tables up to date; does nothing when that is done.

        Args:
            is_to_read: Make no ledger where there is none.

        Raises:
            NothingRecorded: There is none.
            LedgerRefused: It cannot be used as it is.
            LedgerAway: It cannot be reached now.
        """

    @abstractmethod
    def tables_version(self) -> int:
        """The version of the tables as they are now; 0 where there are none. Changes nothing.

        Raises:
            LedgerRefused: There is something else.
            LedgerAway: It cannot be reached now.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the connection go; the next use opens it again."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """A block that is written whole or not at all; other writers wait for it."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, with values at each mark; returns its rows."""

    @abstractmethod
    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of some rows."""

    @abstractmethod
    def insert(self, run: int, rows: Rows, *, again: bool) -> None:
        """Add rows of a run, in large pieces; `again`: some may be there, and stay as they are."""

    @abstractmethod
    def is_away(self, error: Exception) -> bool:
        """Whether an error says that the database cannot be reached or written, and not that the data is wrong."""

    def is_damage(self, error: Exception) -> bool:
        """Whether an error says that what is there cannot be read, now or later."""
        return False

    def is_outdated(self, error: Exception) -> bool:
        """Whether an error says that tables are not there: somebody brought them down since this was opened."""
        return False

    # ---- writing

    def write(self, entries: Sequence[Entry]) -> set[tuple[str, int]]:
        """Write entries in one transaction. What was written before is passed over.

        Returns:
            Of the runs that another process has taken over the ids, and the fences that count no more; what was
            told under these is left out.

        Raises:
            LedgerAway: Nothing was written.
            LedgerRefused: The same.
        """
        try:
            self.open()
            return self._write(entries, again=False)
        except LedgerAway:
            raise
        except Exception as error:
            if self.is_away(error) and not self.is_outdated(error):
                self.close()
                raise LedgerAway(str(self.place), type_and_text_of(error)) from error
            if self.is_outdated(error):
                self.close()
        # Rows that were there before, text that the database does not take, or tables of an earlier version.
        try:
            self.open()
            return self._write(cleaned(entries), again=True)
        except Exception as error:
            self.close()
            raise LedgerAway(str(self.place), type_and_text_of(error)) from error

    def _write(self, entries: Sequence[Entry], *, again: bool) -> set[tuple[str, int]]:
        superseded = set()
        runs: dict[str, tuple[int | None, int]] = {}
        with self.transaction():
            for entry in entries:
                if entry.run_id not in runs:
                    runs[entry.run_id] = self._run(entry)
                key, fence = runs[entry.run_id]
                if key is None or entry.fence < fence:
                    superseded.add((entry.run_id, entry.fence))
                elif isinstance(entry, Rows):
                    self.insert(key, entry, again=again)
                elif isinstance(entry, Moved):
                    self._move(key, entry)
                elif isinstance(entry, Leased):
                    self._lease(key, entry)
        self._begun |= {entry.run_id for entry in entries if isinstance(entry, Begun)}
        self._begun -= {entry.run_id for entry in entries if _is_last(entry)}
        return superseded

    def _run(self, entry: Entry) -> tuple[int | None, int]:
        """The key and the fence of a run; one whose beginning was lost begins with what is known.

        The key is None where the run was there, and somebody removed it.
        """
        find = f"SELECT id, fence FROM flow_runs WHERE run_id = {self.mark}{self.row_lock}"
        found = self.execute(find, (entry.run_id,))
        if not found and entry.run_id in self._begun:
            return None, 0
        if not found:
            begun = entry if isinstance(entry, Begun) else Begun(entry.run_id, entry.fence)
            self._begin(begun)
            found = self.execute(find, (entry.run_id,))
        return found[0][0], found[0][1]

    #: What a SELECT says to hold its row until the end of the transaction, where others could change it.
    row_lock = ""

    def _begin(self, begun: Begun) -> None:
        find = f"SELECT id FROM flows WHERE digest = {self.mark}"
        found = self.execute(find, (begun.flow_digest,))
        if not found:
            self.execute(
                "INSERT INTO flows (digest, name, code, graph, first_seen)"
                f" VALUES ({self._marks(5)}) ON CONFLICT (digest) DO NOTHING",
                (begun.flow_digest, begun.flow_name, begun.code, begun.graph, begun.begun),
            )
            found = self.execute(find, (begun.flow_digest,))
        [(flow_key,)] = found
        self.execute(
            "INSERT INTO flow_runs (run_id, flow, name, parameters, scheduled, begun, state, state_number,"
            " coordinator, version, process, origin, pickled, fence, lease_until, durable)"
            f" VALUES ({self._marks(16)}) ON CONFLICT (run_id) DO NOTHING",
            (
                begun.run_id,
                flow_key,
                begun.run_name,
                begun.parameters,
                begun.scheduled,
                begun.begun,
                "Pending",
                -1,
                begun.coordinator,
                begun.version,
                begun.process,
                begun.origin,
                begun.pickled,
                begun.fence,
                begun.lease_until,
                begun.durable,
            ),
        )

    def _move(self, key: int, moved: Moved) -> None:
        ended = moved.at if moved.is_finished else None
        self.execute(
            f"UPDATE flow_runs SET state = {self.mark}, message = {self.mark}, ended = {self.mark},"
            f" state_number = {self.mark} WHERE id = {self.mark} AND state_number < {self.mark}",
            (moved.state, moved.message, ended, moved.number, key, moved.number),
        )
        if moved.is_finished:
            self.answer_requests(key, moved.state, moved.at)

    def answer_requests(self, key: int, answer: str, now: float) -> None:
        """Answer what is asked of a run that came to its final state."""
        m = self.mark
        self.execute(
            f"UPDATE requests SET done = {m}, answer = {m} WHERE run = {m} AND done IS NULL",
            (now, answer, key),
        )

    def _lease(self, key: int, leased: Leased) -> None:
        self.execute(
            f"UPDATE flow_runs SET lease_until = {self.mark}, process = coalesce({self.mark}, process)"
            f" WHERE id = {self.mark} AND ended IS NULL",
            (leased.until, leased.process or None, key),
        )
        if leased.until is not None:
            self.execute(
                # That it changes is what tells that the process is there.
                f"UPDATE slots SET until = {self.mark} WHERE run = {self.mark} AND fence = {self.mark}",
                (leased.until, key, leased.fence),
            )

    def _marks(self, count: int) -> str:
        return ", ".join([self.mark] * count)

    # ---- making rows of what is packed

    def unpack(self, run: int) -> None:
        """Make rows of the states of a run that are packed: all that were written when this is called.

        Any number of processes may do so at once. Rows become visible in the order of their numbers.

        Raises:
            LedgerAway: Some may be packed still.
        """
        try:
            self.open(is_to_read=True)
            while self._unpack(run):
                pass
        except Exception as error:
            self.raise_away(error)
            raise

    def _unpack(self, run: int) -> bool:
        """Make rows of the first that are packed; whether there were any."""
        if not self.execute(f"SELECT 1 FROM packed_states WHERE run = {self.mark} LIMIT 1", (run,)):
            return False
        with self.transaction():
            # Who comes second waits here, and finds them gone.
            packed = self.execute(
                f"SELECT number, count, data FROM packed_states WHERE run = {self.mark}"
                f" ORDER BY number LIMIT {UNPACK_BATCHES}{self.change_lock}",
                (run,),
            )
            for number, count, data in packed:
                unpacked = unpack_changes(data, count)
                self.insert(run, Rows("", 0, "states", number, unpacked.values), again=True)
                self.execute_many(
                    "INSERT INTO results (run, number, task, map_index, location, value, size_bytes)"
                    f" VALUES ({self._marks(7)}) ON CONFLICT DO NOTHING",
                    [(run, number + before, *rest) for before, *rest in unpacked.results],
                )
                self.execute(
                    f"DELETE FROM packed_states WHERE run = {self.mark} AND number = {self.mark}",
                    (run, number),
                )
        return bool(packed)

    #: What a SELECT says to hold its rows for a DELETE or UPDATE, where others could do so at the same time.
    change_lock = ""

    # ---- asking

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query of `queries.sql`.

        Raises:
            NothingRecorded: There is no ledger.
            LedgerAway: It cannot be asked now.
        """
        statement = queries()[query].replace("?", self.mark)
        try:
            self.open(is_to_read=True)
            try:
                return self.execute(statement, values)
            except Exception as error:
                if not self.is_outdated(error):
                    raise
            self.close()
            self.open(is_to_read=True)
            return self.execute(statement, values)
        except Exception as error:
            self.raise_away(error)
            raise

    def raise_away(self, error: BaseException) -> None:
        """Say that the database is away or damaged, where an error says so."""
        if isinstance(error, Exception) and self.is_away(error):
            self.close()
            if self.is_damage(error):
                raise LedgerDamaged(str(self.place), str(error)) from error
            raise LedgerAway(str(self.place), type_and_text_of(error)) from error

    # ---- the tables

    def migrate(self, version: int) -> None:
        """Take the steps from a version of the tables to the latest, within a transaction."""
        for step in all_steps()[version:]:
            self._take(step)

    def migrate_down(self, version: int) -> None:
        """Take the steps from the latest version of the tables back to another one, within a transaction.

        Raises:
            CannotGoDown: The database is too old for that.
        """
        for way in reversed(ways_down()[version - 1 :]):
            self._take(way.step)
        self.note_version(version)

    def _take(self, step: str) -> None:
        for statement in statements(step, self.words):
            self.execute(statement)

    @abstractmethod
    def note_version(self, version: int) -> None:
        """Write down the version of the tables, within a transaction."""

    def lock_tables(self) -> None:
        """Let nobody else change the tables until the end of the transaction."""


def _is_last(entry: Entry) -> bool:
    """Whether a run's process has no more to say of it."""
    if isinstance(entry, Moved):
        return entry.is_finished
    return isinstance(entry, Leased) and entry.until is None


@cache
def queries() -> Mapping[str, str]:
    """The queries of `queries.sql`, by name."""
    text = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8")
    return dict(_named(text.split("\n-- ")[1:]))


def _named(parts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for part in parts:
        head, _, query = part.partition("\n")
        yield head.partition(":")[0], query.strip().rstrip(";")
