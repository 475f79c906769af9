"""`prefect-dask database`, and a ledger that cannot be used: what is told, and that nothing is overwritten."""

import os
import sqlite3
from contextlib import closing

import pytest

from tests.cli import flow_files
from tests.waiting import wait_for_file


@pytest.fixture
def ledger(program):
    """The file of a ledger with one run."""
    program.write("sums.py", flow_files.ADD)
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    return program.home / "ledger.sqlite"


def test_the_ledger_is_described(program, ledger):
    told = program.json("database", "info")
    assert told["place"] == str(ledger)
    assert (told["flow_runs"], told["flows"]) == (1, 1)
    assert told["tables_version"] == told["latest_version"] > 1


def test_where_there_is_no_ledger_none_is_made_by_looking(program):
    assert program.json("database", "info")["tables_version"] == 0
    assert not program.home.exists()


def test_a_ledger_is_made_by_upgrading_and_stays_as_it_is_after_that(program):
    assert "it was made" in program("database", "upgrade").stdout
    before = (program.home / "ledger.sqlite").read_bytes()
    assert program("database", "upgrade").returncode == 0
    assert (program.home / "ledger.sqlite").read_bytes() == before


def test_resetting_asks_and_names_what_is_lost(program, ledger):
    refused = program("database", "reset", stdin="n\n")
    assert refused.returncode == 2
    assert "1 runs of 1 flows" in refused.stderr
    assert len(program.json("runs", "ls")) == 1

    done = program("database", "reset", stdin="y\n")

    assert done.returncode == 0
    assert program.json("runs", "ls") == []
    assert program.json("flows", "ls") == []


def test_resetting_without_a_question_for_scripts(program, ledger):
    assert program("database", "reset", "--yes").returncode == 0
    assert program.json("database", "info")["flow_runs"] == 0
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    assert len(program.json("runs", "ls")) == 1


def test_resetting_and_bringing_down_are_refused_while_a_process_is_at_a_run(program, ledger):
    program.write("waits.py", flow_files.WAITING)
    running = program.start("run", "waits.py")
    try:
        wait_for_file(program.folder / "runs")
        for command in ("reset", "downgrade"):
            done = program("database", command, "--yes")
            assert done.returncode == 2
            assert "which is alive" in done.stderr
        assert len(program.json("runs", "ls")) == 2
    finally:
        running.kill()
        running.communicate()


def test_a_ledger_is_brought_down_when_one_says_so_and_up_again(program, ledger):
    asked = program("database", "downgrade", "2")
    assert asked.returncode == 2 and "nothing was changed" in asked.stderr
    assert "the limits, who holds a slot under them, and who waits for one (0 rows)" in asked.stderr
    latest = program.json("database", "info")["latest_version"]

    done = program("database", "downgrade", "2", stdin="y\n")

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"is at version 2; it was at {latest}\n")
    about = program("database", "info").stdout
    assert "Tables version:  2" in about and "run `prefect-dask database upgrade`" in about
    assert "is at version 2" in program("database", "downgrade", "3", "--yes").stdout
    assert program("database", "upgrade").stdout.endswith(f"is at version {latest}; it was at 2\n")
    assert len(program.json("runs", "ls")) == 1


def test_resetting_takes_the_files_of_results_with_it(program):
    program.write(
        "large.py",
        flow_files.ADD.replace("return x + y", "return 'x' * 50_000").replace("sums", "l"),
    )
    assert program("run", "large.py", "--param", "x=1").returncode == 0
    assert list(program.home.glob("results/*/*.pickle"))
    program("database", "reset", "--yes")
    assert not list(program.home.glob("results/*/*"))


def test_a_ledger_in_postgresql_is_made_described_and_emptied(program, postgres):
    """In a database of its own: the tables lie in a schema of one name."""
    with connected(postgres.url) as connection:
        connection.execute("CREATE DATABASE of_the_command_line")
    url = postgres.url.rpartition("/")[0] + "/of_the_command_line"
    program.environment["PREFECT_LEDGER_URL"] = url
    try:
        before = program("database", "info")
        assert "Tables version:  0" in before.stdout and postgres.password not in before.stdout
        assert program("database", "upgrade").returncode == 0
        program.write("sums.py", flow_files.ADD)
        assert program("run", "sums.py", "--param", "x=1").returncode == 0
        told = program.json("database", "info")
        assert (told["kind"], told["flow_runs"]) == ("postgresql", 1)
        assert program.json("flows", "ls")[0]["name"] == "sums"

        assert program("database", "downgrade", "1", "--yes").returncode == 0
        assert program("database", "reset", "--yes").returncode == 0
        assert program.json("runs", "ls") == []
    finally:
        with connected(postgres.url) as connection:
            connection.execute("DROP DATABASE of_the_command_line WITH (FORCE)")


def connected(url):
    import psycopg

    return psycopg.connect(url, autocommit=True)


# ---- a ledger that cannot be used

# What each command says of one stands in test_commands.py.


def test_a_ledger_of_a_later_version_is_left_alone_and_nothing_runs(program, ledger):
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = ledger.read_bytes()

    done = program("run", "sums.py", "--param", "x=1")

    assert done.returncode == 2
    assert "has version 99 of the tables" in done.stderr and "upgrade prefect_dask" in done.stderr
    assert ledger.read_bytes() == before
    about = program("database", "info")
    assert about.returncode == 2 and "Tables version:  99" in about.stdout


def test_a_file_that_is_no_ledger_is_left_alone_and_nothing_runs(program, ledger):
    for file in program.home.glob("ledger.sqlite*"):
        file.unlink()
    ledger.write_text("my shopping list, which is longer than one hundred characters" * 40)
    before = ledger.read_bytes()

    done = program("run", "sums.py", "--param", "x=1")

    assert done.returncode == 2
    assert "is no ledger" in done.stderr and "move it away" in done.stderr
    assert "Traceback" not in done.stderr
    assert ledger.read_bytes() == before


def test_a_damaged_ledger_says_how_to_save_what_can_be_saved(program, ledger):
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = os.path.getsize(ledger)
    with ledger.open("r+b") as file:  # all but the first page, in which the version stands
        file.seek(4096)
        file.write(b"\xde\xad" * ((size - 4096) // 2))
    before = ledger.read_bytes()

    done = program("runs", "ls")

    assert done.returncode == 2
    assert "is damaged" in done.stderr and ".recover" in done.stderr
    assert ledger.read_bytes() == before
