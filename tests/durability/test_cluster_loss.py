"""The Dask scheduler dies under a recorded run: it goes on on another cluster, with what is unfinished."""

import signal
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import distributed
import pytest

from prefect_dask import Flow, cancel, restart, unmapped
from prefect_dask.engine import clock
from prefect_dask.engine.errors import ClusterLost
from prefect_dask.engine.state import Cancelled, Mapped, Success
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.settings import set_temporary_config
from tests.chaos.proxy import Proxy
from tests.durability.flows_of_deaths import double, hold, total
from tests.faults.cluster import Cluster, cluster_of, kill_scheduler_of, temporary_cluster
from tests.outside_ledger import check_executions, counts_in
from tests.waiting import wait_until


def flow_that_holds(notes: Path) -> Flow:
    """A map whose children are finished, another one over these that waits for the file `go`, and the sum."""
    with Flow("loses its cluster") as flow:
        doubled = double.map(unmapped(notes), list(range(20)))
        total(notes, [hold(notes, total(notes, doubled)), total(notes, doubled)])
    return flow


class WhenHolding:
    """A listener that does something, once, when `hold` runs."""

    def __init__(self, then) -> None:
        self.then = then

    def __call__(self, records) -> None:
        for record in records:
            if record.task_name == "hold" and record.state == "Running" and self.then:
                self.then, then = None, self.then
                then()


def check_went_on(state, notes: Path, place: Path) -> None:
    assert state.is_successful(), state.message
    ledger, run_id = last_run(place)
    check_executions(notes, ledger, run_id)
    counts = counts_in(notes)
    assert counts.pop(("hold-1", -1)) == 2, "it was running"
    assert set(counts.values()) == {1}
    [lost] = [s for s in ledger.states(run_id) if s.task_name == "hold" and s.state == "Pending"]
    assert str(lost.message).startswith("attempt lost: the Dask scheduler at")


def shown_on_dashboard(cluster: Cluster) -> list[str]:
    """The states of the flow runs that the scheduler knows."""

    def look(dask_scheduler) -> list[str]:
        plugin = dask_scheduler.plugins.get("prefect_dask-flow-runs")
        return [] if plugin is None else [run.report.state for run in plugin.look()]

    with cluster.client() as client:
        states: list[str] = client.run_on_scheduler(look)
    return states


def last_run(place: Path) -> tuple[Ledger, str]:
    ledger = Ledger(place)
    return ledger, ledger.flow_runs()[0].run_id


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "closed"])
def test_a_run_goes_on_when_the_scheduler_comes_back_at_its_address(place, tmp_path, how):
    notes = tmp_path / "notes"
    flow = flow_that_holds(notes)
    looking: list[Future[None]] = []
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster, ThreadPoolExecutor(1) as pool:
        executor = DaskExecutor(cluster.address)

        def die_and_come_back() -> None:
            # The executor may give it up, and look for another one, at any moment from then on.
            client = executor.client
            cluster.scheduler.send_signal(how)
            wait_until(lambda: client.status != "running")
            # One that closes in good order waits for others to do so.
            cluster.close()
            cluster.start_again("three", "four")
            looking.append(pool.submit(let_go_when_shown))

        def let_go_when_shown() -> None:
            try:
                wait_until(lambda: shown_on_dashboard(cluster) == ["Running"])
            finally:
                notes.with_name("go").touch()

        state = flow.run(executor=executor, ledger=place, on_state=WhenHolding(die_and_come_back))
        looking[0].result(50)
        check_went_on(state, notes, place)
        assert shown_on_dashboard(cluster) == ["Success"]


def test_a_run_goes_on_on_a_new_cluster_where_it_had_made_the_lost_one(place, tmp_path):
    notes = tmp_path / "notes"
    flow = flow_that_holds(notes)
    executor = DaskExecutor(**temporary_cluster(2))

    def kill_scheduler() -> None:
        kill_scheduler_of(executor)
        notes.with_name("go").touch()

    state = flow.run(executor=executor, ledger=place, on_state=WhenHolding(kill_scheduler))
    check_went_on(state, notes, place)


def test_a_cluster_that_is_lost_too_often_ends_the_run(place, tmp_path):
    notes = tmp_path / "notes"
    flow = flow_that_holds(notes)
    with (
        set_temporary_config({"engine.fault_tolerance.lost_clusters": 0}),
        cluster_of(tmp_path / "cluster", "one") as cluster,
    ):
        state = flow.run(
            executor=DaskExecutor(cluster.address),
            ledger=place,
            on_state=WhenHolding(cluster.scheduler.kill),
        )
    assert state.is_failed()
    assert type(state.context["error"]) is ClusterLost
    assert Ledger(place).flow_runs()[0].state == "Failed"


@pytest.mark.parametrize("whose", ["ours", "the user's"])
def test_after_its_connection_was_cut_a_run_hears_all_that_happens(place, tmp_path, whose):
    notes = tmp_path / "notes"
    flow = flow_that_holds(notes)
    with (
        cluster_of(tmp_path / "cluster", "one", "two") as cluster,
        closing(Proxy(cluster.address)) as proxy,
        distributed.Client(proxy.address, set_as_default=whose != "ours") as client,
    ):
        executor = DaskExecutor(proxy.address if whose == "ours" else None)

        def cut() -> None:
            # The run may be over, or its executor have another client, before this one is back.
            lost = executor.client
            before = lost.scheduler_comm
            proxy.abort()
            wait_until(lambda: lost.status == "closed" or lost.scheduler_comm not in (None, before))
            notes.with_name("go").touch()

        state = flow.run(executor=executor, ledger=place, on_state=WhenHolding(cut))
        if whose == "the user's":
            assert type(state.context["error"]) is ClusterLost
            wait_until(lambda: client.status == "running")
            _, run_id = last_run(place)
            state = restart(run_id, flow, executor=executor, ledger=place)
        assert state.is_successful(), state.message
        check_executions(notes, *last_run(place))
    ledger, run_id = last_run(place)
    stored = {each.number for each in ledger.results(run_id)}
    ended = [s for s in ledger.states(run_id) if s.state == "Success" and s.task >= 0]
    # What a record tells that a future does not.
    assert {s.number for s in ended if s.task_name in ("hold", "total")} <= stored
    assert all(s.worker.startswith("tcp://") for s in ended if s.task_name in ("hold", "total"))


@pytest.mark.parametrize("moment", ["while it is looked for another one", "at the same moment"])
def test_a_run_whose_cluster_is_lost_can_be_cancelled(place, tmp_path, moment, caplog):
    """Nobody waits for a cluster with a run that is not to go on; and where none is, nothing of it is at work."""
    notes = tmp_path / "notes"
    flow = flow_that_holds(notes)
    asked = []

    def ask() -> None:
        cancel(last_run(place)[1], ledger=place, grace_seconds=1, wait=False)
        asked.append(clock.monotonic())

    with cluster_of(tmp_path / "cluster", "one") as cluster:

        def kill_scheduler() -> None:
            cluster.scheduler.kill()
            if moment == "at the same moment":
                ask()

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(
                flow.run,
                executor=DaskExecutor(cluster.address),
                ledger=place,
                on_state=WhenHolding(kill_scheduler),
            )
            if moment != "at the same moment":
                wait_until(lambda: "it goes on when there is one" in caplog.text)
                ask()
            state = running.result(60)
        seconds = clock.monotonic() - asked[0]

    assert type(state) is Cancelled
    assert seconds < 1 + 5
    assert {type(s) for s in state.result.values()} == {Success, Cancelled, Mapped}
    assert last_run(place)[0].flow_runs()[0].state == "Cancelled"
