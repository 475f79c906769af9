"""Clusters for the tests of faults; one stands for all tests that leave it alive."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, cluster_of


@pytest.fixture(scope="session")
def standing_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each, for tests that kill neither."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), "left", "right") as cluster:
        yield cluster


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A folder for marks; at the end what still holds there is let go."""
    folder = tmp_path / "marks"
    folder.mkdir()
    yield folder
    (folder / "go").touch()
