"""Every question of the benchmarks is answered, in rows that can be printed and written."""

import doctest
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from benchmarks.catalogue import ON_REQUEST, USUAL, questions
from benchmarks.core.machine import ROOT
from benchmarks.core.options import Options
from benchmarks.core.rows import Bar, Row, line
from tests.waiting import wait_until

TINY = Options(scale=0.0001, rounds=1, threads_only=True)

#: Not questions, but what asks them and what asks something else.
OTHERS = {"__init__", "__main__", "catalogue", "cost", "growth", "hot_path"}


@pytest.mark.parametrize("name", [*questions(""), *questions("million")])
def test_a_question_is_answered_in_rows(name: str):
    rows = questions(name)[name](TINY)

    assert rows
    for row in rows:
        assert row.tasks > 0
        assert row.work in line(row)
        json.dumps(row.as_json())


def test_one_command_prints_the_table_and_writes_it(tmp_path: Path):
    file = tmp_path / "table.json"
    arguments = ["--only", "wide-this,coordinator", "--scale", "0.001", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks", *arguments, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)

    assert "wide + reduce, this thread" in done.stdout
    table = json.loads(file.read_text("utf-8"))
    assert {"commit", "python", "cores", "versions"} <= set(table)
    first, _, second = table["rows"]
    assert first["bar"] == "≤ 0.5×" and first["ratio"] == first["ours"] / first["raw"]
    assert second["bar"] == "≤ 250" and second["raw"] is None


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is no signal to one process there")
def test_ctrl_c_while_a_cluster_starts_ends_it_and_says_so_in_a_line(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks", "--only", "map-one"]
    with subprocess.Popen(
        [*command, "--json", str(tmp_path / "table.json")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            workers = wait_until(lambda: workers_of(program), 30)
            program.send_signal(signal.SIGINT)
            _, told = program.communicate(timeout=30)
        finally:
            program.kill()

    assert program.returncode == 130, told
    assert told == "interrupted; the rows above are all there are\n"
    assert not psutil.wait_procs(workers, timeout=10)[1]


def workers_of(program: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes of its cluster that have begun to start."""
    found = []
    for process in psutil.Process(program.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended: it asks programs of the system, too
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_every_file_is_in_the_catalogue():
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert files - OTHERS == {*USUAL, *ON_REQUEST}


def test_a_question_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'wise'"):
        questions("wide,wise")


@pytest.mark.parametrize(
    ("bar", "ours", "raw", "met"),
    [
        (Bar(0.5), 1.0, 2.0, True),
        (Bar(0.5), 1.01, 2.0, False),
        (Bar(1.0, at_least=True), 0.8, 0.9, False),
        (Bar(250, of="ours"), 250.0, None, True),
        (Bar(1.0, of="ours", below=True), 1.0, 5.0, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_a_bar_is_met_or_not(bar, ours, raw, met):
    assert Row("work", "s", ours, raw, bar, 1).is_met is met


@pytest.mark.parametrize("name", ["core.rows", "core.options", "catalogue", "growth", "mixed_map"])
def test_the_examples_of_the_benchmarks_print_what_they_say(name: str):
    failed, tried = doctest.testmod(import_module(f"benchmarks.{name}"))
    assert tried and not failed
