"""`prefect-dask run`: where the flow comes from, what it is given, how the program ends."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli import flow_files
from tests.waiting import wait_for_file


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("sums.py", []),
        ("sums.py:sums", []),
        ("sums", []),
        ("company.sums", []),
        ("sums.py", ["-n", "flow"]),
    ],
)
def test_a_flow_is_run_from_a_file_or_a_module(program, place, arguments):
    program.write("sums.py", flow_files.ADD)
    program.write("company/sums.py", flow_files.ADD)

    done = program("run", place, *arguments, "--param", "x=2", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["flow"], told["state"]) == ("sums", "Success")
    assert told["task_runs"] == {"Success": 3}
    [run] = program.json("runs", "ls")
    assert (run["run_id"], run["parameters"]) == (told["run_id"], {"x": 2, "y": 1})


def test_a_saved_flow_is_run_from_its_file(program):
    saving = program.write("save.py", flow_files.ADD + "\nflow.save('sums.flow')\n")
    subprocess.run([sys.executable, saving], cwd=program.folder, check=True)
    assert program("run", "sums.flow", "--param", "x=1").returncode == 0


@pytest.mark.parametrize("executor", ["local", "threads", "processes"])
def test_the_executor_is_chosen(program, executor):
    program.write("sums.py", flow_files.ADD)
    done = program("run", "sums.py", "--param", "x=2", "--executor", executor)
    assert done.returncode == 0, done.stderr


def test_an_executor_that_does_not_exist_is_refused(program):
    program.write("sums.py", flow_files.ADD)
    done = program("run", "sums.py", "--executor", "thread")
    assert done.returncode == 2
    assert "'thread' is none of local, threads, processes, dask" in done.stderr


def test_parameters_come_from_a_file_and_those_on_the_command_line_win(program):
    program.write("sums.py", flow_files.ADD)
    program.write("values.toml", "x = 2\ny = 3\n")
    program.write("values.json", '{"x": 5, "y": 6}')

    program("run", "sums.py", "--params", "values.toml", "--param", "y=[7]")
    program("run", "sums.py", "--params", "values.json")

    latest, first = program.json("runs", "ls")
    assert latest["parameters"] == {"x": 5, "y": 6}
    assert first["parameters"] == {"x": 2, "y": [7]}


# ---- how it ends


def test_a_failed_run_ends_with_1_and_says_what_failed(program):
    program.write("halves.py", flow_files.MAPPED)

    done = program("run", "halves.py")

    assert done.returncode == 1
    assert "Failed" in done.stdout and "prefect-dask runs show" in done.stdout
    assert "halve[1] Failed: 1 is odd" in done.stderr
    assert "halve: 6/6, Success 3, Failed 3" in done.stderr


@pytest.mark.parametrize("ledger", ["none", ":memory:"])
def test_a_run_that_nobody_finds_again_is_not_told_to_be_shown(program, ledger):
    program.write("sums.py", flow_files.ADD)
    done = program("--ledger", ledger, "run", "sums.py", "--param", "x=1")
    assert done.returncode == 0
    assert "Success" in done.stdout and "runs show" not in done.stdout


def test_a_paused_run_ends_with_4_and_is_approved_when_it_is_resumed_on_a_terminal(program):
    program.write("approval.py", flow_files.PAUSED)
    assert program("run", "approval.py").returncode == 4
    [run] = program.json("runs", "ls")
    assert run["state"] == "Paused"

    with program.on_terminal("runs", "resume", run["run_id"][:8]) as terminal:
        terminal.wait_for(lambda t: any("Go on?" in line for line in t.lines))
        terminal.type("y\n")
        assert terminal.exit_code() == 0


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no such signals")
def test_ctrl_c_cancels_the_run_and_ends_with_3(program):
    program.write("waits.py", flow_files.WAITING)
    running = program.start("run", "waits.py")
    try:
        wait_for_file(program.folder / "runs")
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=40)
    finally:
        running.kill()
        running.wait()

    assert running.returncode == 3, err
    assert "Cancelled" in out
    assert "Traceback" not in err
    [run] = program.json("runs", "ls")
    assert run["state"] == "Cancelled"


def test_a_flow_without_a_schedule_cannot_run_on_it(program):
    program.write("sums.py", flow_files.ADD)
    done = program("run", "sums.py", "--param", "x=1", "--schedule")
    assert done.returncode == 2
    assert "flow 'sums' has no schedule" in done.stderr


def test_a_flow_runs_at_the_events_of_its_schedule(program):
    program.write(
        "sums.py",
        flow_files.ADD
        + "from datetime import datetime, timedelta, timezone\n"
        + "from prefect_dask.schedules import Schedule, clocks\n"
        + "now = datetime.now(timezone.utc)\n"
        + "dates = [now + timedelta(seconds=1), now + timedelta(seconds=1.2)]\n"
        + "flow.schedule = Schedule(clocks=[clocks.DatesClock(dates)])\n",
    )
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    assert len(program.json("runs", "ls")) == 1

    done = program("run", "sums.py", "--param", "x=1", "--schedule")
    assert done.returncode == 0 and "Flow 'sums': its next run begins at 20" in done.stderr
    assert len(program.json("runs", "ls")) > 1


# ---- what cannot be run


def test_a_file_with_two_flows_lists_them(program):
    program.write("two.py", flow_files.TWO)
    done = program("run", "two.py")
    assert done.returncode == 2
    assert "two.py has the flows 'first', 'second'; say which: -n NAME" in done.stderr
    assert program("run", "two.py", "-n", "second").returncode == 0


def test_a_misspelt_flow_is_told_the_nearest(program):
    program.write("two.py", flow_files.TWO)
    done = program("run", "two.py", "-n", "frist")
    assert done.returncode == 2
    assert "has no flow 'frist'; did you mean 'first'?" in done.stderr


def test_a_file_without_a_flow_says_so(program):
    program.write("empty.py", "x = 1\n")
    done = program("run", "empty.py")
    assert done.returncode == 2
    assert "empty.py: has no flow; make one at its top level" in done.stderr


def test_what_is_neither_file_nor_module_is_named(program):
    done = program("run", "nothing.here")
    assert done.returncode == 2
    assert "nothing.here: is neither a file nor a module" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["broken.py", "broken"])
def test_an_error_in_the_flow_file_is_shown_as_python_does_with_file_and_line_first(program, place):
    program.write("broken.py", "import helping\n")
    program.write("helping.py", "def half():\n    return 1 / 0\n\n\nhalf()\n")

    done = program("run", place)

    assert done.returncode == 2
    first, second, *rest = done.stderr.splitlines()
    assert first == "helping.py:2: ZeroDivisionError: division by zero"
    assert second == "Traceback (most recent call last):"
    files = [line for line in rest if line.lstrip().startswith("File")]
    assert len(files) == 3 and all("broken.py" in f or "helping.py" in f for f in files)


@pytest.mark.parametrize("place", ["broken.py", "broken"])
def test_a_module_that_the_flow_file_misses_is_told_with_file_and_line(program, place):
    program.write("broken.py", "x = 1\nimport pandaz\n")
    done = program("run", place)
    assert done.returncode == 2
    assert done.stderr.startswith("broken.py:2: ModuleNotFoundError: No module named 'pandaz'")


def test_a_flow_file_that_is_not_python_is_told_with_file_and_line(program):
    program.write("broken.py", "x = 1\nwith Flow( as flow:\n")
    done = program("run", "broken.py")
    assert done.returncode == 2
    assert done.stderr.startswith("broken.py:2: SyntaxError:")
    assert "prefect_dask" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--param", "x"], "--param 'x' is not NAME=VALUE"),
        ([], "'x'"),
        (["--param", "x=1", "--param", "z=1"], "'z'"),
        (["--params", "no.toml"], "no.toml"),
    ],
)
def test_parameters_that_do_not_fit_are_usage_errors(program, arguments, told):
    program.write("sums.py", flow_files.ADD)
    done = program("run", "sums.py", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
