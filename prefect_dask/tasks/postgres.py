"""PostgreSQL by psycopg 3 (extra `postgres`): PostgresExecute, PostgresExecuteMany, PostgresFetch.

A connection is made for each run, and closed at its end. Where the task has a `timeout`, the server ends a
statement that takes longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from prefect_dask.task import Task
from prefect_dask.tasks.needs import MissingExtra, or_else, value_of

if TYPE_CHECKING:
    import psycopg

Values = Sequence[Any] | Mapping[str, Any]
Fetch = Literal["one", "many", "all"]


class _Postgres(Task):
    """A task with a connection."""

    def __init__(
        self,
        db_name: str | None = None,
        user: str | None = None,
        host: str | None = None,
        port: int | None = None,
        query: str | None = None,
        data: Any = None,
        commit: bool = True,
        *,
        connect_options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.db_name, self.user, self.host, self.port = db_name, user, host, port
        self.query, self.data, self.commit = query, data, commit
        self.connect_options = dict(connect_options or {})
        super().__init__(**settings)

    @contextmanager
    def _transaction(
        self, password: str | None, commit: bool | None
    ) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        """A cursor in a transaction, which is committed or rolled back at the end."""
        try:
            import psycopg
        except ImportError as exc:
            raise MissingExtra("psycopg", "postgres") from exc

        given = {
            "dbname": self.db_name,
            "user": self.user,
            "password": password,
            "host": self.host,
            "port": self.port,
        }
        named = {name: value for name, value in given.items() if value is not None}
        options = {"application_name": "prefect_dask", **self.connect_options, **named}
        if self.timeout_seconds is not None:
            limit = f"-c statement_timeout={max(1, int(self.timeout_seconds * 1000))}"
            options["options"] = f"{options.get('options', '')} {limit}".strip()
        with psycopg.connect("", **options) as connection, connection.cursor() as cursor:
            yield cursor
            if not or_else(commit, self.commit):
                connection.rollback()

    def _query(self, query: str | None) -> bytes:
        # As bytes, because psycopg's types ask for text that is known when it is written.
        return str(value_of(self, "query", query)).encode()


class PostgresExecute(_Postgres):
    """Runs one statement in a transaction, and returns how many rows it met (-1: not known).

    After a failure nothing has changed.

    Args:
        db_name: The database. What is not given here comes from the variables of libpq, such as
            PGHOST and PGPASSFILE.
        user: Who connects.
        host: The server; a name, an address, or the folder of its socket.
        port: Where the server listens; 5432 when nobody says.
        query: The statement, with `%s` or `%(name)s` where values go; also an input of `run`, which
            wins.
        data: The values, a tuple or a mapping; also an input of `run`. Never put values into the
            statement's text.
        commit: Whether to keep what was changed; also an input of `run`.
        connect_options: More options of libpq, as in `{"sslmode": "verify-full"}`.
        settings: As for `Task`.

    The password is an input of `run` alone, so that it comes from a secret and is not kept here.

    Raises:
        psycopg.Error: The server cannot be reached, or refuses.
        MissingExtra: psycopg is not installed.
    """

    def run(
        self,
        query: str | None = None,
        data: Values | None = None,
        commit: bool | None = None,
        password: str | None = None,
    ) -> int:
        statement = self._query(query)
        with self._transaction(password, commit) as cursor:
            cursor.execute(statement, or_else(data, self.data))
            return cursor.rowcount


class PostgresExecuteMany(_Postgres):
    """Runs one statement once for each of many rows of values, in one transaction.

    After a failure nothing has changed. Arguments as for `PostgresExecute`, but `data` is a list of
    tuples or mappings.

    Raises:
        psycopg.Error: The server cannot be reached, or refuses.
        MissingExtra: psycopg is not installed.
    """

    def run(
        self,
        query: str | None = None,
        data: Sequence[Values] | None = None,
        commit: bool | None = None,
        password: str | None = None,
    ) -> int:
        statement, rows = self._query(query), value_of(self, "data", data)
        with self._transaction(password, commit) as cursor:
            cursor.executemany(statement, rows)
            return cursor.rowcount


class PostgresFetch(_Postgres):
    """Runs one statement and returns rows of its result, as tuples.

    Args:
        db_name: This, `user`, `host` and `port` are as for `PostgresExecute`.
        user: As said.
        host: As said.
        port: As said.
        fetch: "one" row, or None if there is none; "many": a list of `fetch_count` at most; "all".
            Also an input of `run`, which wins.
        fetch_count: Also an input of `run`.
        query: As for `PostgresExecute`, as are the arguments below.
        data: As said.
        commit: As said.
        col_names: Whether to return (rows, names of the columns); also an input of `run`.
        settings: As for `PostgresExecute`.

    Raises:
        psycopg.Error: The server cannot be reached, refuses, or the statement has no rows.
        MissingExtra: psycopg is not installed.
    """

    def __init__(
        self,
        db_name: str | None = None,
        user: str | None = None,
        host: str | None = None,
        port: int | None = None,
        fetch: Fetch = "one",
        fetch_count: int = 10,
        query: str | None = None,
        data: Values | None = None,
        commit: bool = True,
        col_names: bool = False,
        **settings: Any,
    ) -> None:
        self.fetch, self.fetch_count, self.col_names = fetch, fetch_count, col_names
        super().__init__(db_name, user, host, port, query, data, commit, **settings)

    def run(
        self,
        fetch: Fetch | None = None,
        fetch_count: int | None = None,
        query: str | None = None,
        data: Values | None = None,
        commit: bool | None = None,
        password: str | None = None,
        col_names: bool | None = None,
    ) -> Any:
        how = or_else(fetch, self.fetch)
        if how not in ("one", "many", "all"):
            raise ValueError(f"fetch is one, many or all, got {how!r}")
        statement = self._query(query)
        with self._transaction(password, commit) as cursor:
            cursor.execute(statement, or_else(data, self.data))
            rows: Any
            if how == "one":
                rows = cursor.fetchone()
            elif how == "many":
                rows = cursor.fetchmany(or_else(fetch_count, self.fetch_count))
            else:
                rows = cursor.fetchall()
            names = [column.name for column in cursor.description or ()]
        return (rows, names) if or_else(col_names, self.col_names) else rows
