"""SQLiteQuery and SQLiteScript, by the sqlite3 of the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from prefect_dask.engine import clock
from prefect_dask.task import Task
from prefect_dask.tasks.needs import or_else, value_of

if TYPE_CHECKING:
    import sqlite3

LOOK_STEPS: Final = 10_000
"""How many steps of SQLite's machine, microseconds to milliseconds, lie between looks at the clock."""


class _SQLite(Task):
    """A task with a connection."""

    db: str | os.PathLike[str] | None

    @contextmanager
    def _connected(self, db: str | os.PathLike[str] | None) -> Iterator[sqlite3.Connection]:
        import sqlite3

        with closing(sqlite3.connect(value_of(self, "db", db))) as connection:
            if self.timeout_seconds is not None:
                # A long statement runs no Python code in which the task could be stopped.
                until = clock.monotonic() + self.timeout_seconds
                connection.set_progress_handler(lambda: clock.monotonic() > until, LOOK_STEPS)
            yield connection


class SQLiteQuery(_SQLite):
    """Runs one statement in a transaction, and returns its rows as a list of tuples.

    After a failure nothing has changed.

    Args:
        db: The database's file; it is made if it is not there. Also an input of `run`, which wins.
        query: The statement, with `?` or `:name` where values go; also an input of `run`.
        data: The values, a tuple or a mapping; also an input of `run`. Never put values into the
            statement's text.
        settings: As for `Task`.

    Example:
        >>> SQLiteQuery(":memory:", "select ? + ?").run(data=(1, 2))
        [(3,)]
    """

    def __init__(
        self,
        db: str | os.PathLike[str] | None = None,
        query: str | None = None,
        data: Sequence[Any] | Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.db, self.query, self.data = db, query, data
        super().__init__(**settings)

    def run(
        self,
        query: str | None = None,
        data: Sequence[Any] | Mapping[str, Any] | None = None,
        db: str | os.PathLike[str] | None = None,
    ) -> list[tuple[Any, ...]]:
        statement = value_of(self, "query", query)
        values = or_else(data, self.data)
        with self._connected(db) as connection, connection:
            return connection.execute(statement, () if values is None else values).fetchall()


class SQLiteScript(_SQLite):
    """Runs a script of several statements.

    What stands before a statement that fails stays done, unless the script says BEGIN and COMMIT.

    Args:
        db: The database's file; it is made if it is not there. Also an input of `run`, which wins.
        script: The statements, each with a semicolon; also an input of `run`.
        settings: As for `Task`.
    """

    def __init__(
        self,
        db: str | os.PathLike[str] | None = None,
        script: str | None = None,
        **settings: Any,
    ) -> None:
        self.db, self.script = db, script
        super().__init__(**settings)

    def run(self, script: str | None = None, db: str | os.PathLike[str] | None = None) -> None:
        statements = value_of(self, "script", script)
        with self._connected(db) as connection:
            connection.executescript(statements)
