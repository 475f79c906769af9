"""PostgreSQL is restarted again and again while runs go on: nothing is lost, and the runs succeed."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from prefect_dask import Flow, context, task, unmapped
from prefect_dask.engine import clock
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.ledger import Ledger, postgresql
from prefect_dask.ledger.configured import journal_folder
from prefect_dask.ledger.errors import LedgerAway, NothingRecorded
from tests.durability.flows_of_deaths import double, total
from tests.outside_ledger import check_executions, counts_in, note_execution
from tests.postgres import (
    RestartableServer,
    find_binaries,
    folder_of_server,
    running_restartable,
)
from tests.waiting import wait_until

RESTARTS = 4


@pytest.fixture
def server() -> Iterator[RestartableServer]:
    """A server of this test's own, which may be restarted."""
    binaries = find_binaries()
    with folder_of_server() as folder, running_restartable(binaries, folder) as server:
        yield server


@task
def wait_for_restart(notes: Path, x: int) -> int:
    """Runs from before a restart until after it."""
    note_execution(notes)
    context.logger.info("before restart %s", x)
    wait_until(notes.with_name(f"restarted-{x}").exists, 50)
    context.logger.info("after restart %s", x)
    return x


def has_begun(url: str, x: int) -> bool:
    """Whether the ledger is there and knows that the task runs that waits for this restart."""
    ledger = Ledger(url)
    try:
        runs = ledger.flow_runs()
        told = ledger.states(runs[0].run_id) if runs else []
    except (LedgerAway, NothingRecorded):
        return False
    begun = {s.task for s in told if (s.task_name, s.state) == ("wait_for_restart", "Running")}
    return len(begun) > x


def test_a_run_succeeds_while_its_ledger_is_restarted(server, tmp_path):
    notes = tmp_path / "notes"
    with Flow("restarted ledger") as flow:
        before = []
        for x in range(RESTARTS):
            held = wait_for_restart(notes, x, upstream_tasks=before)
            before = [double.map(unmapped(notes), list(range(25)), upstream_tasks=[unmapped(held)])]
        total(notes, before[0])

    def restart_again_and_again() -> None:
        for x in range(RESTARTS):
            wait_until(partial(has_begun, server.server.url, x), 50)
            server.restart(by_force=x % 2 == 1)
            notes.with_name(f"restarted-{x}").touch()

    restarting = threading.Thread(target=restart_again_and_again)
    restarting.start()
    state = flow.run(executor=LocalDaskExecutor("threads", 2), ledger=server.server.url)
    restarting.join(50)

    assert state.is_successful(), state.message
    ledger = Ledger(server.server.url)

    def is_there() -> bool:
        return [run.state for run in ledger.flow_runs()] == ["Success"]

    wait_until(is_there, 30, what="the end of the run, in the ledger")
    run_id = ledger.flow_runs()[0].run_id
    check_executions(notes, ledger, run_id)
    slugs = {task.index: task.slug for task in ledger.flow(run_id).tasks}
    told = Counter(
        (slugs[s.task], s.map_index)
        for s in ledger.states(run_id)
        if s.state == "Success" and s.task_name in ("wait_for_restart", "double", "total")
    )
    assert told == counts_in(notes)
    assert set(told.values()) == {1}
    lines = [line.message for line in ledger.logs(run_id) if line.task_name == "wait_for_restart"]
    assert lines == [f"{when} restart {x}" for x in range(RESTARTS) for when in ("before", "after")]


def is_recorded(url: str) -> bool:
    """Whether the ledger knows of a run."""
    try:
        return bool(Ledger(url).flow_runs())
    except NothingRecorded:
        return False


def test_what_happens_while_the_ledger_hangs_is_in_the_journal_and_the_run_ends(
    server, monkeypatch
):
    """A database that is stopped, or whose machine is, takes the connection and says nothing."""
    # The limits alone are others: it would take 25 s of each run of the tests.
    monkeypatch.setattr(postgresql, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(postgresql, "LATE_SECONDS", 0.5)
    url = server.server.url
    stopped: list[psutil.Process] = []

    @task
    def one(x):
        return x

    @task
    def hang():
        wait_until(lambda: is_recorded(url))
        postmaster = psutil.Process(server.process.pid)
        postmaster.suspend()  # first: then there are no more of them
        stopped.append(postmaster)
        for process in postmaster.children():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                stopped.append(process)

    with Flow("hanging ledger") as flow:
        one.map([*range(10)], upstream_tasks=[unmapped(hang())])
    try:
        began = clock.monotonic()
        state = flow.run(ledger=url)
        seconds = clock.monotonic() - began
        journals = list(journal_folder().glob("*.journal"))
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):  # it was at its end
                process.resume()
    assert state.is_successful(), state.message
    assert seconds < 20
    assert journals, "nobody else knows of it"
    wait_until(lambda: not list(journal_folder().glob("*.journal")), 30)
    assert Ledger(url).flow_runs()[0].state == "Success"
