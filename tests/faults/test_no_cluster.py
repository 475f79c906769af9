"""A cluster that cannot be reached, or cannot run what we send it: one clear error, before any task runs."""

import platform
import socket
import sys
import time

import pytest

import prefect_dask
from prefect_dask import Flow
from prefect_dask.engine.errors import ClusterNotStarted, ClusterUnreachable, WorkersUnfit
from prefect_dask.engine.executors.dask_checks import Versions, check_versions, versions_on
from prefect_dask.executors import DaskExecutor
from tests.faults.bodies import counted, marks
from tests.faults.cluster import cluster_of, keys_on
from tests.faults.watching import Watch


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_an_address_that_nobody_answers_at_is_named_within_the_timeout(folder):
    with Flow("nowhere") as flow:
        counted(folder, "ran")
    address = f"tcp://127.0.0.1:{closed_port()}"
    executor = DaskExecutor(address, client_kwargs={"timeout": 1})
    watch = Watch()

    began = time.monotonic()
    with pytest.raises(ClusterUnreachable) as caught:
        flow.run(executor=executor, on_state=watch)

    assert time.monotonic() - began < 5
    assert caught.value.address == address
    assert f"no Dask scheduler answers at '{address}' within 1 s" in str(caught.value)
    assert not watch.records
    assert not marks(folder, "ran")


def test_an_address_where_somebody_listens_and_never_answers_is_named_too(folder):
    with Flow("mute") as flow:
        counted(folder, "ran")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        executor = DaskExecutor(address, client_kwargs={"timeout": "1 s"})

        began = time.monotonic()
        with pytest.raises(ClusterUnreachable, match=address):
            flow.run(executor=executor)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["no-such-host.invalid:8786", "nonsense://127.0.0.1:1"])
def test_an_address_that_cannot_be_one_is_named_too(address):
    with Flow("nowhere") as flow:
        counted(".", "ran")

    with pytest.raises(ClusterUnreachable, match=address):
        flow.run(executor=DaskExecutor(address, client_kwargs={"timeout": 1}))


def test_a_cluster_whose_workers_are_told_nonsense_says_what_they_made_of_it(folder):
    with Flow("nonsense") as flow:
        counted(folder, "ran")

    with pytest.raises(ClusterNotStarted) as caught:
        flow.run(executor=DaskExecutor(cluster_kwargs={"n_workers": 1, "theads": 1}))

    assert "unexpected keyword argument 'theads'; look at what DaskExecutor's" in str(caught.value)
    assert "__main__" not in str(caught.value)


def test_an_executor_that_reached_nobody_can_be_tried_again(folder, standing_cluster):
    executor = DaskExecutor(f"tcp://127.0.0.1:{closed_port()}", client_kwargs={"timeout": 1})
    with Flow("second try") as flow:
        ran = counted(folder, "ran")
    with pytest.raises(ClusterUnreachable):
        flow.run(executor=executor)

    executor.address = standing_cluster.address
    assert flow.run(executor=executor).result[ran].result == 1


def test_a_worker_without_this_package_is_named_before_any_task_runs(folder, tmp_path):
    with Flow("bare worker") as flow:
        counted(folder, "ran")
    watch = Watch()

    with cluster_of(tmp_path / "cluster", "fit", is_ready=False) as cluster:
        cluster.add_bare_worker("bare")
        cluster.wait_for_workers()
        with cluster.client() as client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            bare = next(address for address, w in workers.items() if w["name"] == "bare")

            with pytest.raises(WorkersUnfit) as caught:
                flow.run(executor=DaskExecutor(cluster.address), on_state=watch)

            assert caught.value.faults == [f"worker {bare} has no prefect_dask"]
            assert bare in str(caught.value)
            assert not watch.records
            assert not marks(folder, "ran")
            assert not keys_on(client)


def test_workers_of_another_python_are_named_with_both_versions():
    here = platform.python_version()
    major, minor = sys.version_info[:2]
    other = f"{major}.{minor + 1}"
    found = {
        "worker tcp://10.0.0.1:1": Versions(here, "0.1.0"),
        "worker tcp://10.0.0.2:2": Versions(f"{other}.0", "0.1.0"),
        "worker tcp://10.0.0.3:3": Versions(here, None),
        "the scheduler": Versions(f"{other}.3", "0.1.0"),
    }

    with pytest.raises(WorkersUnfit) as caught:
        check_versions(found)

    assert caught.value.faults == [
        f"worker tcp://10.0.0.2:2 has Python {other}, this process {major}.{minor}",
        "worker tcp://10.0.0.3:3 has no prefect_dask",
        f"the scheduler has Python {other}, this process {major}.{minor}",
    ]


def test_workers_of_another_patch_version_of_python_are_fit():
    major, minor, patch = sys.version_info[:3]

    check_versions({"worker tcp://10.0.0.1:1": Versions(f"{major}.{minor}.{patch + 1}", "0.1.0")})


def test_a_real_cluster_tells_what_all_its_parts_run(standing_cluster):
    with standing_cluster.client() as client:
        found = versions_on(client)
        workers = client.scheduler_info(n_workers=-1)["workers"]

    assert set(found) == {"the scheduler", *(f"worker {address}" for address in workers)}
    assert {versions.prefect_dask for versions in found.values()} == {prefect_dask.__version__}
    check_versions(found)
