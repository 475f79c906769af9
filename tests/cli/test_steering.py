"""`prefect-dask runs`, on what other processes recorded: attach, cancel, approve, set-success, replay, rm."""

import json
import os
import signal
from datetime import datetime, timezone

import pytest

from prefect_dask.cli.task_runs import task_run_in
from prefect_dask.ledger.facts import RecordedFlow, RecordedTask
from tests.cli import flow_files
from tests.waiting import wait_for_file, wait_until


@pytest.fixture
def held(program):
    """The process of a run of which one child is done and two wait for the file `go`; killed at the end."""
    program.write("held.py", flow_files.HELD)
    running = program.start("run", "held.py", "--executor", "threads")
    try:
        wait_for_file(program.folder / "holds-1")
        yield running
    finally:
        running.kill()
        running.communicate()


def only_run(program):
    # A body may be at work for a moment before the ledger has its run.
    [run] = wait_until(lambda: program.json("runs", "ls"))
    return run


def test_a_run_elsewhere_is_followed_with_its_bar_until_it_is_over(program, held):
    run_id = only_run(program)["run_id"]
    with program.on_terminal("runs", "attach", run_id[:8], columns=90) as terminal:
        terminal.wait_for(lambda t: any("1/3" in line and "Success 1" in line for line in t.lines))
        (program.folder / "go").touch()
        assert terminal.exit_code() == 0
        assert any(line.startswith("hold") and "3/3" in line for line in terminal.lines), (
            terminal.all_lines
        )
        assert any("hold[2] | let go of 2" in line for line in terminal.all_lines)
        assert any("Success 4" in line for line in terminal.lines)
    assert held.wait(30) == 0

    told = json.loads(program("runs", "attach", run_id, "--json", "--no-progress").stdout)
    assert (told["run_id"], told["state"], told["task_runs"]) == (run_id, "Success", {"Success": 4})


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no such signals")
def test_ctrl_c_leaves_off_following_and_the_run_goes_on_until_it_is_cancelled(program, held):
    run_id = only_run(program)["run_id"]
    with program.on_terminal("runs", "attach", run_id) as terminal:
        terminal.wait_for(lambda t: any("1/3" in line for line in t.lines))
        terminal.interrupt()
        assert terminal.exit_code() == 130
        shown = " ".join(terminal.lines)
        assert f"the run goes on. `prefect-dask runs cancel {run_id[:12]}` cancels it" in shown
        assert "Traceback" not in shown
    assert held.poll() is None and only_run(program)["state"] == "Running"

    done = program("runs", "cancel", run_id, "--grace", "20")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{run_id[:12]}: Cancelled")
    assert held.wait(30) == 3
    assert program("runs", "attach", run_id, "--no-progress").returncode == 3
    assert program("runs", "cancel", run_id).returncode == 0, "to ask again is allowed"


def test_a_run_that_is_followed_from_a_pipe_is_told_in_lines_and_by_its_exit_code(program):
    program.write("halves.py", flow_files.MAPPED)
    assert program("run", "halves.py").returncode == 1
    run_id = only_run(program)["run_id"]

    done = program("runs", "attach", run_id)

    assert done.returncode == 1
    assert "halve: 6/6, Success 3, Failed 3" in done.stderr
    assert "halve[1] Failed: 1 is odd" in done.stderr
    assert "Success 4, Failed 3" in done.stdout
    over = program("runs", "cancel", run_id)
    assert over.returncode == 2 and "came to Failed, and nothing of it is left" in over.stderr


def test_to_wait_for_a_cancelled_run_is_left_off_by_ctrl_c(program):
    program.write("stubborn.py", flow_files.HELD.replace(" and not context.cancelled", ""))
    running = program.start("run", "stubborn.py", "--executor", "threads")
    try:
        wait_for_file(program.folder / "holds-1")
        run_id = only_run(program)["run_id"]
        asked = program("runs", "cancel", run_id, "--grace", "60", "--no-wait")
        assert (asked.returncode, asked.stderr) == (0, "asked to end\n")
        waiting = program.start("runs", "cancel", run_id, "--grace", "60")
        try:
            assert waiting.stderr.readline() == "asked to end\n"
            os.killpg(waiting.pid, signal.SIGINT)
            _, told = waiting.communicate(timeout=30)
        finally:
            waiting.kill()
            waiting.wait()
        assert waiting.returncode == 130
        assert told.startswith("left off waiting") and "Traceback" not in told
    finally:
        running.kill()
        running.communicate()


# ---- by hand


def test_what_is_paused_is_approved_and_the_run_goes_on(program):
    program.write("approval.py", flow_files.PAUSED)
    assert program("run", "approval.py").returncode == 4
    run_id = only_run(program)["run_id"]

    done = program("runs", "approve", run_id[:8], "--reason", "looked at it")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("publish is approved; `prefect-dask runs resume ")
    assert program("runs", "resume", run_id, "--no-progress").returncode == 0
    again = program("runs", "approve", run_id, "publish")
    assert again.returncode == 2 and "came to Success" in again.stderr


def test_of_several_that_are_paused_one_has_to_be_named(program):
    program.write(
        "approval.py", flow_files.PAUSED.replace("    publish()", "    publish(); publish()")
    )
    assert program("run", "approval.py").returncode == 4
    run_id = only_run(program)["run_id"]
    done = program("runs", "approve", run_id)
    assert done.returncode == 2
    assert "are Paused: publish-1, publish-2; say which" in done.stderr
    assert program("runs", "approve", run_id, "publish-2").returncode == 0
    assert program("runs", "approve", run_id).returncode == 0
    none = program("runs", "approve", run_id)
    assert none.returncode == 2 and "no task run of" in none.stderr


def test_a_child_is_set_to_success_replayed_and_its_run_removed(program):
    program.write("halves.py", flow_files.MAPPED)
    assert program("run", "halves.py", "--no-progress").returncode == 1
    run_id = only_run(program)["run_id"]

    words = {"COMP_WORDS": f"prefect-dask runs replay {run_id[:8]} ha", "COMP_CWORD": "4"}
    assert "halve-1" in program(_PREFECT_DASK_COMPLETE="bash_complete", **words).stdout

    # Replayed: the same failure, with the user's part of the traceback, and what would have come of another input.
    failed = program("runs", "replay", run_id[:8], "halve[3]")
    assert failed.returncode == 1
    assert failed.stdout == "halve[3]: Failed: 3 is odd\n"
    assert "halves.py" in failed.stderr and "raise ValueError" in failed.stderr
    better = program("runs", "replay", run_id, "halve-1[3]", "--input", "x=4")
    assert (better.returncode, better.stdout) == (0, "halve[3]: Success: 2.0\n")
    assert only_run(program)["state"] == "Failed", "a rehearsal is not recorded"
    debugged = program("runs", "replay", run_id, "halve[2]", "--pdb", stdin="p x\ncontinue\n")
    assert debugged.returncode == 0, debugged.stderr
    assert "(Pdb) 2" in debugged.stdout and "halve[2]: Success: 1.0" in debugged.stdout

    for text, wanted in (("halv[1]", "mean 'halve-1'?"), ("halve", "6 children, counted from 0")):
        wrong = program("runs", "replay", run_id, text)
        assert wrong.returncode == 2 and wanted in wrong.stderr and "Traceback" not in wrong.stderr

    for child in ("1", "3", "5"):
        done = program(
            "runs", "set-success", run_id, f"halve[{child}]", "0.5", "--reason", "rounded"
        )
        assert done.returncode == 0, done.stderr
    assert program("runs", "resume", run_id, "--no-progress").returncode == 0

    program.write("sums.py", flow_files.ADD)
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    with program.on_terminal("runs", "rm", run_id) as terminal:
        terminal.wait_for(lambda t: any("Go on?" in line for line in t.lines))
        terminal.interrupt()
        assert terminal.exit_code() == 130 and "interrupted" in terminal.lines
    unanswered = program("runs", "rm", run_id)
    assert unanswered.returncode == 2 and "nothing was removed" in unanswered.stderr
    assert "1 run, with 8 task runs, their results and" in unanswered.stderr
    assert run_id[:12] in unanswered.stderr
    assert program("runs", "rm", run_id, stdin="y\n").returncode == 0
    assert only_run(program)["flow_name"] == "sums"


def test_a_run_that_goes_on_is_not_removed_and_neither_is_what_is_named_with_it(program, held):
    program.write("sums.py", flow_files.ADD)
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    other, going = (run["run_id"] for run in program.json("runs", "ls"))
    for named in ((other, going), (other, "0000")):
        done = program("runs", "rm", "--yes", *named)
        assert done.returncode == 2, done.stdout
        assert "which is alive" in done.stderr or "holds no flow run" in done.stderr
    assert len(program.json("runs", "ls")) == 2
    assert program("runs", "rm", "--yes", other[:9], other).returncode == 0
    assert only_run(program)["run_id"] == going


def test_a_task_whose_own_name_has_brackets_is_found_by_it():
    def flow_of(*names):
        tasks = tuple(RecordedTask(i, n, f"{n}-1", "", (), n == "t") for i, n in enumerate(names))
        return RecordedFlow("", "f", "", tasks, (), (), datetime.now(timezone.utc))

    assert [t.name for t, _ in [task_run_in(flow_of("t", "t[0]"), "t[0]")]] == ["t[0]"]
    task, child = task_run_in(flow_of("t", "t[0]"), "t-1[0]")
    assert (task.name, child) == ("t", 0)
    assert task_run_in(flow_of("t"), "t[12]")[1] == 12
