"""A run goes on elsewhere: on a cluster, and where its first process was only stopped, not dead."""

import os
import signal
from contextlib import ExitStack

import pytest

from prefect_dask import resume
from prefect_dask.engine import node
from prefect_dask.engine.executors import dask_right
from prefect_dask.engine.files import UNFINISHED
from prefect_dask.engine.finish_log import ENDING
from prefect_dask.engine.results import LocalResult
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.durability.flows_that_die import FLOWS, notes
from tests.durability.test_resume import begin, check_lawful, diary, kill
from tests.faults.cluster import cluster_of
from tests.waiting import wait_until

__all__ = ["diary"]


def test_a_run_that_began_here_goes_on_on_a_cluster(place, diary, tmp_path):
    run_id = kill("maps", place, "5", xs=[1, 3, 2, 5])
    with cluster_of(tmp_path / "cluster", "one") as cluster:
        state = resume(run_id, ledger=place, executor=DaskExecutor(address=cluster.address))
        results = {t.name: s.result for t, s in state.result.items()}
    assert results["total"] == 2 * (1 + 3 + 2 + 5) + 4
    counts = notes(diary)
    assert [counts[f"first[{i}]"] for i in range(4)] == [1, 1, 1, 1]
    assert [counts[f"second[{i}]"] for i in range(4)] == [1, 1, 2, 1]
    check_lawful(place, run_id)


def stop_until_it_is_taken_for_dead(stale, place):
    os.kill(stale.pid, signal.SIGSTOP)
    with Ledger(place).opened() as store:
        store.execute("UPDATE flow_runs SET lease_until = 1.0, process = ''")
    [run] = Ledger(place).flow_runs()
    assert run.state == "Crashed"
    return run


def let_it_go_on(stale, diary):
    """Let the body end, and the process wake up and end."""
    diary.with_name("go-on").touch()
    os.kill(stale.pid, signal.SIGCONT)
    assert stale.wait(50) == 0


def test_a_process_that_was_stopped_while_its_lease_ran_out_writes_nothing(place, diary):
    stale = begin("stalls", place)
    try:
        wait_until(diary.with_name("stop-me").exists)
        [run] = Ledger(place).flow_runs()
        wait_until(lambda: len(Ledger(place).states(run.run_id)) >= 2, what="Running, recorded")
        crashed = stop_until_it_is_taken_for_dead(stale, place)
        assert "its lease ran out" in str(crashed.message)
        before = Ledger(place).states(run.run_id)

        let_it_go_on(stale, diary)
        assert Ledger(place).states(run.run_id) == before
        assert Ledger(place).flow_run(run.run_id) == crashed
        assert not Ledger(place).results(run.run_id)
    finally:
        stale.kill()
        stale.wait()

    assert resume(run.run_id, FLOWS["stalls"], ledger=place).is_successful()
    assert notes(diary)["stalled"] == 2
    check_lawful(place, run.run_id)


@pytest.mark.parametrize("where", ["here", "in a child process", "on a cluster"])
def test_a_process_that_was_stopped_for_longer_than_its_lease_gives_no_result_its_name(
    where, place, diary, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT__LEDGER__LEASE_SECONDS", "1")
    written = diary.with_name("stalled.pickle")
    with ExitStack() as cluster:
        if where == "in a child process":
            monkeypatch.setenv("CHILDREN", "1")
        elif where == "on a cluster":
            both = cluster.enter_context(cluster_of(tmp_path / "cluster", "one", "two"))
            monkeypatch.setenv("SCHEDULER", both.address)
        stale = begin("stalls", place)
        try:
            wait_until(diary.with_name("stop-me").exists)
            os.kill(stale.pid, signal.SIGSTOP)
            wait_until(lambda: Ledger(place).flow_runs()[0].state == "Crashed", 20)

            diary.with_name("go-on").touch()
            if where != "here":
                # Its task comes to its end while it is stopped, and asks it.
                wait_until(lambda: list(diary.parent.glob(f"*{UNFINISHED}")))
            os.kill(stale.pid, signal.SIGCONT)
            assert stale.wait(50) == 0
            if where == "on a cluster":  # a child may have been killed before it could clean up
                wait_until(lambda: not list(diary.parent.glob(f"*{UNFINISHED}")))
            assert not written.exists()
        finally:
            stale.kill()
            stale.wait()

        [run] = Ledger(place).flow_runs()
        executor = DaskExecutor(both.address) if where == "on a cluster" else None
        state = resume(run.run_id, FLOWS["stalls"], ledger=place, executor=executor)
        assert state.is_successful()
    assert LocalResult().read(str(written)).value == "too late"


@pytest.mark.parametrize("where", ["here", "on a cluster"])
def test_what_ends_for_a_process_that_has_lost_its_run_is_no_end_for_who_takes_it_up(
    where, place, diary, tmp_path, home, monkeypatch
):
    monkeypatch.setenv("PREFECT__LEDGER__LEASE_SECONDS", "1")
    with ExitStack() as cluster:
        if where == "on a cluster":
            one = cluster.enter_context(cluster_of(tmp_path / "cluster", "one"))
            monkeypatch.setenv("SCHEDULER", one.address)
        stale = begin("notes late", place)
        try:
            wait_until(diary.with_name("stop-me").exists)
            [run] = Ledger(place).flow_runs()
            os.kill(stale.pid, signal.SIGSTOP)
            wait_until(lambda: Ledger(place).flow_runs()[0].state == "Crashed", 20)
            let_it_go_on(stale, diary)
        finally:
            stale.kill()
            stale.wait()

    assert not list((home / "results").rglob(f"*{ENDING}"))
    assert resume(run.run_id, FLOWS["notes late"], ledger=place).is_successful()
    assert notes(diary)["noted_late"] == 2


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_process_that_was_stopped_and_has_its_run_still_goes_on(
    is_given_up, place, diary, tmp_path, monkeypatch
):
    def give_up_soon():
        dask_right.SILENT_SECONDS = 1.0  # on the scheduler: a test cannot wait for a minute

    monkeypatch.setenv("PREFECT__LEDGER__LEASE_SECONDS", "1")
    with cluster_of(tmp_path / "cluster", "one") as cluster, cluster.client() as client:
        monkeypatch.setenv("SCHEDULER", cluster.address)
        process = begin("stalls", place)
        try:
            wait_until(diary.with_name("stop-me").exists)
            if is_given_up:
                client.run_on_scheduler(give_up_soon)
            os.kill(process.pid, signal.SIGSTOP)
            diary.with_name("go-on").touch()
            if is_given_up:
                wait_until(lambda: "RunUnanswered" in cluster.log("one"))
            else:
                wait_until(lambda: list(diary.parent.glob(f"*{UNFINISHED}")))
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(50) == 0
        finally:
            process.kill()
            process.wait()
    [run] = Ledger(place).flow_runs()
    assert run.state == "Success"
    assert notes(diary)["stalled"] == 1 + is_given_up
    assert LocalResult().read(str(diary.with_name("stalled.pickle"))).value == "too late"
    told = [each for each in Ledger(place).states(run.run_id, 0) if each.state == "Pending"]
    lost = [each.message for each in told if "attempt lost" in (each.message or "")]
    assert len(lost) == is_given_up
    check_lawful(place, run.run_id)


def test_what_a_stopped_process_handed_over_is_not_taken_for_that_of_the_next(
    place, diary, tmp_path, monkeypatch
):
    """One run on one cluster: the first process has a node there that runs still, and wakes up later."""
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        monkeypatch.setenv("SCHEDULER", cluster.address)
        stale = begin("held", place)
        try:
            wait_until(lambda: notes(diary)["held_at_first"])
            [run] = Ledger(place).flow_runs()
            wait_until(lambda: len(Ledger(place).states(run.run_id)) >= 2, what="Running, recorded")
            stop_until_it_is_taken_for_dead(stale, place)

            executor = DaskExecutor(cluster.address)
            state = resume(run.run_id, FLOWS["held"], ledger=place, executor=executor)

            results = {each.name: its.result for each, its in state.result.items()}
            assert results == {"first": 2, "held_at_first": "the second"}
            let_it_go_on(stale, diary)
        finally:
            stale.kill()
            stale.wait()
    assert notes(diary)["held_at_first"] == 2
    assert Ledger(place).flow_run(run.run_id).state == "Success"
    check_lawful(place, run.run_id)


def told_of_first(place, run_id):
    return [s.state for s in Ledger(place).states(run_id) if s.task_name == "first"]


def test_a_process_that_dies_leaves_nothing_of_its_run_on_its_cluster_and_it_goes_on_on_another(
    place, diary, tmp_path, monkeypatch
):
    def left_on_scheduler(dask_scheduler):
        names = dask_scheduler.worker_plugins
        return [name for name in names if name.startswith("prefect-dask")] + list(
            dask_scheduler.tasks
        )

    def left_on_worker(dask_worker):
        return list(node._hosted) + list(dask_worker.active_keys)

    with cluster_of(tmp_path / "cluster", "one") as cluster, cluster.client() as client:
        monkeypatch.setenv("SCHEDULER", cluster.address)
        process = begin("held", place)
        wait_until(lambda: notes(diary)["held_at_first"])
        [run] = Ledger(place).flow_runs()
        wait_until(lambda: "Success" in told_of_first(place, run.run_id), what="Success, recorded")
        assert client.run_on_scheduler(left_on_scheduler)
        assert all(client.run(left_on_worker).values())

        process.kill()
        process.wait()

        # Its body, too, is stopped: it would wait for another minute.
        wait_until(lambda: not client.run_on_scheduler(left_on_scheduler))
        wait_until(lambda: not any(client.run(left_on_worker).values()))

    elsewhere = DaskExecutor(cluster_kwargs={"n_workers": 1, "processes": False})
    state = resume(run.run_id, FLOWS["held"], ledger=place, executor=elsewhere)
    assert [each.result for each in state.result.values()] == [2, "the second"]
    assert notes(diary) == {"first": 1, "held_at_first": 2}
    check_lawful(place, run.run_id)
