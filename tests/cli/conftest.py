"""A program in a folder of its own."""

from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """`prefect-dask` in an empty folder, with nothing recorded."""
    return Program(tmp_path)
