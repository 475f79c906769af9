"""Statements go to a real SQLite database in a file."""

import sqlite3

import pytest

from prefect_dask import Flow
from prefect_dask.tasks.database import SQLiteQuery, SQLiteScript
from prefect_dask.tasks.needs import MissingValue

SCRIPT = (
    "create table people (id integer primary key, name text); insert into people values (1, 'Ada');"
)
ALL = "select * from people"


@pytest.fixture
def db(tmp_path):
    SQLiteScript(tmp_path / "people.db", SCRIPT).run()
    return tmp_path / "people.db"


def test_a_flow_makes_a_table_and_reads_it(tmp_path):
    db = tmp_path / "new.db"
    with Flow("people") as flow:
        made = SQLiteScript(db, SCRIPT)()
        read = SQLiteQuery(db, ALL)(upstream_tasks=[made])
    assert flow.run().result[read].result == [(1, "Ada")]


def test_a_query_that_writes_is_kept(db):
    assert SQLiteQuery(db).run("insert into people values (?, ?)", (2, "Bob")) == []
    assert SQLiteQuery(db, ALL).run() == [(1, "Ada"), (2, "Bob")]


def test_values_are_never_part_of_the_statement(db):
    name = "Robert'); drop table people; --"
    SQLiteQuery(db, "insert into people values (:id, :name)").run(data={"id": 2, "name": name})
    assert SQLiteQuery(db, "select name from people where id = ?", (2,)).run() == [(name,)]


def test_a_query_that_fails_changes_nothing(db):
    with pytest.raises(sqlite3.IntegrityError):
        SQLiteQuery(db, "insert into people values (2, 'Bob'), (1, 'Eve')").run()
    assert SQLiteQuery(db, ALL).run() == [(1, "Ada")]


def test_a_script_keeps_what_stands_before_its_fault_unless_it_says_otherwise(db):
    bad = "insert into people values (2, 'Bob'); nonsense;"
    with pytest.raises(sqlite3.OperationalError):
        SQLiteScript(db, f"begin; {bad} commit;").run()
    assert len(SQLiteQuery(db, ALL).run()) == 1
    with pytest.raises(sqlite3.OperationalError):
        SQLiteScript(db, bad).run()
    assert len(SQLiteQuery(db, ALL).run()) == 2


def test_a_query_ends_with_the_tasks_time(db):
    endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select sum(x) from n"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        SQLiteQuery(db, endless, timeout=0.2).run()


def test_a_task_without_database_or_statement_says_so(db):
    with pytest.raises(MissingValue, match="has no db"):
        SQLiteQuery(query="select 1").run()
    with pytest.raises(MissingValue, match="has no script"):
        SQLiteScript(db).run()
