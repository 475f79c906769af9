"""Clusters for the tests of faults; one stands for all tests that leave it alive."""

from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster, cluster_of


@pytest.fixture(scope="session")
def standing_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each, for tests that kill neither."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), "left", "right") as cluster:
        yield cluster
