"""A ledger in an SQLite file, or in memory: WAL, one transaction a batch, many rows a statement."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from prefect_dask.engine import clock
from prefect_dask.engine.failures import type_and_text_of
from prefect_dask.ledger.entries import Rows
from prefect_dask.ledger.errors import (
    CannotGoDown,
    DatabaseTooOld,
    LedgerAway,
    LedgerDamaged,
    LedgerRefused,
    LedgerTooNew,
    NotALedger,
    NothingRecorded,
)
from prefect_dask.ledger.migrations import latest_version
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.sqlite_version import OLDEST, OLDEST_TO_GO_DOWN, oldest_told
from prefect_dask.ledger.store import Store

#: Stands in the file's header, so that no other database is taken for a ledger.
APPLICATION_ID = 0x5064_4C67

#: How long one waits for another process's transaction, seconds; then the journal is written instead.
BUSY_SECONDS = 10.0

#: How long SQLite itself waits at a time, in steps of 1 to 5 ms.
LOOK_MILLISECONDS = 20

#: Values of one statement: SQLite's limit before 3.32. A statement with many rows holds the interpreter a third
#: as long as `executemany`, and lets it go once, not once a row.
MOST_VALUES = 999


class SqliteStore(Store):
    """A ledger in a file, or in memory as long as this object is there."""

    mark = "?"
    words: ClassVar[Mapping[str, str]] = {
        "key": "INTEGER PRIMARY KEY",
        "integer": "INTEGER",
        "real": "REAL",
        "bytes": "BLOB",
        "clustered": "WITHOUT ROWID",
        # Its rows are long.
        "packed": "",
    }

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._connection: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None
        # One in memory is asked by readers while its writer writes.
        self._lock = threading.RLock()

    # ---- connecting

    def open(self, *, is_to_read: bool = False) -> None:
        with self._lock:
            if not self._is_still():
                self._begun.clear()
                self.close()
            if self._connection is None:
                self._open(is_to_read=is_to_read and self._is_file)

    def _open(self, *, is_to_read: bool) -> None:
        if is_to_read and not os.path.exists(self.place.target):
            raise NothingRecorded(str(self.place))
        if sqlite3.sqlite_version_info < OLDEST:
            raise DatabaseTooOld("SQLite", sqlite3.sqlite_version, oldest_told())
        try:
            if self._is_file:
                self._make_file()
            self._connection = connection = sqlite3.connect(
                self.place.target,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._check_tables(connection)
            # SQLite would look ever less often, down to ten times a second, and let others go first each time.
            connection.execute(f"PRAGMA busy_timeout = {LOOK_MILLISECONDS}")
            # A power cut may take the last moments, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError | OSError):
                raise LedgerAway(str(self.place), type_and_text_of(error)) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise self._not_to_be_read(error) from error
            raise

    def tables_version(self) -> int:
        if not self._is_file:
            return latest_version()
        path = Path(self.place.target)
        if not path.exists():
            return 0
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                return self._version_in(connection)
        except sqlite3.OperationalError as error:
            raise LedgerAway(str(self.place), type_and_text_of(error)) from error
        except sqlite3.DatabaseError as error:
            raise self._not_to_be_read(error) from error

    def _not_to_be_read(self, error: sqlite3.DatabaseError) -> LedgerRefused:
        """What is wrong with a file that SQLite does not read."""
        # Its code, SQLITE_CORRUPT, is told from Python 3.11 on.
        kind = LedgerDamaged if "malformed" in str(error) else NotALedger
        return kind(str(self.place), str(error))

    def close(self) -> None:
        if self._connection is not None and self._is_file:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    @property
    def _is_file(self) -> bool:
        return self.place.kind == "sqlite"

    def _make_file(self) -> None:
        path = Path(self.place.target)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Log lines and parameters are nobody else's business. One that is there is not opened here: closing it
        # would let go of all locks that this process has on it (POSIX).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._file = os.stat(path)

    def _is_still(self) -> bool:
        """Whether the open file is the one that has the name: what is written to a deleted one is lost."""
        if self._file is None:
            return True
        try:
            return os.path.samestat(os.stat(self.place.target), self._file)
        except OSError:
            return False

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)
        if version == latest_version():
            return
        if self._is_file:
            self._use_wal(connection)
        with self.transaction():
            self.migrate(self._version(connection))  # another process may have done so meanwhile
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self.note_version(latest_version())

    def migrate_down(self, version: int) -> None:
        if sqlite3.sqlite_version_info < OLDEST_TO_GO_DOWN:
            needed = oldest_told(OLDEST_TO_GO_DOWN)
            raise CannotGoDown(
                str(self.place),
                version,
                f"that takes SQLite {needed} or newer, and this is {sqlite3.sqlite_version}",
            )
        super().migrate_down(version)

    def note_version(self, version: int) -> None:
        self.execute(f"PRAGMA user_version = {version}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version = self._version_in(connection)
        if version > latest_version():
            raise LedgerTooNew(str(self.place), version, latest_version())
        return version

    def _version_in(self, connection: sqlite3.Connection) -> int:
        is_alone = not connection.in_transaction
        if is_alone:
            connection.execute(
                "BEGIN"
            )  # all three as of one moment: another process may make the tables now
        [(version,)] = connection.execute("PRAGMA user_version")
        [(application,)] = connection.execute("PRAGMA application_id")
        [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master")
        if is_alone:
            connection.execute("COMMIT")
        if application != APPLICATION_ID and (version or tables):
            raise NotALedger(str(self.place), "it is an SQLite database of another kind")
        return int(version)

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait where several processes change the mode at once.
        until, pause = clock.monotonic() + BUSY_SECONDS, threading.Event()
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if clock.monotonic() > until:
                    raise
                pause.wait(0.01)

    # ---- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            assert self._connection is not None
            self._begin_transaction(self._connection)
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    def _begin_transaction(self, connection: sqlite3.Connection) -> None:
        until = clock.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or clock.monotonic() > until:
                    raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            assert self._connection is not None
            return self._connection.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._lock:
            assert self._connection is not None
            self._connection.executemany(statement, rows)

    def insert(self, run: int, rows: Rows, *, again: bool) -> None:
        assert self._connection is not None
        most = (MOST_VALUES - 2) // rows.width
        for start in range(0, rows.row_count, most):
            values = rows.values[start * rows.width : (start + most) * rows.width]
            statement = _insert(rows.table, len(values) // rows.width)
            self._connection.execute(statement, [run, rows.first + start, *values])

    def is_away(self, error: Exception) -> bool:
        # Of DatabaseError itself: the file is damaged.
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError

    def is_outdated(self, error: Exception) -> bool:
        return isinstance(error, sqlite3.OperationalError) and any(
            told in str(error)
            for told in ("no such table", "no such column", "has no column named")
        )

    def is_damage(self, error: Exception) -> bool:
        return type(error) is sqlite3.DatabaseError


@cache
def _insert(table: str, count: int) -> str:
    """The statement that adds so many rows; value 1 is the run, value 2 the number of the first row."""
    names = TABLES[table].names
    width = len(names) - 2
    rows = (
        f"(?1, ?2 + {row}, {', '.join(f'?{3 + row * width + i}' for i in range(width))})"
        for row in range(count)
    )
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join(rows)} ON CONFLICT DO NOTHING"
    )
