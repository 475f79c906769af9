"""A ledger and a home folder of their own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_dask.ledger.writer import close_writers
from prefect_dask.settings import set_temporary_config


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home folder, and no writer left that knows it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(folder))
    with set_temporary_config({"ledger.journal": str(tmp_path / "journals")}):
        yield folder
        close_writers()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def folder(tmp_path: Path):
    """Where bodies leave marks; at the end they are let go."""
    path = tmp_path / "marks"
    path.mkdir()
    yield path
    (path / "go").touch()
