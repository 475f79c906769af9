"""The ways to come to a Dask cluster, and that nothing grows on one that stays."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import distributed
import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.errors import ClientBusy, ReportNotPossible, ResultLost, ResultNotKept
from prefect_dask.executors import DaskExecutor
from tests.faults.bodies import add, counted, divide, holding, marks, note, number, total
from tests.faults.cluster import cluster_of, keys_on, wait_until_empty
from tests.faults.watching import Watch
from tests.waiting import wait_until


def sum_flow(count: int = 3):
    """number(0) … number(n-1) -> total"""
    with Flow("sum") as flow:
        numbers = [number(i) for i in range(count)]
        result = total(numbers)
    return flow, numbers, result


@pytest.fixture
def client(standing_cluster):
    """The standing cluster's client, as the current one."""
    with standing_cluster.client(set_as_default=True) as client:
        yield client
        wait_until(lambda: not keys_on(client), what="no keys left")


# ---- ways to a cluster


def test_a_cluster_may_be_named_by_the_path_of_its_class():
    flow, _, result = sum_flow()
    executor = DaskExecutor(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={"n_workers": 1, "processes": False, "dashboard_address": "127.0.0.1:0"},
    )

    assert flow.run(executor=executor).result[result].result == 3


def test_a_cluster_may_be_made_by_a_function():
    made = []

    def make(workers: int):
        made.append(workers)
        return distributed.LocalCluster(
            processes=False, n_workers=workers, dashboard_address="127.0.0.1:0"
        )

    flow, _, result = sum_flow()
    executor = DaskExecutor(cluster_class=make, cluster_kwargs={"workers": 1})

    assert flow.run(executor=executor).result[result].result == 3
    assert made == [1]


def test_a_cluster_class_that_is_not_there_is_told_before_the_run():
    flow, _, _ = sum_flow()

    with pytest.raises(ValueError, match=r"cluster_class 'distributed\.NoCluster'"):
        flow.run(executor=DaskExecutor(cluster_class="distributed.NoCluster"))


def test_an_adaptive_cluster_grows_from_nothing_for_a_run():
    flow, _, result = sum_flow()
    executor = DaskExecutor(
        cluster_kwargs={"n_workers": 0, "processes": False},
        adapt_kwargs={"minimum": 0, "maximum": 2, "interval": "50 ms"},
    )

    assert flow.run(executor=executor).result[result].result == 3


def test_a_performance_report_is_written_where_it_was_asked_for(tmp_path):
    report = tmp_path / "report.html"
    flow, _, result = sum_flow()
    executor = DaskExecutor(
        cluster_kwargs={"n_workers": 1, "processes": False}, performance_report_path=str(report)
    )

    assert flow.run(executor=executor).is_successful()
    assert "<html" in report.read_text()[:500].lower()


def test_a_performance_report_that_cannot_be_made_is_told_before_the_run(standing_cluster, folder):
    if find_spec("bokeh"):
        pytest.skip("the scheduler of this test has bokeh")
    with Flow("no report") as flow:
        counted(folder, "ran")
    executor = DaskExecutor(standing_cluster.address, performance_report_path="report.html")

    with pytest.raises(ReportNotPossible, match=r"'report\.html' cannot be made"):
        flow.run(executor=executor)

    assert not marks(folder, "ran")


def test_one_started_executor_serves_several_runs():
    flow, _, result = sum_flow()
    executor = DaskExecutor(cluster_kwargs={"n_workers": 1, "processes": False})

    with executor.start():
        before = executor.client.id
        states = [flow.run(executor=executor) for _ in range(3)]
        assert executor.client.id == before
        future = executor.submit(sum, [1, 2])
        assert executor.wait(future) == 3
        del future

    assert [state.result[result].result for state in states] == [3, 3, 3]


def test_two_flows_run_at_once_on_one_executor(folder, standing_cluster):
    """Each holds until the other has begun, so one after the other would never end."""

    @task
    def meet(folder: Path, me: str, other: str) -> str:
        note(folder, me)
        wait_until(lambda: marks(folder, other))
        return me

    def run(me: str, other: str):
        with Flow(me) as flow:
            met = meet(folder, me, other)
        watch = Watch()
        return flow.run(executor=executor, on_state=watch).result[met].result, watch

    executor = DaskExecutor(standing_cluster.address)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(run, "one", "two")
        two = pool.submit(run, "two", "one")
        (first, its_watch), (second, _) = one.result(), two.result()

    assert (first, second) == ("one", "two")
    assert its_watch.states("meet") == ["Running", "Success"]


def test_a_flow_runs_inside_a_running_event_loop(standing_cluster):
    flow, _, result = sum_flow()

    async def cell():
        return flow.run(executor=DaskExecutor(standing_cluster.address))

    assert asyncio.run(cell()).result[result].result == 3


def test_a_temporary_cluster_comes_up_inside_a_running_event_loop():
    flow, _, result = sum_flow()
    executor = DaskExecutor(cluster_kwargs={"n_workers": 1, "processes": False})

    async def cell():
        return flow.run(executor=executor)

    assert asyncio.run(cell()).result[result].result == 3


def test_an_asynchronous_client_is_used_from_a_thread_and_never_blocked(standing_cluster):
    flow, _, result = sum_flow()

    async def cell():
        async with distributed.Client(standing_cluster.address, asynchronous=True):
            with pytest.raises(ClientBusy, match="in a thread"):
                flow.run(executor=DaskExecutor())
            state = await asyncio.to_thread(flow.run, executor=DaskExecutor())
            return await asyncio.to_thread(lambda: state.result[result].result)

    assert asyncio.run(cell()) == 3
    wait_until_empty(standing_cluster)


# ---- worker resources


@task(tags=["dask-resource:GPU=1"])
def on_gpu(x: int) -> tuple[int, str]:
    return x + 1, distributed.get_worker().name


@task
def where(x: int) -> tuple[int, str]:
    return x + 1, distributed.get_worker().name


def test_a_task_that_asks_for_a_resource_runs_where_it_is(tmp_path):
    """on_gpu needs a GPU; where -> on_gpu -> where goes there and on."""
    with cluster_of(tmp_path / "cluster", "plain", is_ready=False) as cluster:
        cluster.add_worker("gpu", "--resources", "GPU=1")
        cluster.wait_for_workers()
        with Flow("chain") as flow:
            before = where(0)
            trained = on_gpu(before[0])
            after = where(trained[0])
            several = [on_gpu(i) for i in range(6)]
        state = flow.run(executor=DaskExecutor(cluster.address))

    tasks = state.result
    assert state.is_successful()
    assert tasks[trained].result == (2, "gpu")
    assert tasks[after].result[0] == 3
    assert {tasks[one].result[1] for one in several} == {"gpu"}


# ---- results that stay on the cluster


class Opened:
    """Leaves a mark in each process in which it is unpickled."""

    count = 0

    def __reduce__(self):
        return _opened, ()


def _opened() -> Opened:
    Opened.count += 1
    return Opened()


@task
def make_opened() -> Opened:
    return Opened()


@task
def take_opened(x: Opened) -> str:
    return type(x).__name__


def test_results_come_from_an_ambient_client_only_when_they_are_read(client):
    with Flow("lazy") as flow:
        made = make_opened()
        taken = take_opened(made)
    Opened.count = 0

    state = flow.run(executor=DaskExecutor())

    assert state.is_successful()
    assert Opened.count == 0
    assert len(keys_on(client)) == 2
    assert state.result[taken].result == "Opened"
    assert Opened.count == 0
    assert isinstance(state.result[made].result, Opened)
    assert Opened.count == 1
    assert isinstance(state.result[made].result, Opened)
    assert Opened.count == 1
    del state


def test_a_result_that_is_read_after_its_cluster_is_gone_is_lost(tmp_path):
    flow, numbers, result = sum_flow()
    with cluster_of(tmp_path / "cluster", "one") as cluster, cluster.client(set_as_default=True):
        state = flow.run(executor=DaskExecutor())
        assert state.result[result].result == 3

    assert state.result[result].result == 3
    with pytest.raises(ResultLost, match="'number'"):
        state.result[numbers[1]].result


def test_results_of_a_temporary_connection_are_there_after_it(standing_cluster):
    flow, numbers, result = sum_flow(40)

    state = flow.run(executor=DaskExecutor(standing_cluster.address))

    assert state.result[result].result == sum(range(40))
    assert [state.result[one].result for one in numbers] == list(range(40))
    wait_until_empty(standing_cluster)


class Unopenable:
    """Can leave a process, and can enter none."""

    def __reduce__(self):
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("does not open")


@task
def make_unopenable() -> Unopenable:
    return Unopenable()


@pytest.mark.parametrize("is_ambient", [False, True], ids=["by address", "ambient client"])
def test_a_result_that_does_not_open_here_is_lost_alone(standing_cluster, is_ambient):
    with Flow("one is bad") as flow:
        bad = make_unopenable()
        good = [number(i) for i in range(5)]

    with standing_cluster.client(set_as_default=is_ambient):
        executor = DaskExecutor() if is_ambient else DaskExecutor(standing_cluster.address)
        state = flow.run(executor=executor)

        assert state.is_successful()
        with pytest.raises(ResultLost, match="does not open"):
            state.result[bad].result
        assert [state.result[one].result for one in good] == list(range(5))
        del state


def test_only_what_is_to_be_returned_is_kept_while_the_run_goes_on(folder, client):
    with Flow("returns one") as flow:
        first = number(1)
        second = add(first)
        third = add(second)
        held = holding(folder, upstream_tasks=[third])
        last = add(third, upstream_tasks=[held])
    kept: list[str] = []

    def look(record):
        wait_until(lambda: len(in_memory(client)) == 1)
        kept.extend(in_memory(client))
        (folder / "go").touch()

    state = flow.run(
        executor=DaskExecutor(), return_tasks=[last], on_state=Watch("holding", "Running", look)
    )

    assert state.is_successful()
    assert len(kept) == 1  # with third, which last needs
    with pytest.raises(ResultNotKept, match="'number'"):
        state.result[first].result
    wait_until(lambda: len(in_memory(client)) == 1)
    assert state.result[last].result == 4
    del state


def test_why_a_task_failed_is_kept_though_nobody_asked_for_it(client):
    with Flow("fails") as flow:
        broken = divide(1, 0)
        last = number(1)

    state = flow.run(executor=DaskExecutor(), return_tasks=[last])

    assert isinstance(state.result[broken].result, ZeroDivisionError)
    del state


def in_memory(client: distributed.Client) -> list[str]:
    """The keys of all values that lie on the cluster's workers."""
    return [key for keys in client.has_what().values() for key in map(str, keys)]


# ---- no growth


def traces_on(client: distributed.Client) -> dict:
    """What a scheduler remembers that could be ours."""

    def look(dask_scheduler):
        topics = dask_scheduler._broker._topics
        return {
            "keys": len(dask_scheduler.tasks),
            "worker plugins": [n for n in dask_scheduler.worker_plugins if "prefect" in n],
            "plugins": [n for n in dask_scheduler.plugins if "prefect" in n],
            "events": sum(len(t.events) for n, t in topics.items() if "prefect" in n),
            "topics": len([n for n in topics if "prefect" in n]),
            "listeners": sum(len(t.subscribers) for n, t in topics.items() if "prefect" in n),
        }

    found: dict = client.run_on_scheduler(look)
    return found


def hosted_on(client: distributed.Client) -> list[int]:
    """How many runs each worker hosts."""

    def count():
        from prefect_dask.engine import node

        return len(node._hosted)

    return list(client.run(count).values())


@pytest.mark.parametrize("is_ambient", [False, True], ids=["by address", "ambient client"])
def test_twenty_runs_leave_nothing_on_a_cluster_that_stays(standing_cluster, is_ambient):
    flow, _, result = sum_flow()
    with standing_cluster.client(set_as_default=is_ambient) as client:
        executor = DaskExecutor() if is_ambient else DaskExecutor(standing_cluster.address)
        flow.run(executor=executor)
        wait_until(lambda: not keys_on(client) and not any(hosted_on(client)))
        before = traces_on(client)
        threads = threading.active_count()

        for _ in range(20):
            assert flow.run(executor=executor).result[result].result == 3

        wait_until(lambda: traces_on(client) == before, what=f"{traces_on(client)} == {before}")
        assert before["keys"] == before["events"] == 0
        assert not before["worker plugins"]
        wait_until(lambda: not any(hosted_on(client)))
        assert threading.active_count() <= threads
