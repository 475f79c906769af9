"""What holds for every test: it leaves nothing behind."""

import gc
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.lasting import LASTING
from tests.leftovers import Running, nothing_left

# How long one example takes says more of the machine than of the product.
settings.register_profile("prefect_dask", deadline=None)
settings.load_profile("prefect_dask")


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a changed environment."""
    stash = request.session.stash
    stash.setdefault(LASTING, Running())
    with nothing_left(lambda: stash[LASTING]):
        yield


@pytest.fixture(autouse=True, scope="module")
def leaves_nothing_to_the_collector() -> Iterator[None]:
    """Find what a module's tests did not close there, and not in whichever test comes when it is collected."""
    yield
    gc.collect()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of the test's own, which is not there yet; no writer stays that knows a ledger in it."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    if "prefect_dask.ledger.writer" in sys.modules:
        sys.modules["prefect_dask.ledger.writer"].close_writers()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where bodies leave marks; at the end those that hold are let go."""
    path = tmp_path / "marks"
    path.mkdir()
    yield path
    (path / "go").touch()


def pytest_collection_finish() -> None:
    """Set aside what all tests share: to look through it takes the collector half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: pytest-xdist could not share them out."""
    unsteady = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]+", item.nodeid)]
    if unsteady:
        raise pytest.UsageError(
            "these names of tests hold an address; leave out ids=repr, or give ids that stay: "
            + ", ".join(unsteady)
        )
