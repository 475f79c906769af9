"""A run that is drawn: on a real terminal, into a pipe, and what else writes there meanwhile."""

import io
import logging
import subprocess
import sys
import threading

import pytest

from prefect_dask import Flow, task
from prefect_dask.progress.drawing import Drawn
from tests.cli.program import Program

MANY = """
import logging
import sys
import time
from pathlib import Path
import click
from prefect_dask import Flow, context, task

@task
def numbers():
    return list(range(60))

@task
def work(x):
    if x == 30:
        context.logger.info("thirty is reached")
        print("printed by a task")
        click.echo("echoed by a task", err=True)
        logging.getLogger("elsewhere").warning("said by another logger")
        while not Path("seen").exists():
            time.sleep(0.01)
    if x == 20:
        raise ValueError("twenty is wrong")
    return x

@task
def last(xs):
    return len(xs)

with Flow("many") as flow:
    last(work.map(numbers()))
"""


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def the_line(terminal, begins):
    return next((line for line in terminal.lines if line.startswith(begins)), "")


def test_on_a_terminal_each_task_is_a_line_and_what_is_logged_stands_above(program):
    program.write("many.py", "import logging; logging.basicConfig(format='%(message)s')\n" + MANY)

    with program.on_terminal("run", "many.py", columns=110) as terminal:
        terminal.wait_for(
            lambda t: (
                "30/60" in the_line(t, "work ") and "thirty is reached" in "\n".join(t.all_lines)
            )
        )
        line = the_line(terminal, "work ")
        assert "━" in line and "Failed 1" in line and "Success 29" in line and "Running 1" in line
        assert the_line(terminal, "numbers").endswith("Success")
        assert "task runs  1 failed" in the_line(terminal, "many  Running")
        assert "\x1b[38;5;" in terminal.written
        bars = terminal.lines.index(line)
        printed = ("printed by a task", "echoed by a task")
        for text in ("twenty is wrong", "thirty is reached", *printed, "another logger"):
            at = [n for n, each in enumerate(terminal.lines) if text in each]
            assert at and max(at) < bars, text
        program.write("seen", "")
        assert terminal.exit_code() == 1
        assert "60/60" in the_line(terminal, "work ")
        everything = "\n".join(terminal.all_lines)
        assert everything.count("work     ━") == 1
        assert "work[20] Failed: twenty is wrong" in everything
        # The cursor is given back.
        assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")


def test_a_narrow_terminal_without_colours(program):
    program.write("many.py", MANY)
    program.write("seen", "")
    with program.on_terminal("run", "many.py", columns=40, NO_COLOR="1") as terminal:
        assert terminal.exit_code() == 1
        assert "60/60" in the_line(terminal, "work ")
        assert "\x1b[38;" not in terminal.written


def test_ctrl_c_on_a_terminal_ends_the_run_and_the_drawing(program):
    program.write("many.py", MANY)
    with program.on_terminal("run", "many.py") as terminal:
        terminal.wait_for(lambda t: "30/60" in the_line(t, "work "))
        terminal.interrupt()
        assert terminal.exit_code() == 3
        everything = "\n".join(terminal.all_lines)
        assert "Cancelled" in everything and "Traceback" not in everything
        assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")


TWO_AT_ONCE = """
import logging
import sys
import threading
from prefect_dask import Flow, task

both = threading.Barrier(2)

@task
def meet(x):
    handler = logging.StreamHandler()  # keeps what standard error is now
    both.wait(20)
    return handler

def run(name):
    with Flow(name) as flow:
        met = meet.map([1])
    state = flow.run(progress=True, ledger="none", return_tasks=[met])
    kept[name] = state.result[met].result[0]

kept = {}
others = [threading.Thread(target=run, args=(f"flow {n}",)) for n in (1, 2)]
real = sys.stderr
for each in others:
    each.start()
for each in others:
    each.join()
assert sys.stderr is real
for name, handler in kept.items():
    handler.emit(logging.makeLogRecord({"msg": f"said after {name}"}))
"""


def test_two_runs_at_once_share_a_terminal_and_leave_it_as_it_was(program):
    program.write("two.py", TWO_AT_ONCE)
    with program.on_terminal("two.py", as_script=True) as terminal:
        assert terminal.exit_code() == 0, terminal.lines
        everything = "\n".join(terminal.all_lines)
        for name in ("flow 1", "flow 2"):
            assert f"said after {name}" in everything
        assert everything.count("meet: 1/1") == 1
        assert everything.count("meet     ━") + everything.count("meet  ━") == 1


def test_without_rich_a_terminal_gets_lines(program):
    program.write("many.py", "import sys\n" + MANY)
    program.write("seen", "")
    program.write("rich/__init__.py", "raise ImportError('not here')")
    program.environment["PYTHONPATH"] = str(program.folder)
    with program.on_terminal("run", "many.py") as terminal:
        assert terminal.exit_code() == 1
        assert "work: 60/60, Success 59, Failed 1" in "\n".join(terminal.all_lines)
        assert "\x1b[?25l" not in terminal.written


def test_into_a_pipe_go_plain_lines(program):
    program.write("many.py", MANY)
    program.write("seen", "")
    done = program("run", "many.py")
    assert "work[20] Failed: twenty is wrong" in done.stderr
    assert "work: 60/60, Success 59, Failed 1" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "60/60" not in program("run", "many.py", "--no-progress").stderr


def test_flow_run_draws_where_it_is_asked_to(tmp_path):
    code = (
        MANY.replace("while not", "while False and not")
        + "\nflow.run(progress=True, ledger='none')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert "work: 60/60, Success 59, Failed 1" in done.stderr
    assert "last:" in done.stderr


class Broken(io.StringIO):
    """A stream that cannot be written."""

    def write(self, text):
        raise OSError("no space left")


def test_a_stream_that_cannot_be_written_does_not_end_the_run():
    @task
    def one():
        return 1

    with Flow("one") as flow:
        one()
    with Drawn(Broken()).drawing() as watch:
        state = flow.run(progress=watch, ledger="none")
    assert state.is_successful()
    assert not [t for t in threading.enumerate() if t.name == "prefect-dask-progress"]


def test_the_handlers_of_others_are_as_they_were_after_a_run(tmp_path):
    handler = logging.StreamHandler(sys.stderr)
    stream = handler.stream
    logging.getLogger().addHandler(handler)
    try:
        with Drawn(io.StringIO()).drawing():
            pass
        assert handler.stream is stream
    finally:
        logging.getLogger().removeHandler(handler)
