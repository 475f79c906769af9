"""The guard against what tests leave behind sees what it should, and nothing else."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.leftovers import nothing_left


def test_a_thread_that_is_left_is_named():
    let_go = threading.Event()
    forgotten = threading.Thread(target=let_go.wait, name="forgotten")
    with pytest.raises(AssertionError, match="forgotten"), nothing_left(grace_seconds=0.05):
        forgotten.start()
    let_go.set()
    forgotten.join()


def test_a_thread_that_ended_in_time_is_forgiven():
    with nothing_left():
        threading.Thread(target=int).start()


def test_a_process_that_is_left_is_named():
    command = [sys.executable, "-c", "input('forgotten')"]
    with pytest.raises(AssertionError, match="forgotten"), nothing_left(grace_seconds=0.05):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with process:
        process.kill()


def test_a_changed_environment_is_named_and_put_back():
    name = "PREFECT_DASK_LEFT_BY_A_TEST"
    with pytest.raises(AssertionError, match=name), nothing_left():
        os.environ[name] = "1"
    assert name not in os.environ


def test_a_changed_folder_is_named_and_put_back(tmp_path: Path):
    folder = os.getcwd()
    with pytest.raises(AssertionError, match="folder"), nothing_left():
        os.chdir(tmp_path)
    assert os.getcwd() == folder
