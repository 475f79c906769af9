"""ShellTask runs real commands, and nothing of them outlives it."""

import logging
import os
import signal
import sys
import tempfile
import threading

import psutil
import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.signals import FAIL
from prefect_dask.engine.timeouts import BodyStopped, Stoppable
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.tasks import process_group
from prefect_dask.tasks.needs import MissingValue
from prefect_dask.tasks.shell import CommandFailed, ShellTask
from tests.waiting import wait_for_file, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are for a POSIX shell"
)


def sh(command: str | None = None, **settings) -> ShellTask:
    return ShellTask(command, shell="sh", **settings)


def run_alone(task):
    with Flow("shell") as flow:
        done = task()
    return flow.run().result[done]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_last_line_is_the_result():
    assert run_alone(sh("echo one; echo two")).result == "two"


def test_all_lines_are_the_result_where_they_are_wanted():
    assert sh("echo one; echo; echo two", return_all=True).run() == ["one", "", "two"]


def test_a_command_that_prints_nothing_returns_none():
    assert sh("true").run() is None


def test_a_script_of_several_lines_runs_after_its_helper_script():
    task = sh(helper_script="x=6\ndouble() { echo $(( $1 * 2 )); }")
    assert task.run(command="y=$(double $x)\necho $y") == "12"


def test_the_environment_is_that_of_the_process_and_what_is_given(monkeypatch):
    monkeypatch.setenv("FROM_PROCESS", "a")
    task = sh('echo "$FROM_PROCESS $FROM_TASK $FROM_CALL"', env={"FROM_TASK": "b"})
    assert task.run(env={"FROM_CALL": "c"}) == "a b c"


def test_a_command_may_come_from_a_task_above_and_be_mapped():
    @task
    def commands():
        return [f"echo {n}" for n in range(3)]

    with Flow("mapped") as flow:
        said = sh().map(command=commands())
    state = flow.run(executor=LocalDaskExecutor(num_workers=2))
    assert state.result[said].result == ["0", "1", "2"]


def test_another_exit_code_fails_the_task_and_tells_the_last_lines():
    state = run_alone(sh("echo before; echo trouble >&2; exit 3"))
    assert state.is_failed()
    assert "Command failed with exit code 3" in state.message
    assert state.message.endswith("before\ntrouble")
    assert isinstance(state.result, CommandFailed)
    assert state.result.exit_code == 3
    assert state.result.last_lines == ["before", "trouble"]


def test_a_failure_arrives_whole_from_another_process():
    with Flow("shell") as flow:
        failed = sh("echo trouble; exit 3")()
    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=1)).result[failed]
    assert isinstance(state.result, CommandFailed)
    assert (state.result.exit_code, state.result.last_lines) == (3, ["trouble"])


def test_a_signal_that_killed_the_command_is_named():
    with pytest.raises(FAIL, match="SIGKILL"):
        sh("kill -9 $$").run()


def test_a_failing_command_is_tried_again(tmp_path):
    marker = tmp_path / "tried"
    task = sh(f"[ -e {marker} ] || {{ touch {marker}; exit 1; }}", max_retries=1, retry_delay=0)
    assert run_alone(task).is_successful()


def test_only_the_last_lines_of_a_long_output_are_told():
    with pytest.raises(FAIL) as failed:
        sh("seq 1 1000; exit 1", return_all=True).run()
    assert failed.value.state.result.last_lines == [str(n) for n in range(981, 1001)]


def test_a_task_without_a_command_says_so():
    with pytest.raises(MissingValue, match="'ShellTask' has no command"):
        sh().run()


def test_a_shell_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="no-such-shell"):
        ShellTask("true", shell="no-such-shell").run()


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="loud"):
        sh(stream_output="loud")


def test_lines_are_logged_while_the_command_runs(tmp_path):
    go_on, lines = tmp_path / "go on", []

    class Listener(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, record.getMessage()))
            if lines[-1][1] == "first":
                go_on.touch()

    logger = logging.getLogger("prefect_dask.streaming")
    listener = Listener()
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    try:
        command = f"echo first; until [ -e '{go_on}' ]; do sleep 0.01; done; echo second"
        sh(command, name="streaming", stream_output="DEBUG").run()
    finally:
        logger.removeHandler(listener)
        logger.setLevel(logging.NOTSET)
    assert lines == [("DEBUG", "first"), ("DEBUG", "second")]


def test_a_failure_is_logged_where_asked(caplog):
    with pytest.raises(FAIL):
        sh("echo why; exit 2", log_stderr=True).run()
    assert "exit code 2" in caplog.text and "why" in caplog.text


def test_text_that_is_not_utf_8_does_no_harm():
    assert sh(r"printf 'a\377b\n'").run() == "a\ufffdb"


def until_stopped(call: Stoppable) -> None:
    with pytest.raises(BodyStopped):
        call.run()


PARENT_AND_CHILD = "sleep 1000 & echo $! > {file}; wait"


def test_a_timeout_ends_the_command_and_all_that_it_started(tmp_path):
    file = tmp_path / "pid"
    state = run_alone(sh(PARENT_AND_CHILD.format(file=file), timeout=1))
    assert type(state).__name__ == "TimedOut"
    pid = int(wait_for_file(file))
    wait_until(lambda: not is_alive(pid), what="the end of what the command started")


def test_a_timeout_ends_all_also_in_a_process_of_its_own(tmp_path):
    file = tmp_path / "pid"
    command = PARENT_AND_CHILD.format(file=file)
    state = run_alone(sh(command, timeout=1.5, isolation="process"))
    assert type(state).__name__ == "TimedOut"
    pid = int(wait_for_file(file))
    wait_until(lambda: not is_alive(pid), what="the end of what the command started")


def test_a_command_that_will_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process_group, "TERMINATE_SECONDS", 0.3)
    file = tmp_path / "pid"
    command = f"trap '' TERM; echo $$ > {file}; while :; do sleep 0.05; done"
    call = Stoppable(lambda: sh(command).run())
    thread = threading.Thread(target=until_stopped, args=(call,))
    thread.start()
    pid = int(wait_for_file(file))
    call.stop()
    thread.join(10)
    assert not is_alive(pid)


def test_a_command_may_tidy_up_when_it_is_asked_to_end(tmp_path):
    ready, tidy = tmp_path / "ready", tmp_path / "tidy"
    command = (
        f"trap 'echo yes > {tidy}; exit' TERM; echo yes > {ready}; while :; do sleep 0.05; done"
    )
    call = Stoppable(lambda: sh(command).run())
    thread = threading.Thread(target=until_stopped, args=(call,))
    thread.start()
    wait_for_file(ready)
    call.stop()
    thread.join(10)
    assert tidy.exists()


def test_ctrl_c_ends_the_command(tmp_path):
    file = tmp_path / "pid"

    def interrupt():
        wait_for_file(file)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        sh(PARENT_AND_CHILD.format(file=file)).run()
    thread.join()
    pid = int(file.read_text())
    wait_until(lambda: not is_alive(pid), what="the end of what the command started")


@pytest.mark.parametrize("moment_ms", range(0, 15))
def test_a_stop_at_any_moment_leaves_no_process(moment_ms):
    call = Stoppable(lambda: sh("sleep 1000").run())
    thread = threading.Thread(target=until_stopped, args=(call,))
    thread.start()
    threading.Event().wait(moment_ms / 1000)  # a start takes some
    call.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert not [p for p in psutil.Process().children() if "sleep" in " ".join(p.cmdline())]


def test_what_is_left_in_the_background_ends_with_the_task(tmp_path, monkeypatch):
    monkeypatch.setattr(process_group, "BACKGROUND_SECONDS", 0.2)
    file = tmp_path / "pid"
    assert sh(f"sleep 1000 & echo $! > {file}; echo done").run() == "done"
    pid = int(file.read_text())
    wait_until(lambda: not is_alive(pid), what="the end of what was left")


def test_one_that_prints_for_ever_in_the_background_ends_too(monkeypatch):
    monkeypatch.setattr(process_group, "BACKGROUND_SECONDS", 0.2)
    lines = sh("(while :; do echo x; sleep 0.02; done) & echo done", return_all=True).run()
    assert "done" in lines


def test_the_script_is_nowhere_to_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert sh(f"ls -A '{tmp_path}'", return_all=True).run() == []
