"""A peer's process: what it is cut off from, and that nothing of it is left."""

import os
import sys

import psutil
import pytest

from benchmarks.peers.alone import cut_off, reason, run_alone


def run(code: str, folder, timeout_seconds: float = 30) -> str:
    command = [sys.executable, "-c", code]
    return run_alone(command, dict(os.environ), folder, timeout_seconds=timeout_seconds)


def test_a_program_that_succeeds_needs_no_reason(tmp_path):
    assert run("print('done')", tmp_path) == ""


def test_a_program_that_fails_says_why(tmp_path):
    assert run("raise ValueError('no such place')", tmp_path) == "ValueError: no such place"


def test_a_program_that_takes_too_long_is_ended(tmp_path):
    endless = "import threading; threading.Event().wait()"
    assert run(endless, tmp_path, timeout_seconds=0.1) == "not over within 0.1 s"


def test_what_a_program_leaves_behind_in_a_session_of_its_own_is_ended(tmp_path):
    leaves_one = (
        "import subprocess, sys\n"
        "child = [sys.executable, '-c', 'import threading; threading.Event().wait()']\n"
        "print(subprocess.Popen(child, start_new_session=True).pid, file=open('pid', 'w'))\n"
    )
    assert run(leaves_one, tmp_path) == ""
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_program_sees_loopback_alone(tmp_path):
    if not cut_off():
        pytest.skip("this system lets no program have a network of its own")
    assert run("import socket; assert socket.if_nameindex() == [(1, 'lo')]", tmp_path) == ""


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Traceback\n  File\npkg.mod.BadError: no\nbye\n", "pkg.mod.BadError: no"),
        ("KeyError: 1\nValueError: 2\nsubprocess.CalledProcessError: exit 1\n", "ValueError: 2"),
        ("WARNING: old\nERROR: No matching distribution\n", "ERROR: No matching distribution"),
        ("nothing of note\n", "nothing of note"),
        ("", "ended with 3"),
    ],
)
def test_the_reason_is_the_last_line_that_names_an_error(output, said):
    assert reason(output, 3) == said
