"""The executors on which the contracts run, and one Dask cluster for all of them."""

from collections.abc import Iterator

import pytest

from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from tests.contracts.places import PLACES


@pytest.fixture(scope="session")
def cluster():
    """A real cluster of two worker processes, started when the first test asks for it.

    Left to silence its logs, it would silence pytest's handlers as well, for all tests after it.
    """
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=False,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def client(cluster):
    """A client of that cluster, current only where a test makes it so."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(params=PLACES)
def place(request) -> str:
    """The name of each executor in turn."""
    return request.param


@pytest.fixture
def executor(place, request) -> Iterator[object]:
    """Each executor in turn, ready for `flow.run`."""
    if place == "local":
        yield LocalExecutor()
    elif place == "a Dask address":
        yield DaskExecutor(address=request.getfixturevalue("cluster").scheduler_address)
    elif place == "an ambient client":
        with request.getfixturevalue("client").as_current():
            yield DaskExecutor()
    else:
        yield LocalDaskExecutor(place, num_workers=2)
