"""`prefect-dask runs` and `flows`: what was recorded, as tables and JSON, and taking it up again."""

import json
import os
import signal

import pytest

from prefect_dask.cli.runs import show_tasks
from prefect_dask.engine.clock import utc_now
from prefect_dask.ledger.facts import RecordedTask, RecordedTaskRun
from tests.cli import flow_files
from tests.waiting import wait_for_file


@pytest.fixture
def failed(program):
    """The id of a run of which half failed; beside it one of another flow that succeeded."""
    program.write("halves.py", flow_files.MAPPED)
    program.write("sums.py", flow_files.ADD)
    assert program("run", "halves.py", "--no-progress").returncode == 1
    assert program("run", "sums.py", "--param", "x=1").returncode == 0
    [run] = program.json("runs", "ls", "--flow", "halves")
    return run["run_id"]


def test_runs_are_listed_and_chosen(program, failed):
    lines = program("runs", "ls").stdout.splitlines()
    assert lines[0].split() == ["RUN", "FLOW", "STATE", "BEGUN", "TOOK", "MESSAGE"]
    assert [line.split()[1:3] for line in lines[1:]] == [["sums", "Success"], ["halves", "Failed"]]
    assert [run["run_id"] for run in program.json("runs", "ls", "--state", "Failed")] == [failed]
    assert len(program.json("runs", "ls", "--limit", "1")) == 1


def test_a_state_that_does_not_exist_is_told_the_nearest(program, failed):
    done = program("runs", "ls", "--state", "failed")
    assert done.returncode == 2
    assert "there is no state 'failed'; did you mean 'Failed'?" in done.stderr


def test_a_run_is_shown_with_a_line_a_task_and_the_children_that_failed(program, failed):
    shown = program("runs", "show", failed[:6]).stdout

    assert f"Run:        {failed}" in shown
    assert "numbers-1  Success" in shown
    assert "halve-1    Mapped   Success 3, Failed 3" in shown
    assert "halve[5]" in shown and "5 is odd" in shown
    children = program.json("runs", "show", failed, "--task", "halve")["task_runs"]
    assert [child["map_index"] for child in children] == [-1, *range(6)]


def test_a_map_whose_children_are_at_work_is_mapped_also_where_it_had_no_turn_yet(capsys):
    tasks = [RecordedTask(n, name, f"{name}-1", "", (), n == 0) for n, name in enumerate("ab")]
    child = RecordedTaskRun(0, "a", "a-1", 3, 1, "Running", None, utc_now(), "worker")
    show_tasks(tasks, [child])
    _, of_a, of_b = capsys.readouterr().out.splitlines()
    assert of_a.split() == ["a-1", "Mapped", "Running", "1"]
    assert of_b.split() == ["b-1", "Pending"]


def test_a_task_that_the_run_has_not_is_told_the_nearest(program, failed):
    done = program("runs", "show", failed, "--task", "halv")
    assert done.returncode == 2
    assert "did you mean 'halve'?" in done.stderr


def test_log_lines_are_printed_of_all_tasks_or_one_and_from_a_level_on(program, failed):
    assert "halve halve[4] | halving 4" in program("runs", "logs", failed).stdout.replace(
        "prefect_dask.", ""
    )
    errors = program("runs", "logs", failed, "--task", "halve", "--level", "error", "--json")
    lines = [json.loads(line) for line in errors.stdout.splitlines()]
    assert [line["map_index"] for line in lines] == [1, 3, 5]
    assert "ValueError: 1 is odd" in lines[0]["message"] + str(lines[0]["exception"])


def test_log_lines_of_one_child_are_printed_and_a_task_that_is_not_there_is_told(program, failed):
    for which in ("halve[4]", "halve-1[4]"):
        [line] = program("runs", "logs", failed, "--task", which).stdout.splitlines()
        assert line.endswith("halve[4] | halving 4")
    done = program("runs", "logs", failed, "--task", "halv")
    assert done.returncode == 2
    assert "did you mean 'halve" in done.stderr


def test_following_the_log_of_a_run_that_is_over_ends(program, failed):
    assert program("runs", "logs", failed, "--follow").returncode == 0


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no such signals")
def test_the_log_of_a_run_is_followed_until_ctrl_c(program):
    program.write("waits.py", flow_files.WAITING.replace("Path(", "print('it runs'); Path(", 1))
    running = program.start("run", "waits.py")
    try:
        wait_for_file(program.folder / "runs")
        [run] = program.json("runs", "ls")
        following = program.start("runs", "logs", run["run_id"], "--follow")
        try:
            assert "Beginning flow run" in following.stdout.readline()
            os.killpg(following.pid, signal.SIGINT)
            _, told = following.communicate(timeout=30)
        finally:
            following.kill()
            following.wait()
        assert following.returncode == 130
        assert told == "interrupted\n"
    finally:
        running.kill()
        running.communicate()


def test_where_nothing_was_recorded_that_is_said(program):
    done = program("runs", "ls")
    assert done.returncode == 2
    assert "nothing was recorded there" in done.stderr
    assert not program.home.exists()


def test_a_failed_run_is_restarted_and_only_what_failed_runs_again(program, failed):
    program.write("mended", "")

    done = program("runs", "restart", failed[:8], "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["run_id"], told["task_runs"]) == (failed, {"Success": 7})
    attempts = program.json("runs", "show", failed, "--task", "halve")["task_runs"]
    assert [each["state"] for each in attempts] == ["Mapped", *["Success"] * 6]
    again = program("runs", "resume", failed)
    assert again.returncode == 2
    assert "came to Success, and nothing of it is left" in again.stderr


def test_a_flow_file_is_found_again_with_the_modules_beside_it_and_its_errors_are_told(program):
    program.write("flows/helping.py", "def half(x):\n    return x / 2\n")
    program.write("flows/halves.py", "from helping import half\n" + flow_files.MAPPED)
    assert program("run", "flows/halves.py", "--no-progress").returncode == 1
    [run] = program.json("runs", "ls")
    assert program("runs", "replay", run["run_id"], "halve[2]").returncode == 0

    program.write("flows/helping.py", "x = 1\nhalf = x / 0\n")
    for command in (["restart", run["run_id"]], ["replay", run["run_id"], "halve[2]"]):
        done = program("runs", *command)
        assert done.returncode == 2
        assert done.stderr.startswith("flows/helping.py:2: ZeroDivisionError: division by zero\n")
        files = [line for line in done.stderr.splitlines() if line.lstrip().startswith("File")]
        assert len(files) == 2 and all("flows/" in file for file in files)


def test_a_flow_file_of_prefect_1_is_run_and_taken_up_again_as_it_is(program):
    program.write("old.py", flow_files.OLD)
    assert program("run", "old.py", "--param", "by=5").returncode == 1
    [run] = program.json("runs", "ls")

    program.write("mended", "")
    done = program("runs", "restart", run["run_id"], "--executor", "processes")
    assert done.returncode == 0, done.stderr
    assert program("runs", "replay", run["run_id"], "scale[1]").stdout == "scale[1]: Success: 10\n"


def test_what_of_prefect_1_is_not_here_is_told_with_file_and_line(program):
    program.write("old.py", flow_files.OLD + "flow.register('project')\n")
    done = program("run", "old.py")
    assert done.returncode == 2
    told = "prefect.Flow.register is not in prefect_dask: flows of prefect_dask run in this process"
    assert done.stderr.startswith("old.py:16: ") and told in done.stderr.splitlines()[0]


def test_flows_are_listed_and_shown(program, failed):
    lines = program("flows", "ls").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["sums", "1", "1"], ["halves", "1", "1"]]
    shown = program("flows", "show", "halves").stdout
    assert "halve-1    mapped" in shown and "x=numbers-1[…]" in shown
    assert [task["slug"] for task in program.json("flows", "show", "sums")["tasks"]] == [
        *("x", "y", "add-1")
    ]


def test_flows_are_drawn_from_the_ledger_with_a_run_and_from_a_file(program, failed):
    def drawn(*arguments: str) -> str:
        done = program("flows", "visualize", *arguments)
        assert done.returncode == 0, done.stderr
        return (program.folder / done.stdout.strip()).read_text("utf-8")

    assert "Failed" in drawn("halves", "-o", "run.dot")
    assert "Failed" not in drawn("halves.py", "-o", "plain.dot")
    assert "Failed" in drawn("halves.py", "--run", failed, "-o", "both.dot")
    assert drawn("sums").startswith("<?xml") and (program.folder / "sums.svg").is_file()
    wrong = program("flows", "visualize", "halvs")
    assert wrong.returncode == 2
    assert "and no flow of that name ran; did you mean 'halves'?" in wrong.stderr


@pytest.mark.parametrize("file", ["nowhere/halves.svg", "folder.svg", "halves.py/halves.svg"])
def test_a_picture_that_cannot_be_written_says_so(program, failed, file):
    (program.folder / "folder.svg").mkdir()
    done = program("flows", "visualize", "halves", "-o", file)
    assert done.returncode == 2
    [told] = done.stderr.splitlines()
    assert told.startswith("Error: ") and file in told


def test_an_unknown_flow_is_told_the_nearest(program, failed):
    done = program("flows", "show", "halvs")
    assert done.returncode == 2
    assert "no flow 'halvs' ran; did you mean 'halves'?" in done.stderr


# ---- where it is printed


def test_a_pipe_gets_whole_lines_without_colours(program, failed):
    table = program("runs", "ls").stdout
    assert "\x1b" not in table
    assert "…" not in table
    [run] = program.json("runs", "ls", "--state", "Failed")
    assert any(line.endswith(run["message"]) for line in table.splitlines())


def test_a_terminal_gets_colours_unless_its_user_minds(program, failed):
    with program.on_terminal("runs", "ls") as terminal:
        assert terminal.exit_code() == 0
        assert "\x1b[38;5;196mFailed" in terminal.written
    with program.on_terminal("runs", "ls", NO_COLOR="1") as terminal:
        assert terminal.exit_code() == 0
        assert "\x1b[3" not in terminal.written and "Failed" in terminal.written


def test_a_narrow_terminal_gets_no_line_that_is_too_long(program, failed):
    for columns in (70, 30):
        with program.on_terminal("runs", "ls", columns=columns, NO_COLOR="1") as terminal:
            assert terminal.exit_code() == 0
            lines = [line.rstrip("\r") for line in terminal.written.split("\n")]
            assert max(map(len, lines)) <= columns
            assert any(failed[:12] in line for line in lines)
    assert all(len(line) <= 60 for line in program("runs", "ls", COLUMNS="60").stdout.splitlines())


def test_a_reader_that_goes_away_is_no_error(program, failed):
    def code_when_nobody_reads(*arguments: str) -> int:
        with program.start(*arguments) as writing:
            writing.stdout.close()
            told = writing.stderr.read()
        assert "Traceback" not in told and "BrokenPipe" not in told
        return writing.returncode

    # As shells say it of a program that writes to nobody; of a run its own.
    assert code_when_nobody_reads("runs", "show", failed, "--json") == 141
    assert code_when_nobody_reads("runs", "logs", failed) == 141
    assert code_when_nobody_reads("run", "sums.py", "--param", "x=1") == 0
