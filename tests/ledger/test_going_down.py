"""A ledger is brought down to the tables of an earlier version, and up again; what both know stays."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from prefect_dask import Flow, task
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import CannotGoDown, RunAlive
from prefect_dask.ledger.migrations import latest_version
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.upkeep import downgrade, losses, tables_version
from tests.ledger.test_schema import RUN, at_version, open_store_anew

#: Of each kind one, for all columns: a key, and where a text has to be JSON.
VALUES = {"integer": 7, "real": 1.5, "text": "{}", "bytes": b"kept"}


@task
def one():
    return 1


@contextmanager
def connected(place: Place) -> Iterator[Any]:
    """The database itself, whatever version its tables have."""
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.target)) as connection:
            yield connection
            connection.commit()
    else:
        import psycopg

        with psycopg.connect(place.target) as connection:
            connection.execute("SET search_path = prefect_dask")
            yield connection


#: What a database says of its tables, indexes and views.
DESCRIBES = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"],
    "postgresql": [
        "SELECT table_name, row_number() OVER (PARTITION BY table_name ORDER BY ordinal_position),"
        " column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'prefect_dask'",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'prefect_dask'",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'prefect_dask'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'prefect_dask'::regnamespace",
    ],
}


def described(place: Place) -> list[list[str]]:
    """All of the schema, in the database's own words."""
    with connected(place) as connection:
        found = [connection.execute(query).fetchall() for query in DESCRIBES[place.kind]]
    return [sorted(" ".join(map(str, row)).replace("\n", " ") for row in rows) for rows in found]


def rows_of(place: Place) -> dict[str, list[dict[str, Any]]]:
    """The rows of all tables that are there."""
    found = {}
    with connected(place) as connection:
        there = str(described(place)[0])
        for table in TABLES:
            if f" {table} " in there or f"'{table} " in there:
                cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
                names = [column[0] for column in cursor.description]
                found[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    return found


def fill(place: Place) -> None:
    """A row in each table, beside those that are there."""
    with connected(place) as connection:
        mark = "?" if place.kind == "sqlite" else "%s"
        for table in TABLES.values():
            values = [VALUES[column.kind] for column in table.columns]
            marks = ", ".join([mark] * len(values))
            names = ", ".join(table.names)
            connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", values)


def known_to_both(some: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Those tables and columns of some rows that others have too."""
    return {
        table: [
            {name: value for name, value in row.items() if name in other}
            for row, other in zip(rows, others[table], strict=True)
        ]
        for table, rows in some.items()
        if table in others
    }


@pytest.mark.parametrize("version", range(1, latest_version()))
def test_down_leads_to_the_tables_of_that_version_and_what_both_know_is_kept(
    store, url, version, monkeypatch
):
    store.open()  # imports what is patched
    at_version(open_store_anew(store), version, monkeypatch)
    place = store.place
    as_it_was_made = described(place)
    Ledger(url).flow_runs()  # brings it up
    as_it_is_now = described(place)
    fill(place)
    before = rows_of(place)

    downgrade(Ledger(url), version)

    assert described(place) == as_it_was_made
    assert tables_version(place) == (version, latest_version())
    below = rows_of(place)
    assert below == known_to_both(before, below)

    assert RUN in [run.run_id for run in Ledger(url).flow_runs()]  # brings it up again
    assert described(place) == as_it_is_now
    assert known_to_both(rows_of(place), below) == below
    Flow("new", tasks=[one]).run(ledger=url)
    assert "new" in [run.flow_name for run in Ledger(url).flow_runs()]


def test_what_is_lost_is_told_before_it_is(store, url):
    store.open()
    fill(store.place)
    assert [loss.rows for loss in losses(Ledger(url), 1)] == [0, 1, 3, 2], "a column has no rows"
    [latest] = losses(Ledger(url), latest_version() - 1)
    assert latest.what.startswith("which results runs keep")


def test_a_ledger_is_not_brought_down_while_a_process_is_at_a_run(store, url):
    @task
    def bring_it_down():
        with pytest.raises(RunAlive):
            downgrade(Ledger(url), 1)
        return "refused"

    with Flow("at work") as flow:
        told = bring_it_down()
    assert flow.run(ledger=url).result[told].result == "refused"
    assert tables_version(store.place)[0] == latest_version()


def test_a_process_that_has_the_ledger_open_loses_nothing_when_another_brings_it_down(store, url):
    Flow("before", tasks=[one]).run(ledger=url)
    downgrade(Ledger(url), 1)
    Flow("after", tasks=[one]).run(ledger=url)

    assert [run.flow_name for run in Ledger(url).flow_runs()] == ["after", "before"]
    assert [run.state for run in Ledger(url).flow_runs()] == ["Success", "Success"]


def test_an_sqlite_that_cannot_drop_columns_brings_nothing_down(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "its.sqlite")
    Flow("one", tasks=[one]).run(ledger=tmp_path / "its.sqlite")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(CannotGoDown, match=r"takes SQLite 3\.35\.0 or newer"):
        downgrade(ledger, 1)
    assert tables_version(ledger.place)[0] == latest_version()
