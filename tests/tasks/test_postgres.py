"""Statements go to a real PostgreSQL server."""

import logging
import sys
from collections.abc import Iterator
from typing import Any, cast

import psycopg
import pytest

from prefect_dask import Flow
from prefect_dask.tasks.needs import MissingExtra, MissingValue
from prefect_dask.tasks.postgres import PostgresExecute, PostgresExecuteMany, PostgresFetch
from tests.postgres import PostgresServer
from tests.tasks.servers import unused_port


@pytest.fixture
def table(postgres: PostgresServer) -> Iterator[str]:
    """A table (id, name) that is gone at the end."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create table people (id int primary key, name text)")
        try:
            yield "people"
        finally:
            connection.execute("drop table people")


def at(server: PostgresServer) -> dict:
    return {
        "db_name": server.database,
        "user": server.user,
        "host": server.host,
        "port": server.port,
    }


def rows(server: PostgresServer) -> list:
    with psycopg.connect(server.url) as connection:
        return connection.execute("select id, name from people order by id").fetchall()


def test_a_flow_writes_and_reads(postgres, table):
    insert = PostgresExecuteMany(**at(postgres), query="insert into people values (%s, %s)")
    select = PostgresFetch(**at(postgres), fetch="all", query="select * from people order by id")
    with Flow("people") as flow:
        inserted = insert(data=[(1, "Ada"), (2, "Bob")], password=postgres.password)
        selected = select(password=postgres.password, upstream_tasks=[inserted])
    state = flow.run()
    assert state.result[inserted].result == 2
    assert state.result[selected].result == [(1, "Ada"), (2, "Bob")]


def test_values_are_never_part_of_the_statement(postgres, table):
    execute = PostgresExecute(**at(postgres), query="insert into people values (%(id)s, %(name)s)")
    name = "Robert'); drop table people; --"
    assert execute.run(data={"id": 1, "name": name}, password=postgres.password) == 1
    assert rows(postgres) == [(1, name)]


def test_one_row_many_or_all_are_fetched_with_names_where_wanted(postgres):
    query = "select n as number from generate_series(1, 20) as n"
    fetch = PostgresFetch(**at(postgres), query=query)
    password = postgres.password
    assert fetch.run(password=password) == (1,)
    assert fetch.run("many", password=password) == [(n,) for n in range(1, 11)]
    assert fetch.run("many", 3, password=password) == [(1,), (2,), (3,)]
    assert len(fetch.run("all", password=password)) == 20
    assert fetch.run(col_names=True, password=password) == ((1,), ["number"])
    assert fetch.run(query="select 1 where false", password=password) is None


def test_without_commit_nothing_changes(postgres, table):
    execute = PostgresExecute(
        **at(postgres), query="insert into people values (1, 'Ada')", commit=False
    )
    assert execute.run(password=postgres.password) == 1
    assert rows(postgres) == []
    execute.run(password=postgres.password, commit=True)
    assert rows(postgres) == [(1, "Ada")]


def test_a_row_that_is_refused_takes_back_those_before_it(postgres, table):
    many = PostgresExecuteMany(**at(postgres), query="insert into people values (%s, %s)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        many.run(data=[(1, "Ada"), (1, "Bob")], password=postgres.password)
    assert rows(postgres) == []


def test_the_server_ends_a_statement_with_the_tasks_time(postgres):
    fetch = PostgresFetch(**at(postgres), query="select pg_sleep(60)", timeout=0.3)
    with pytest.raises(psycopg.errors.QueryCanceled):
        fetch.run(password=postgres.password)


def test_a_wrong_password_fails_the_task_and_is_not_told(postgres, caplog):
    caplog.set_level(logging.DEBUG)
    with Flow("refused") as flow:
        fetched = PostgresFetch(**at(postgres), query="select 1")(password="planted")
    state = flow.run().result[fetched]
    assert state.is_failed() and "password authentication failed" in state.message
    assert "planted" not in f"{caplog.text} {state.message} {state.result!r}"


def test_a_server_that_is_not_there_fails_the_task(postgres):
    place = {**at(postgres), "port": unused_port()}
    with pytest.raises(psycopg.OperationalError, match=f"port {place['port']}"):
        PostgresFetch(**place, query="select 1").run(password="")


def test_what_is_missing_or_wrong_is_named(postgres, monkeypatch):
    with pytest.raises(MissingValue, match="query"):
        PostgresFetch(**at(postgres)).run()
    with pytest.raises(ValueError, match="one, many or all"):
        PostgresFetch(**at(postgres), query="select 1").run(cast("Any", "some"))
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"prefect-dask\[postgres\]"):
        PostgresFetch(**at(postgres), query="select 1").run()
