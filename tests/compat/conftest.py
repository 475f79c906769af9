"""Runs Python in a process of its own, where old names can be served and forgotten."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs `python ARGUMENTS…` in an empty folder, with an empty home of ours."""
    home = tmp_path / "home"
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=50,
            cwd=folder,
            env={**os.environ, "PREFECT_HOME": str(home), "PYTHONIOENCODING": "utf-8"},
        )

    return run
