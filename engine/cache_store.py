"""Earlier results in a folder: an SQLite index, and a file a value.

The values are pickles, and reading one runs code from it. So the folder is this user's alone, and a file that
somebody else owns, or that is not as it was written, is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cache import Entry, Question
from .claims import Claim, claim
from .errors import PrefectDaskError
from .failures import type_and_text_of
from .files import write_file
from .serializers import PickleSerializer

if TYPE_CHECKING:
    import sqlite3

#: How long a process may wait for another one's write to the index, seconds.
BUSY_SECONDS = 30.0

#: How many entries of a name are looked at where not all inputs have to be equal: the latest.
LATEST = 100

#: How long it is remembered that there was an entry which expired, seconds.
REMEMBER_SECONDS = 30 * 24 * 3600.0

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,          -- cache_key, or the task's name
    code TEXT NOT NULL,          -- fingerprints
    all_inputs TEXT NOT NULL,
    inputs TEXT NOT NULL,        -- JSON: by name
    parameters TEXT NOT NULL,
    is_child INTEGER NOT NULL,
    created REAL NOT NULL,       -- seconds since the epoch
    expires REAL,
    file TEXT,                   -- NULL once the value was dropped
    size_bytes INTEGER NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_inputs ON entries (name, all_inputs, created);
CREATE INDEX IF NOT EXISTS entries_by_expiry ON entries (expires);
"""
COLUMNS = (
    "number, name, code, inputs, parameters, is_child, created, expires, file, size_bytes, checksum"
)


class EntryDamaged(PrefectDaskError):
    """The value of an entry is not as it was written, or is another user's."""

    def __init__(self, file: str, cause: str) -> None:
        super().__init__(f"the cached result in {file} is not read: {cause}; it will be made anew")
        self.file, self.cause = file, cause


class CacheStore:
    """The cache in a folder. Keeps nothing open; any number of processes may use it at once.

    Args:
        folder: The folder; made when something is first put in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._serializer = PickleSerializer()

    # ---- asking

    def entries(self, name: str, all_inputs: str | None = None) -> list[Entry]:
        """The entries of a name, the latest first, also those that expired.

        Args:
            name: Cache key or task name.
            all_inputs: Only those with these inputs.
        """
        if not self._index.exists():
            return []
        query = f"SELECT {COLUMNS} FROM entries WHERE name = ?"
        values: list[Any] = [name]
        if all_inputs is not None:
            query += " AND all_inputs = ?"
            values.append(all_inputs)
        query += " ORDER BY created DESC, number DESC LIMIT ?"
        with self._open() as index:
            rows = index.execute(query, (*values, LATEST)).fetchall()
        return [_entry(row) for row in rows]

    def read(self, entry: Entry) -> Any:
        """The value of an entry.

        Raises:
            EntryDamaged: It is not to be read.
        """
        path = self.folder / "values" / str(entry.file)
        try:
            with open(path, "rb") as file:
                owner = os.fstat(file.fileno()).st_uid
                if hasattr(os, "getuid") and owner != os.getuid():
                    raise EntryDamaged(str(path), "it belongs to another user")
                data = file.read()
        except OSError as error:
            raise EntryDamaged(str(path), str(error)) from error
        if len(data) != entry.size_bytes or _checksum(data) != entry.checksum:
            raise EntryDamaged(str(path), "it is not as it was written")
        try:
            return self._serializer.deserialize(data)
        except Exception as error:  # the user's classes, which may have changed
            raise EntryDamaged(str(path), type_and_text_of(error)) from error

    # ---- changing

    def add(self, question: Question, value: Any, now: float, expires: float | None) -> None:
        """Keep a value; an earlier one that answers the same question goes.

        Raises:
            OSError, sqlite3.Error: It cannot be kept.
            Exception: The value cannot be pickled.
        """
        data = self._serializer.serialize(value)
        name = uuid.uuid4().hex
        file = f"{name[:2]}/{name}.pickle"
        self._make_folder()
        # Its checksum stands in the index: what a power cut spoils is made anew.
        write_file(self.folder / "values" / file, data, survives_power_cut=False)
        row = (
            question.name,
            question.code,
            question.all_inputs,
            json.dumps(dict(question.inputs)),
            json.dumps(dict(question.parameters)),
            question.is_child,
            now,
            expires,
            file,
            len(data),
            _checksum(data),
        )
        same = (question.name, question.all_inputs, question.code, row[4])
        with self._open() as index:
            old = index.execute(
                "SELECT number, file FROM entries"
                " WHERE name = ? AND all_inputs = ? AND code = ? AND parameters = ?",
                same,
            ).fetchall()
            index.executemany("DELETE FROM entries WHERE number = ?", [(n,) for n, _ in old])
            index.execute(
                "INSERT INTO entries (name, code, all_inputs, inputs, parameters, is_child, created,"
                " expires, file, size_bytes, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        self._unlink(file for _, file in old)

    def drop_expired(self, now: float) -> None:
        """Drop the values that are past their time; that they were there is remembered for a month."""
        if not self._index.exists():
            return
        with self._open() as index:
            old = index.execute(
                "SELECT number, file FROM entries WHERE expires <= ? AND file IS NOT NULL", (now,)
            ).fetchall()
            if old:
                index.executemany(
                    "UPDATE entries SET file = NULL WHERE number = ?", [(n,) for n, _ in old]
                )
                index.execute("DELETE FROM entries WHERE expires <= ?", (now - REMEMBER_SECONDS,))
        self._unlink(file for _, file in old)

    def drop(self, entry: Entry) -> None:
        """Drop an entry."""
        with self._open() as index:
            index.execute("DELETE FROM entries WHERE number = ?", (entry.number,))
        self._unlink([entry.file])

    def claim(self, key: str, on_wait: Callable[[], None] = lambda: None) -> Claim:
        """The right to make a result, once no other run has it; waits for that.

        Raises:
            OSError: The folder cannot be written to.
        """
        self._make_folder()
        return claim(self.folder / "claims" / key, on_wait)

    # ---- inside

    @property
    def _index(self) -> Path:
        return self.folder / "index.sqlite"

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The index, in a transaction; opened anew each time: it may be asked in any thread and process."""
        import sqlite3

        self._make_folder()
        try:
            with closing(sqlite3.connect(self._index, timeout=BUSY_SECONDS)) as index:
                # Waiting for the disk costs more than most of what is cached, and what it guards against costs
                # the entries and no more: see below.
                index.execute("PRAGMA synchronous = OFF")
                if index.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                    index.executescript(SCHEMA)
                    index.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                with index:
                    yield index
        except sqlite3.OperationalError:
            raise  # busy, a full disk: the index is sound
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self._index.unlink()
            raise

    def _unlink(self, files: Any) -> None:
        for file in files:
            if file is not None:
                # Another process may read it (Windows), or have dropped it.
                with suppress(OSError):
                    (self.folder / "values" / file).unlink()


def _entry(row: tuple[Any, ...]) -> Entry:
    number, name, code, inputs, parameters, is_child, *rest = row
    made = Question(name, code, json.loads(inputs), json.loads(parameters), bool(is_child))
    created, expires, file, size_bytes, checksum = rest
    return Entry(made, created, expires, file, size_bytes, checksum, number)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
