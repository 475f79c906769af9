"""The executors on which the contracts run, and one Dask cluster for all of them."""

from collections.abc import Iterator

import pytest

from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from tests.contracts.places import APART, PLACES, TOGETHER
from tests.waiting import wait_for_file


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


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Two local processes, which serve all tests: to start them takes longer than most flows."""
    executor = LocalDaskExecutor("processes", num_workers=2)
    folder = tmp_path_factory.mktemp("meeting")
    with Flow("start both") as flow:
        meet(folder / "one", folder / "other")
        meet(folder / "other", folder / "one")
    with executor.start():
        assert flow.run(executor=executor).is_successful()
        yield executor


@task
def meet(mine, others):
    """Ends when the other one has begun, so that each is in a process of its own."""
    mine.write_text("here")
    return wait_for_file(others)


@pytest.fixture
def ledger(home):
    """A ledger of the test's own."""
    return Ledger(home / "ledger.sqlite")


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
    elif place in (APART, TOGETHER):
        address = request.getfixturevalue("cluster").scheduler_address
        yield DaskExecutor(address=address, grouping="never" if place == APART else "always")
    elif place == "processes":
        yield request.getfixturevalue("processes")
    else:
        yield LocalDaskExecutor(place, num_workers=2)
