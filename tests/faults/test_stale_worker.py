"""A worker that its cluster gave up wakes up: nothing that it says or writes counts."""

import os
import signal
import threading
from pathlib import Path

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.results import LocalResult
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import hold, marks, note
from tests.faults.cluster import cluster_of

#: Dask takes ten heartbeats for the least.
TTL = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}


def who(folder: Path) -> list[int]:
    """The first one stops its own worker; each returns in which process it ran."""
    first = not marks(folder, "began")
    note(folder, "began")
    if first:
        note(folder, "stopped")
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait(0.2)  # the signal stops one thread after the other
    note(folder, "went-on")
    return [os.getpid()]


@task
def after(pids: list[int], folder: Path) -> int:
    """Keeps the run going until the worker that was stopped has ended."""
    hold(folder, "after")
    return pids[0]


@pytest.mark.parametrize("kind", ["inline", "in a named place"])
def test_what_a_worker_writes_after_it_was_given_up_does_not_count(
    kind, tmp_path, monkeypatch, folder
):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name, value in TTL.items():
        monkeypatch.setenv(name, value)
    place = LocalResult(tmp_path / "named", location="it") if kind != "inline" else None
    with Flow("stale") as flow:
        done = task(who, name="who", result=place)(folder)
        same = after(done, folder)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    files: list[dict[str, bytes]] = []

    def wake(records):
        if any(r.task_name == "after" and r.state == "Running" for r in records):
            files.append(files_in(tmp_path))
            [stopped] = marks(folder, "stopped")
            pid = int(stopped.read_text())
            [process] = [p for p in cluster.workers.values() if p.pid == pid]
            os.kill(pid, signal.SIGCONT)
            process.wait(30)  # it leaves by itself when it hears that it was given up
            files.append(files_in(tmp_path))
            (folder / "go").touch()

    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=ledger, on_state=wake)
        pid = state.result[done].result[0]

    assert len(marks(folder, "began")) == 2 and marks(folder, "went-on"), (
        "both bodies came to their end"
    )
    assert pid == state.result[same].result == int(marks(folder, "went-on")[0].read_text())
    before, later = files
    assert before.items() <= later.items(), "what counts is there as it was"
    assert bool(before) == (kind != "inline")
    run = ledger.flow_runs()[0]
    states = ledger.states(run.run_id, 0)
    assert [each.state for each in states] == ["Pending", "Running", "Success"]
    assert states[0].worker != states[1].worker == states[2].worker
    assert len([r for r in ledger.results(run.run_id) if r.task == 0]) == 1


def files_in(folder: Path) -> dict[str, bytes]:
    """What is in the files of results."""
    places = [*(folder / "named").glob("*"), *(folder / "home" / "results").rglob("*")]
    return {str(path): path.read_bytes() for path in places if path.is_file()}
