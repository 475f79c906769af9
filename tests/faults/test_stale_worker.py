"""A worker that its cluster gave up wakes up: nothing that it says or writes counts."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from prefect_dask import Flow, task
from prefect_dask.engine.durable import INLINE_BYTES
from prefect_dask.engine.finish_log import ENDING
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.timeouts import BodyStopped
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import hold, marks, note
from tests.faults.cluster import cluster_of
from tests.waiting import wait_until

#: Dask takes ten heartbeats for the least.
TTL = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}

#: Where results lie: in their states, in the store of the ledger, and where users say.
KINDS = ("inline", "large", "named", "target")


def who(folder: Path, kind: str) -> tuple[int, bytes]:
    """On the first worker, waits until that is woken, and one of them stops it; returns in which process it ran."""
    is_first = not marks(folder, f"{kind}-began")
    note(folder, f"{kind}-began")
    if is_first:
        wait_until((folder / "all-began").exists)
        if kind == KINDS[0]:
            os.kill(os.getpid(), signal.SIGSTOP)
        # A woken worker hears at once that it was given up; a body may let its stop pass.
        with suppress(BodyStopped):
            wait_until((folder / "woken").exists, 50)
    note(folder, f"{kind}-went-on")
    return os.getpid(), bytes(2 * INLINE_BYTES if kind == "large" else 0)


@task
def after(done: list[tuple[int, bytes]], folder: Path) -> list[int]:
    """Keeps the run going until the worker that was stopped has ended."""
    hold(folder, "after")
    return [pid for pid, _ in done]


def test_what_a_worker_writes_after_it_was_given_up_does_not_count(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name, value in TTL.items():
        monkeypatch.setenv(name, value)
    settings: dict[str, dict[str, object]] = {
        "inline": {},
        "large": {"durable": True},
        "named": {"result": LocalResult(tmp_path / "named", location="it")},
        "target": {"result": LocalResult(tmp_path / "named"), "target": "that"},
    }
    with Flow("stale") as flow:
        done = [task(who, name=kind, **settings[kind])(folder, kind) for kind in KINDS]  # type: ignore[call-overload]  # settings
        same = after(done, folder)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    began: set[str] = set()
    files: list[dict[str, bytes]] = []

    def look(records):
        began.update(r.task_name for r in records if r.state == "Running")
        if began.issuperset(KINDS) and "two" not in cluster.workers:
            cluster.add_worker("two", "--nthreads", "4")
            (folder / "all-began").touch()
        if any(r.task_name == "after" and r.state == "Running" for r in records):
            files.append(files_in(tmp_path))
            (folder / "woken").touch()
            stopped = cluster.workers["one"]
            os.kill(stopped.pid, signal.SIGCONT)
            stopped.wait(30)  # it leaves by itself when it hears that it was given up
            files.append(files_in(tmp_path))
            (folder / "go").touch()

    with cluster_of(tmp_path / "cluster", is_ready=False) as cluster:
        cluster.add_worker("one", "--nthreads", "4")
        state = flow.run(executor=DaskExecutor(cluster.address), ledger=ledger, on_state=look)
        pids = [state.result[each].result[0] for each in done]

    two = cluster.workers["two"].pid
    assert pids == state.result[same].result == [two] * len(KINDS)
    for kind in KINDS:
        went_on = {int(mark.read_text()) for mark in marks(folder, f"{kind}-went-on")}
        assert went_on == {cluster.workers["one"].pid, two}, "both bodies came to their end"
    before, later = files
    assert before.items() <= later.items(), "what counts is there as it was"
    results = [path for path in before if not path.endswith(ENDING)]
    assert len(results) == len(KINDS) - 1
    run = ledger.flow_runs()[0]
    for kind in KINDS:
        states = [s for s in ledger.states(run.run_id) if s.task_name == kind]
        assert [s.state for s in states] == ["Running", "Pending", "Running", "Success"]
        first, lost, second, success = (s.worker for s in states)
        assert first == lost != second == success
        assert len([r for r in ledger.results(run.run_id) if r.task == states[0].task]) == 1


def files_in(folder: Path) -> dict[str, bytes]:
    """What is in the files of results."""
    places = [*(folder / "named").glob("*"), *(folder / "home" / "results").rglob("*")]
    return {str(path): path.read_bytes() for path in places if path.is_file()}
