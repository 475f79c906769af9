"""A run on a cluster is lost with the connection over which the cluster knows it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from prefect_dask.engine.errors import ClusterLost
from prefect_dask.engine.executors.dask_connection import Connection


def comm(*, is_closed: bool = False) -> Any:
    return SimpleNamespace(closed=lambda: is_closed)


@pytest.fixture
def client() -> Any:
    return SimpleNamespace(
        status="running",
        scheduler=SimpleNamespace(address="tcp://s:1"),
        scheduler_comm=comm(),
        nthreads=lambda: {"a": 2},
    )


def nobody_answers() -> None:
    raise asyncio.CancelledError


def test_it_is_there_as_long_as_it_is_the_clients(client):
    Connection(client).check()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"status": "connecting"}, "the client is connecting"),
        ({"scheduler_comm": comm()}, "it came back"),
    ],
)
def test_a_client_without_it_has_lost_the_run(client, change, cause):
    connection = Connection(client)
    vars(client).update(change)

    with pytest.raises(ClusterLost, match=f"'tcp://s:1'.*{cause}"):
        connection.check()


def test_one_that_is_closed_is_lost_before_the_client_notices(client):
    client.scheduler_comm = comm(is_closed=True)
    with pytest.raises(ClusterLost, match="the connection is closed"):
        Connection(client).check()


def test_a_scheduler_that_does_not_say_who_is_there_need_not_be_lost(client):
    connection = Connection(client)
    assert connection.threads_by_worker() == {"a": 2}

    client.nthreads = nobody_answers
    assert connection.threads_by_worker() is None

    client.status = "closed"
    with pytest.raises(ClusterLost):
        connection.threads_by_worker()
