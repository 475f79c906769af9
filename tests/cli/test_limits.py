"""`prefect-dask limits`: made, seen while they are held, and taken away."""

from tests.cli import flow_files
from tests.waiting import wait_for_file, wait_until


def test_a_limit_is_made_changed_listed_and_removed(program):
    assert program("limits", "set", "tag:database", "3").returncode == 0
    assert program("limits", "set", "tag:database", "2").returncode == 0
    lines = program("limits", "ls").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["LIMIT", "SLOTS", "HELD", "WAITING"],
        ["tag:database", "2", "0", "0"],
    ]
    assert program("limits", "rm", "tag:database").returncode == 0
    assert program.json("limits", "ls") == []


def test_who_holds_a_slot_is_shown(program):
    program("limits", "set", "task:wait", "1")
    program.write("waits.py", flow_files.WAITING)
    running = program.start("run", "waits.py", "--executor", "threads")
    try:
        wait_for_file(program.folder / "runs")
        wait_until(lambda: program.json("limits", "ls")[0]["holders"])
        [run] = program.json("runs", "ls")
        told = program("limits", "ls").stdout
        assert "task:wait      1     1        0" in told
        assert run["run_id"][:12] in told
    finally:
        running.kill()
        running.communicate()


def test_a_wrong_limit_is_told(program):
    program("limits", "set", "tag:database", "3")
    for arguments, told in (
        (["set", "database", "3"], "give 'tag:database' or 'task:database'"),
        (["set", "tag:database", "some"], "'some' is not a valid integer"),
        (["rm", "tag:databse"], "there is no limit 'tag:databse'"),
    ):
        done = program("limits", *arguments)
        assert done.returncode == 2
        assert told in done.stderr
