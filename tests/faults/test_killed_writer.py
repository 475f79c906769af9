"""A process is killed while it writes a result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the writers are forked, to be many in a short time"
)
def test_a_writer_that_is_killed_fifty_times_never_leaves_half_a_result(tmp_path):
    program = Path(__file__).with_name("writing_until_killed.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), "50"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10, "the writers hardly wrote anything before they were killed"
    left = [path.name for path in tmp_path.iterdir() if path.name != "one.pickle"]
    assert all(name.startswith(".") and name.endswith(".unfinished") for name in left)
