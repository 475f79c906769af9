"""The coordinating process dies, or only seems to: who looks is told the truth, and a resume finishes the run."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from prefect_dask import resume
from prefect_dask.engine import clock
from prefect_dask.engine.clock import settable
from prefect_dask.ledger import Ledger
from prefect_dask.settings import set_temporary_config
from tests.chaos import crash_points
from tests.durability import flows_of_deaths
from tests.durability.flows_of_deaths import flow_of_coordinator
from tests.faults.cluster import REPOSITORY
from tests.outside_ledger import check_executions, counts_in
from tests.waiting import wait_until

#: Where each second resume kills itself; the others are killed in the middle of a task.
DIES_AT = ("before take up", "after take up", "before record", "within record", "after record")

#: Instead of 45 s.
LEASE_SECONDS = 4.5


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PREFECT_LEDGER_LEASE_SECONDS", str(LEASE_SECONDS))
    with set_temporary_config({"ledger.lease_seconds": LEASE_SECONDS}):
        yield


@contextmanager
def coordinator(
    place: Path, notes: Path, seconds: float = 0.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the flow, once its run is in the ledger."""
    process = subprocess.Popen(
        [sys.executable, flows_of_deaths.__file__, str(place), str(notes), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(notes.exists, 40)
        wait_until(place.exists, 40)
        wait_until(lambda: Ledger(place).flow_runs(), 40, what="the run in the ledger")
        yield process
    finally:
        process.kill()
        process.wait()


def let_it_go(place: Path, notes: Path, process: subprocess.Popen[bytes]) -> None:
    """Let the run end by itself, and see that nobody ever thought that it was dead."""
    notes.with_name("go").touch()
    assert process.wait(40) == 0
    ledger = Ledger(place)
    run_id = ledger.flow_runs()[0].run_id
    assert [s.state for s in ledger.states(run_id, -1)] == ["Running", "Success"]
    check_executions(notes, ledger, run_id)
    assert set(counts_in(notes).values()) == {1}


def wait_until_recorded(place: Path, run_id: str) -> None:
    """Wait until all but the last task are finished, and that is in the ledger."""

    def is_there() -> bool:
        told = [s.state for s in Ledger(place).states(run_id) if s.task >= 0]
        return told.count("Success") >= 11 and told[-1] == "Running"

    wait_until(is_there, 30, what="what is finished, in the ledger")


def has_set_its_clock(folder: Path, times: int) -> bool:
    return len(list(folder.glob("set-*"))) == times


def has_held(notes: Path, times: int) -> bool:
    return counts_in(notes)["hold-1", -1] >= times


def look_for(place: Path, seconds: float) -> set[str]:
    """What those who look again and again for so long see of the run."""
    seen: set[str] = set()
    pause = threading.Event()
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        seen.add(Ledger(place).flow_runs()[0].state)
        pause.wait(0.2)
    return seen


def test_a_process_that_is_killed_is_seen_to_be_and_a_resume_finishes_its_run(place, tmp_path):
    notes = tmp_path / "notes"
    with coordinator(place, notes) as process:
        wait_until(lambda: ("hold-1", -1) in counts_in(notes), what="the last task, begun")
        [run] = Ledger(place).flow_runs()
        wait_until_recorded(place, run.run_id)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        crashed = Ledger(place).flow_run(run.run_id)
        assert crashed.state == "Crashed"
        assert f":{process.pid}:" in str(crashed.message)
        assert "died" in str(crashed.message)
    notes.with_name("go").touch()
    assert resume(run.run_id, flow_of_coordinator(notes), ledger=place).is_successful()
    check_executions(notes, Ledger(place), run.run_id)
    counts = counts_in(notes)
    assert counts.pop(("hold-1", -1)) == 2
    assert set(counts.values()) == {1}


def test_a_process_that_is_stopped_for_half_a_lease_is_not_taken_for_dead(place, tmp_path):
    notes = tmp_path / "notes"
    with coordinator(place, notes) as process:
        os.kill(process.pid, signal.SIGSTOP)
        seen = look_for(place, LEASE_SECONDS / 2)
        os.kill(process.pid, signal.SIGCONT)
        assert seen == {"Running"}
        let_it_go(place, notes, process)


def test_a_process_that_is_held_up_in_c_is_not_taken_for_dead(place, tmp_path):
    """For 20 of 45 s, in small."""
    notes = tmp_path / "notes"
    with coordinator(place, notes, LEASE_SECONDS * 20 / 45) as process:
        wait_until(notes.with_name("holds").exists)
        assert look_for(place, LEASE_SECONDS * 20 / 45) == {"Running"}
        let_it_go(place, notes, process)


def test_a_process_whose_clock_is_set_is_not_taken_for_dead(place, tmp_path):
    """The clock of the whole machine: of the process that holds the run, and of those who look."""
    notes = tmp_path / "notes"
    with coordinator(place, notes) as process, settable() as clock_here:
        for number, hours in enumerate((1, -2), start=1):
            os.kill(process.pid, signal.SIGUSR1)
            clock_here.set_by(timedelta(hours=hours))
            assert look_for(place, 1.5) == {"Running"}
            wait_until(partial(has_set_its_clock, tmp_path, number))
        # Long enough that a lease from before would have run out.
        assert look_for(place, LEASE_SECONDS) == {"Running"}
        let_it_go(place, notes, process)


def plan_death(point: str, mark: Path) -> None:
    """Have this process, which is a test's own, kill itself at a point of the product."""
    os.environ[crash_points.ROLE] = "coordinator"
    planned = crash_points.Crash("coordinator", point, 1, str(mark))
    os.environ[crash_points.VARIABLE] = crash_points.as_text([planned])
    crash_points.arm()


def test_a_resume_may_be_killed_twenty_times(place, tmp_path):
    notes = tmp_path / "notes"
    with coordinator(place, notes) as process:
        [run] = Ledger(place).flow_runs()
        wait_until_recorded(place, run.run_id)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    points = cycle(DIES_AT)
    for turn in range(20):
        dies_at = next(points) if turn % 2 else None
        held = counts_in(notes)["hold-1", -1]
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                logging.disable()
                if dies_at is not None:
                    plan_death(dies_at, tmp_path / f"died-{turn}")
                resume(run.run_id, flow_of_coordinator(notes), ledger=place)
            os._exit(1)
        if dies_at is None:
            wait_until(partial(has_held, notes, held + 1), 30, what=f"resume {turn}")
            os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, dies_at
    notes.with_name("go").touch()
    assert resume(run.run_id, flow_of_coordinator(notes), ledger=place).is_successful()
    ledger = Ledger(place)
    check_executions(notes, ledger, run.run_id)
    counts = counts_in(notes)
    # Once at first, in each second resume, and in the last one; where one dies by itself, perhaps.
    assert 12 <= counts.pop(("hold-1", -1)) <= 22
    assert set(counts.values()) == {1}
