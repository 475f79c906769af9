"""A run whose process died is Crashed for whoever looks, and that process can write nothing more."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_dask import Flow, Parameter, context, restart, task
from prefect_dask.engine import clock
from prefect_dask.engine.errors import ClusterUnreachable
from prefect_dask.engine.executors.base import GraphRun
from prefect_dask.engine.node import RunPackage, current_node
from prefect_dask.executors import LocalExecutor
from prefect_dask.ledger import Ledger, leases, writer
from prefect_dask.ledger.configured import journal_folder
from prefect_dask.ledger.entries import Begun, Entry, Leased, Moved, Rows
from prefect_dask.ledger.errors import Superseded
from prefect_dask.ledger.packed import pack_row
from prefect_dask.ledger.processes import (
    held_here_until,
    is_gone,
    name_of_holder,
    this_process,
)
from prefect_dask.ledger.run_slots import ASK_SECONDS
from prefect_dask.ledger.store import Store
from prefect_dask.settings import set_temporary_config
from prefect_dask.steering import LONGEST_LOOK_SECONDS
from tests.waiting import wait_until

RUN = "a" * 32


@task
def double(x):
    return 2 * x


def running(number: int = 0, fence: int = 0) -> Moved:
    return Moved(RUN, fence, number, "Running", None, 1.0, is_finished=False)


def begun(**settings: object) -> Begun:
    return Begun(RUN, coordinator="far:1:1", **settings)  # type: ignore[arg-type]  # plain settings


def state_of(ledger: Ledger) -> tuple[str, str | None]:
    run = ledger.flow_run(RUN)
    return run.state, run.message


def test_a_process_is_known_by_its_number_and_when_it_began():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = this_process().replace(f"/{os.getpid()}@", f"/{process.pid}@")
    assert not is_gone(this_process())
    assert is_gone(name), "this one has the number, and began at another time"
    process.communicate(b"\n")
    assert is_gone(name)
    assert not is_gone("another machine/pid:[1]/1@1"), "nobody here can tell"


def test_a_lease_outlasts_what_may_hold_its_process_up_and_its_end_is_seen_within_a_minute():
    """What is tested elsewhere with short leases holds for that of every day, too."""
    held_up_seconds, look_seconds = 20, max(ASK_SECONDS, LONGEST_LOOK_SECONDS)
    assert leases.renew_seconds() + held_up_seconds < leases.lease_seconds()
    assert leases.lease_seconds() + look_seconds <= 60


def test_a_run_whose_lease_ran_out_is_crashed_and_its_process_superseded(
    ledger: Ledger, store: Store
):
    with clock.turned(clock.utc_now()) as hands:
        now = clock.now()
        store.write([begun(lease_until=now + leases.lease_seconds()), running()])
        hands.turn_by(timedelta(seconds=leases.lease_seconds() / 2))
        assert state_of(ledger)[0] == "Running"
        hands.turn_by(timedelta(seconds=leases.lease_seconds()))
        state, message = state_of(ledger)
    assert state == "Crashed"
    assert "far:1:1 died or lost the ledger: its lease ran out" in str(message)
    assert [s.state for s in ledger.states(RUN, -1)] == ["Crashed"]
    assert ledger.flow_run(RUN).ended is not None

    late: list[Entry] = [
        Moved(RUN, 0, 5, "Success", None, 9.0, is_finished=True),
        Rows(
            RUN, 0, "packed_states", 6, [1, pack_row(0, -1, 1, "Success", None, 1.5, "", 1.0, None)]
        ),
        Leased(RUN, 0, 1e12),
    ]
    assert store.write(late) == {(RUN, 0)}
    assert state_of(ledger)[0] == "Crashed"
    assert len(ledger.states(RUN)) == 1


def test_a_run_whose_process_is_gone_is_crashed_at_once(ledger: Ledger, store: Store):
    gone = this_process().rpartition("@")[0] + "@1"
    store.write([begun(lease_until=clock.now() + 1000, process=gone), running()])
    assert state_of(ledger) == ("Crashed", "the coordinating process far:1:1 died")


def test_a_run_that_waits_for_somebodys_word_is_nobodys_and_not_dead(ledger: Ledger, store: Store):
    gone = this_process().rpartition("@")[0] + "@1"
    paused = Moved(RUN, 0, 1, "Paused", None, 1.0, is_finished=False)
    store.write([begun(lease_until=1.0, process=gone), running(), paused, Leased(RUN, 0, None)])
    assert state_of(ledger)[0] == "Paused"


def test_taking_over_is_one_process_alone(ledger: Ledger, store: Store):
    store.write([begun(lease_until=clock.now() - 1), running()])
    ledger.flow_run(RUN)
    [(key, fence)] = store.execute("SELECT id, fence FROM flow_runs")
    assert fence == 1
    took = leases.take_over(store, key, fence, clock.now(), this_process(), "here:1:1")
    assert took == (2, 2)
    assert leases.take_over(store, key, fence, clock.now(), this_process(), "here:1:1") is None
    assert [s.state for s in ledger.states(RUN, -1)] == ["Crashed", "Pending"]


def test_leases_are_renewed_while_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "renew_seconds", lambda: 0.05)
    place = tmp_path / "its.sqlite"
    seen = []

    def lease() -> float:
        with Ledger(place).opened() as store:
            return float(store.execute("SELECT lease_until FROM flow_runs")[0][0] or 0)

    @task
    def watch():
        seen.append(lease())
        wait_until(lambda: lease() > seen[0], what="a renewed lease")

    assert Flow("watched", tasks=[watch]).run(ledger=place).is_successful()


def test_a_run_whose_process_was_taken_for_dead_is_told_so(tmp_path: Path):
    place = tmp_path / "its.sqlite"

    @task
    def declare():
        with Ledger(place).opened() as store:
            store.execute("UPDATE flow_runs SET lease_until = 1.0, process = ''")
        assert Ledger(place).flow_runs()[0].state == "Crashed"

    state = Flow("stale", tasks=[declare]).run(ledger=place)
    assert state.is_failed()
    assert "taken over by another process" in str(state.message)
    assert Ledger(place).flow_runs()[0].state == "Crashed"


def let_run_out(ledger: Ledger) -> None:
    """As if the process at each run had been stopped for longer than its lease."""
    with ledger.opened() as store:
        store.execute("UPDATE flow_runs SET lease_until = 1.0, process = ''")


def check_of_this_node() -> Callable[[bool], Any]:
    """What is asked before what the body of a task leaves behind counts."""
    at = current_node()
    assert at is not None and at[0].check_counted is not None
    return at[0].check_counted


def test_who_asks_whether_a_run_is_its_own_has_the_lease_renewed_before_that_is_said(
    url: str, ledger: Ledger
):
    """That nobody has taken it yet is not enough: who wants to could do so in the next moment."""
    told: list[Any] = []
    seen: list[str] = []

    @task
    def ask():
        check_counted = check_of_this_node()
        let_run_out(ledger)
        told.append(check_counted(False))
        seen.append(ledger.flow_runs()[0].state)
        let_run_out(ledger)
        told.append(check_counted(False))  # known from before: no time has passed
        seen.append(ledger.flow_runs()[0].state)

    state = Flow("asks", tasks=[ask]).run(ledger=url)

    assert 0 < told[1] < told[0] <= leases.lease_seconds()
    assert seen == ["Running", "Crashed"]
    assert "taken over by another process" in str(state.message)


@pytest.mark.parametrize("until", [12.5, 12.51, 12.549, 12.0])
def test_a_lease_is_never_told_to_run_out_before_it_does(until: float):
    told = held_here_until(name_of_holder(until))
    assert told is not None and until <= told < until + 0.11


def test_the_lease_of_a_run_that_somebody_has_taken_does_not_count_as_renewed(
    url: str, ledger: Ledger
):
    @task
    def renew():
        let_run_out(ledger)
        assert ledger.flow_runs()[0].state == "Crashed"
        its = writer.writer_for(ledger.place, journal_folder())
        its.renew(20)
        run_id = context.flow_run_id
        told.append(((run_id, 0) in its.superseded, its.leased_seconds(run_id) > 0))

    told: list[tuple[bool, bool]] = []
    Flow("renews", tasks=[renew]).run(ledger=url)

    assert told == [(True, False)]


def test_a_run_that_somebody_has_taken_is_not_said_to_be_ones_own(url: str, ledger: Ledger):
    @task
    def ask():
        check_counted = check_of_this_node()
        let_run_out(ledger)
        assert ledger.flow_runs()[0].state == "Crashed"
        with pytest.raises(Superseded):
            check_counted(False)
        refused.append(True)

    refused: list[bool] = []
    state = Flow("asks", tasks=[ask]).run(ledger=url)

    assert refused and "taken over by another process" in str(state.message)


def test_what_a_run_needs_to_be_taken_up_again_is_kept(url: str, ledger: Ledger):
    class Point:
        pass

    with Flow("kept") as flow:
        double(Parameter("x"))
    flow.run(x=Point, ledger=url)
    with ledger.opened() as store:
        [(pickled, origin)] = store.execute("SELECT pickled, origin FROM flow_runs")
    assert bytes(pickled).startswith(b"\x80")
    assert origin == __file__


def test_parameters_with_secrets_in_them_are_not_kept(url: str, ledger: Ledger):
    with Flow("secret") as flow:
        double(Parameter("x"))
    flow.run(x="open-sesame", ledger=url, context={"secrets": {"S": "open-sesame"}})
    with ledger.opened() as store:
        assert store.execute("SELECT pickled FROM flow_runs") == [(None,)]


def test_a_process_that_lost_a_run_may_take_it_up_again(tmp_path: Path):
    """As in a notebook that was stopped for too long, whose run another process ended as Failed."""
    place = tmp_path / "its.sqlite"
    lost: list[str] = []

    @task
    def declare():
        if not lost:
            with Ledger(place).opened() as store:
                store.execute("UPDATE flow_runs SET lease_until = 1.0, process = ''")
            lost.append(Ledger(place).flow_runs()[0].run_id)

    flow = Flow("lost and found", tasks=[declare])
    assert flow.run(ledger=place).is_failed()
    state = restart(lost[0], flow, ledger=place)
    assert state.is_successful(), state.message
    assert Ledger(place).flow_run(lost[0]).state == "Success"


LOOKS_WITHOUT_FILES = """
import os, resource, sys
from prefect_dask.ledger.processes import is_gone, this_process
this_process()
lowest = os.open(os.devnull, os.O_RDONLY)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
sys.exit(is_gone(sys.argv[1]))
"""


def test_a_process_is_not_taken_for_gone_by_one_that_cannot_look():
    """It may have no file left that it could open, or not be allowed to look at what others run."""
    looks = [sys.executable, "-c", LOOKS_WITHOUT_FILES, this_process()]
    assert subprocess.run(looks, timeout=30).returncode == 0


class Slow(LocalExecutor):
    """Takes its time before a run can begin, as a cluster does whose machines are to come."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def open(self, package: RunPackage) -> GraphRun:
        self._meanwhile()
        return super().open(package)


def failed_run(place: Path) -> tuple[Flow, str]:
    @task
    def fail_first():
        if not (place.parent / "mended").exists():
            raise ValueError("not yet")

    flow = Flow("resumed", tasks=[fail_first])
    assert flow.run(ledger=place).is_failed()
    (place.parent / "mended").touch()
    return flow, Ledger(place).flow_runs()[0].run_id


def test_a_run_that_is_taken_up_is_held_while_it_waits_for_its_place(tmp_path: Path):
    place = tmp_path / "its.sqlite"
    seen = set()

    def look_for_long() -> None:
        until = clock.monotonic() + 3 * leases.lease_seconds()
        while clock.monotonic() < until:
            seen.add(Ledger(place).flow_runs()[0].state)
            clock.wait_for(0.1)

    with set_temporary_config({"ledger.lease_seconds": 1.0}):
        flow, run_id = failed_run(place)
        state = restart(run_id, flow, ledger=place, executor=Slow(look_for_long))
    assert seen == {"Pending"}
    assert state.is_successful(), state.message


def test_a_run_that_is_taken_up_and_cannot_begin_is_free_at_once(tmp_path: Path):
    place = tmp_path / "its.sqlite"

    def break_down() -> None:
        raise ClusterUnreachable("tcp://nowhere:1", 1, "nobody is there")

    flow, run_id = failed_run(place)
    with pytest.raises(ClusterUnreachable):
        restart(run_id, flow, ledger=place, executor=Slow(break_down))
    run = Ledger(place).flow_run(run_id)
    assert run.state == "Crashed"
    assert "nobody is there" in str(run.message)
    assert run.ended is not None
    assert restart(run_id, flow, ledger=place).is_successful()
    told = [s.state for s in Ledger(place).states(run_id, -1)]
    assert told == ["Running", "Failed", "Pending", "Crashed", "Pending", "Running", "Success"]
