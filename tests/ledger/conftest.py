"""Ledgers of both kinds, each new and its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from prefect_dask.ledger import Ledger
from prefect_dask.ledger.places import Place, place_of
from prefect_dask.ledger.store import Store
from prefect_dask.ledger.writer import close_writers, open_store
from prefect_dask.settings import set_temporary_config
from tests.postgres import PostgresServer


@pytest.fixture(autouse=True)
def journals(tmp_path: Path) -> Iterator[Path]:
    """The folder of journals, and no writer left that knows it."""
    folder = tmp_path / "journals"
    with set_temporary_config({"ledger.journal": str(folder)}):
        yield folder
        close_writers()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Names a ledger that is not there yet."""
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.sqlite")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"ledger_{uuid.uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.url.removesuffix(server.database) + name
        close_writers()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(url: str) -> Place:
    """The place that the URL names."""
    place = place_of(url, Path())
    assert place is not None
    return place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store at that place, closed at the end."""
    store = open_store(place)
    yield store
    store.close()


@pytest.fixture
def ledger(url: str) -> Ledger:
    """What reads that ledger."""
    return Ledger(url)
