"""The tables: described once, made by migrations, the same in both databases, and never guessed at."""

import hashlib
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.state import Success, state_at
from prefect_dask.engine.stream import StateChange
from prefect_dask.ledger import Ledger, migrations
from prefect_dask.ledger.entries import Begun, Moved, Rows
from prefect_dask.ledger.errors import DatabaseTooOld, LedgerTooNew, NotALedger, NothingRecorded
from prefect_dask.ledger.migrations import all_steps, latest_version
from prefect_dask.ledger.packed import pack_changes
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.schema import TABLES, VIEWS
from prefect_dask.ledger.sqlite import APPLICATION_ID
from prefect_dask.ledger.store import Store
from prefect_dask.ledger.writer import open_store

#: What each database calls a kind of column.
KINDS = {
    "INTEGER": "integer",
    "REAL": "real",
    "TEXT": "text",
    "BLOB": "bytes",
    "bigint": "integer",
    "double precision": "real",
    "text": "text",
    "bytea": "bytes",
}

RUN = "f" * 32

#: The SHA-256 of each step that was released, and of its way down.
RELEASED = {
    "0001_runs.sql": "3d6a97379910e0323e096db6c2275b2c9965c59183c3b54a39cab4d0bc303e51",
    "0002_clusters_and_leases.sql": "97fd6292852c4d4e3f884d51b54c350b784746bfe3544fcf9b99d43b24b71bfd",
    "0002_clusters_and_leases.down.sql": "e22e1a4048d107ffb1476d88da8852ef3dff3d2536f7ee3166cc58b306fd65f1",
    "0003_limits.sql": "04aebfebb310e7effd640042146cc2090ed5858303a63b27f836102427a6aad0",
    "0003_limits.down.sql": "89a1a7c01447aff8f9ecebf9a6a5334134e7740327fc0f29c3c1e0299fa7f99e",
    "0004_requests.sql": "fcabbbd50641b62c7cf35a998cff02f90e13a5f115bc2c8590552ebb81a4d72d",
    "0004_requests.down.sql": "2b1fff8c5812eb8203ba697464c0de84e58112bd1266e8f851e9a6937d2783c4",
}

#: A release moves these to `RELEASED`; until then they may be edited.
UNRELEASED = {"0005_durable.sql", "0005_durable.down.sql"}


@task
def one():
    return 1


def tables_of(store: Store) -> dict[str, dict[str, tuple[str, bool]]]:
    """Of each table: its columns, their kinds, and whether they may hold nothing."""
    store.open()
    if store.place.kind == "sqlite":
        query = (
            'SELECT m.name, c.name, c.type, c."notnull" = 0 AND c.pk = 0'
            " FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        )
    else:
        query = (
            "SELECT c.table_name, column_name, data_type, is_nullable = 'YES'"
            " FROM information_schema.columns c JOIN information_schema.tables t"
            " ON t.table_name = c.table_name AND t.table_schema = c.table_schema"
            " WHERE c.table_schema = 'prefect_dask' AND t.table_type = 'BASE TABLE'"
            " AND c.table_name <> 'ledger_version'"
        )
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, is_optional in store.execute(query):
        tables.setdefault(table, {})[column] = (KINDS[kind], bool(is_optional))
    return tables


def key_of(store: Store, table: str) -> tuple[str, ...]:
    if store.place.kind == "sqlite":
        query = f"SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"
    else:
        query = (
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            f" WHERE i.indrelid = 'prefect_dask.{table}'::regclass AND i.indisprimary"
            " ORDER BY array_position(i.indkey, a.attnum)"
        )
    return tuple(name for (name,) in store.execute(query))


def test_the_tables_are_the_sum_of_the_migrations(store):
    described = {
        name: {column.name: (column.kind, column.is_optional) for column in table.columns}
        for name, table in TABLES.items()
    }
    assert tables_of(store) == described
    assert {name: key_of(store, name) for name in TABLES} == {
        name: table.key for name, table in TABLES.items()
    }
    for view in VIEWS:
        assert store.execute(f"SELECT * FROM {view}") == []


def at_version(store: Store, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tables as an earlier version of the code made them."""
    steps = all_steps()[:version]
    with monkeypatch.context() as patch:
        for module in ("store", "sqlite", "postgresql"):
            full = f"prefect_dask.ledger.{module}"
            if module == "store":
                patch.setattr(f"{full}.all_steps", lambda: steps)
            elif full in sys.modules:
                patch.setattr(f"{full}.latest_version", lambda: version)
        store.open()
        insert_run(store)
        store.close()


def insert_run(store: Store) -> None:
    """What every version could hold, in its own words."""
    store.execute(
        "INSERT INTO flows (digest, name, code, graph, first_seen) VALUES ('d', 'old', 'c', '{}', 1.5)"
    )
    [(flow,)] = store.execute("SELECT id FROM flows")
    store.execute(
        "INSERT INTO flow_runs (run_id, flow, name, parameters, scheduled, begun, state, state_number,"
        f" coordinator, version) VALUES ('{RUN}', {flow}, 'old-1', '{{}}', 1.5, 2.5, 'Success', 2, 'here', '0')"
    )
    [(run,)] = store.execute("SELECT id FROM flow_runs")
    store.execute(
        "INSERT INTO states (run, number, task, map_index, attempt, state, at, worker)"
        f" VALUES ({run}, 1, 0, -1, 1, 'Success', 2.5, 'w')"
    )
    store.execute(
        "INSERT INTO log_lines (run, number, task, map_index, level, logger, message, at, worker)"
        f" VALUES ({run}, 3, 0, -1, 20, 'l', 'hello', 2.5, 'w')"
    )


@pytest.mark.parametrize("version", range(1, latest_version() + 1))
def test_an_upgrade_keeps_what_is_there(store, url, version, monkeypatch):
    store.open()  # imports what is patched
    at_version(open_store_anew(store), version, monkeypatch)

    ledger = Ledger(store.place.target)
    [run] = ledger.flow_runs()
    assert (run.run_id, run.state, run.flow_name) == (RUN, "Success", "old")
    assert [state.state for state in ledger.states(RUN)] == ["Success"]
    assert [line.message for line in ledger.logs(RUN)] == ["hello"]

    Flow("new", tasks=[one]).run(ledger=store.place.target)
    assert [run.flow_name for run in ledger.flow_runs()] == ["new", "old"]


def open_store_anew(store: Store) -> Store:
    """A store with nothing in its place."""
    if store.place.kind == "sqlite":
        store.close()
        for file in Path(store.place.target).parent.glob("ledger.sqlite*"):
            file.unlink()
    else:
        store.execute("DROP SCHEMA prefect_dask CASCADE")
        store.close()
    return store


def test_a_ledger_that_is_newer_than_the_code_is_refused_before_any_task_runs(store, tmp_path):
    store.open()
    newer = latest_version() + 1
    if store.place.kind == "sqlite":
        store.execute(f"PRAGMA user_version = {newer}")
    else:
        store.execute(f"UPDATE ledger_version SET version = {newer}")
    store.close()

    @task
    def mark():
        (tmp_path / "ran").touch()

    with pytest.raises(LedgerTooNew, match=f"version {newer} .* upgrade prefect_dask"):
        Flow("never", tasks=[mark]).run(ledger=store.place.target)
    assert not (tmp_path / "ran").exists()


def test_an_upgrade_that_fails_changes_nothing(store, monkeypatch):
    broken = (*all_steps()[:1], "CREATE TABLE half (id $integer); CREATE TABLE half (id $integer);")
    store.open()
    fresh = open_store_anew(store)
    with monkeypatch.context() as patch:
        patch.setattr("prefect_dask.ledger.store.all_steps", lambda: broken)
        with pytest.raises(Exception, match="half"):
            fresh.open()
    assert set(tables_of(fresh)) == set(TABLES)


OPENS = """
import sys
from pathlib import Path
from prefect_dask.ledger.places import place_of
from prefect_dask.ledger.writer import open_store
store = open_store(place_of(sys.argv[1], Path()))
print("ready", flush=True)
sys.stdin.readline()
store.open()
"""


def test_processes_that_upgrade_at_once_do_not_collide(url, store):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=40)
        assert process.returncode == 0, errors
    assert set(tables_of(store)) == set(TABLES)


OPENS_EACH = """
import sys
from pathlib import Path
from prefect_dask.ledger.places import place_of
from prefect_dask.ledger.writer import open_store
for line in sys.stdin:
    store = open_store(place_of(line.strip(), Path()))
    store.open()
    store.close()
    print("made", flush=True)
"""


def test_processes_that_make_one_file_at_once_never_take_it_for_another(tmp_path):
    """Each time one makes the tables while the others look whether they are there."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS_EACH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    try:
        for number in range(50):
            for process in processes:
                process.stdin.write(f"{tmp_path / str(number)}.sqlite\n")
                process.stdin.flush()
            for process in processes:
                assert process.stdout.readline() == "made\n"
    finally:
        for process in processes:
            process.communicate(timeout=30)


def test_another_database_is_not_taken_for_a_ledger(tmp_path):
    path = tmp_path / "theirs.sqlite"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE theirs (id)")
    theirs.close()
    with pytest.raises(NotALedger, match="another kind"):
        Flow("never", tasks=[one]).run(ledger=path)
    path.write_bytes(b"plain text, and more of it than a header has" * 30)
    with pytest.raises(NotALedger, match="not a database"):
        Flow("never", tasks=[one]).run(ledger=path)


def test_a_library_that_is_too_old_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 23, 1))
    with pytest.raises(DatabaseTooOld, match=r"SQLite 3\.24\.0 or newer"):
        Flow("never", tasks=[one]).run(ledger=tmp_path / "its.sqlite")


def test_the_file_says_what_it_is(tmp_path):
    Flow("one", tasks=[one]).run(ledger=tmp_path / "its.sqlite")
    with sqlite3.connect(tmp_path / "its.sqlite") as file:
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()


# ---- writing


def states(first: int, count: int) -> Rows:
    values = [v for i in range(count) for v in (0, i, 1, "Running", None, 1.0, "w", None, None)]
    return Rows(RUN, 0, "states", first, values)


def count(store: Store) -> int:
    return int(store.execute("SELECT count(*) FROM states")[0][0])


def test_what_is_written_twice_is_there_once(store):
    entries = [Begun(RUN), states(0, 300), Moved(RUN, 0, 300, "Success", None, 2.0, True)]
    for _ in range(2):
        store.write(entries)
    assert count(store) == 300


def test_a_late_word_does_not_move_a_run_backwards(store):
    store.write([Begun(RUN), Moved(RUN, 0, 5, "Success", None, 2.0, True)])
    store.write([Moved(RUN, 0, 1, "Running", None, 3.0, False)])
    assert store.execute("SELECT state, ended FROM flow_runs") == [("Success", 2.0)]


def test_rows_of_a_run_whose_beginning_was_lost_are_kept(store, ledger):
    store.write([states(0, 3)])
    [run] = ledger.flow_runs()
    assert (run.run_id, run.flow_name) == (RUN, "unknown")
    assert len(ledger.states(RUN)) == 3


def test_a_process_whose_run_was_taken_over_can_write_nothing(store):
    store.write([Begun(RUN), states(0, 2)])
    store.execute("UPDATE flow_runs SET fence = 1")
    stale = [states(2, 2), Moved(RUN, 0, 9, "Failed", None, 2.0, True)]
    assert store.write(stale) == {(RUN, 0)}
    assert count(store) == 2
    assert store.write([states(2, 2)._replace(fence=1)]) == set()
    assert count(store) == 4


def test_a_batch_is_written_whole_or_not_at_all(store):
    store.write([Begun(RUN)])
    wrong = Rows(RUN, 0, "states", 500, [0, 0, 1, None, None, 1.0, "w", None, None])
    with pytest.raises(Exception, match=r"(?i)null"):
        store.write([states(0, 200), wrong])
    store.open()
    assert count(store) == 0


def test_a_deleted_file_is_made_anew(tmp_path):
    store = open_store(Place("sqlite", str(tmp_path / "its.sqlite")))
    store.write([Begun(RUN), states(0, 2)])
    for file in tmp_path.glob("its.sqlite*"):
        file.unlink()
    store.write([states(2, 2)])
    assert count(store) == 2
    store.close()


def test_migrations_are_numbered_and_say_when_they_go():
    folder = Path(migrations.__file__).parent
    for file in folder.glob("*.sql"):
        if file.name.endswith(".down.sql"):
            continue
        head = " ".join(
            line.removeprefix("-- ") for line in file.read_text().splitlines() if "-- " in line[:3]
        )
        assert "Goes before the code" in head or "Goes after the code" in head, file.name


def test_a_step_that_was_released_is_never_edited():
    folder = Path(migrations.__file__).parent
    now = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.sql")
    }
    changed = sorted(name for name, digest in RELEASED.items() if now.get(name) != digest)
    assert not changed, "ledgers that have this step would not get the change: add another step"
    assert now.keys() - RELEASED == UNRELEASED


# ---- packed states


def packed(first: int, count: int) -> Rows:
    changes = [
        StateChange((0, i, 0), 1, state_at(Success, 2.0 + i, "done\0"), True, "w", 1.0)
        for i in range(count)
    ]
    data = pack_changes(changes)
    return Rows(RUN, 0, "packed_states", first, [count, data])


def test_packed_states_become_rows_once_whoever_asks_and_however_often_they_are_written(store):
    store.write([Begun(RUN), packed(0, 3), packed(3, 300)])
    [(run,)] = store.execute("SELECT id FROM flow_runs")
    for _ in range(2):
        store.unpack(run)
        assert count(store) == 303
        assert store.execute("SELECT count(*) FROM packed_states") == [(0,)]
        # As from a journal, when nobody knows whether it was written.
        store.write([packed(3, 300)])
    row = store.execute("SELECT * FROM states WHERE number = 4")
    assert row == [(run, 4, 0, 1, 1, "Success", "done\\x00", 3.0, "w", 1.0, None)]


def test_several_at_once_may_ask(place, store):
    store.write([Begun(RUN), *(packed(first, 10) for first in range(0, 1000, 10))])
    [(run,)] = store.execute("SELECT id FROM flow_runs")
    together = threading.Barrier(4)

    def ask() -> int:
        own = open_store(place)
        together.wait(10)
        own.unpack(run)
        found = count(own)
        own.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [found.result(30) for found in [pool.submit(ask) for _ in range(4)]] == [1000] * 4


# ---- reading


def test_who_only_reads_makes_no_ledger(url, store):
    for ask in (Ledger(url).flow_runs, lambda: Ledger(url).flow_run("a"), lambda: store.unpack(1)):
        with pytest.raises(NothingRecorded, match="nothing was recorded there"):
            ask()
    if store.place.kind == "sqlite":
        assert not list(Path(store.place.target).parent.glob("ledger*"))
    else:
        with pytest.raises(NothingRecorded):
            store.ask("flow_runs", ("", "", "", "", 1))
    Flow("one", tasks=[one]).run(ledger=url)
    assert len(Ledger(url).flow_runs()) == 1
