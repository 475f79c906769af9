"""What waits (a retry, a pause, a start time) holds no worker and no thread, and is not run twice.

The clock of the coordinating process is turned; nobody waits for an hour to pass.
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from prefect_dask import Flow, task, triggers
from prefect_dask.engine import clock
from prefect_dask.engine.state import Paused, Resume, Scheduled
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from tests.faults.bodies import add, counted, marks, note, number
from tests.faults.cluster import cluster_of
from tests.faults.watching import Watch

HOUR = 3600.0


class Hands:
    """The hands of this process's clock."""

    def __init__(self, monkeypatch):
        self._ahead_seconds = 0.0
        right_time = clock.now
        monkeypatch.setattr(clock, "now", lambda: right_time() + self._ahead_seconds)

    def turn(self, seconds: float) -> None:
        self._ahead_seconds += seconds


@pytest.fixture
def hands(monkeypatch):
    return Hands(monkeypatch)


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A cluster of one worker with one thread: what holds it holds everything."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), "only") as cluster:
        yield cluster


@pytest.fixture(params=["local", "threads", "processes", "dask"])
def one_at_a_time(request):
    """Each executor, with room for one task run."""
    if request.param == "local":
        return LocalExecutor()
    if request.param == "dask":
        return DaskExecutor(request.getfixturevalue("one_worker").address)
    return LocalDaskExecutor(request.param, num_workers=1)


@task(max_retries=1, retry_delay=HOUR)
def flaky(folder: Path) -> str:
    note(folder, "flaky")
    if len(marks(folder, "flaky")) == 1:
        raise ValueError("not yet")
    return "recovered"


def in_an_hour() -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=HOUR)


def test_a_waiting_retry_lets_other_branches_run(folder, hands, one_at_a_time):
    """flaky -> below -> last, and beside it start -> a chain of three; `start` is due later."""
    with Flow("two branches") as flow:
        retried = flaky(folder)
        below = counted(folder, "below", upstream_tasks=[retried])
        last = counted(folder, "last", upstream_tasks=[below], task_args={"name": "last"})
        start = number(0)
        chain = add(add(start), task_args={"name": "end of chain"})

    class Turner(Watch):
        def __call__(self, records):
            super().__call__(records)
            for record in records:
                if (record.task_name, record.state) == ("flaky", "Retrying"):
                    hands.turn(HOUR / 2)  # now the other branch is due
                elif (record.task_name, record.state) == ("end of chain", "Success"):
                    hands.turn(HOUR)  # now the retry is

    watch = Turner()
    half_an_hour = datetime.now(timezone.utc) + timedelta(seconds=HOUR / 2)
    state = flow.run(
        executor=one_at_a_time,
        task_states={start: Scheduled(start_time=half_an_hour)},
        on_state=watch,
    )

    assert state.is_successful()
    assert state.result[last].is_successful()
    assert state.result[retried].result == "recovered"
    assert state.result[chain].result == 2
    assert watch.states("flaky") == ["Running", "Failed", "Retrying", "Running", "Success"]
    order = [(r.task_name, r.state) for r in watch.records]
    chain_ran = order.index(("end of chain", "Running"))
    retry_ran = [at for at, what in enumerate(order) if what == ("flaky", "Running")][1]
    assert order.index(("flaky", "Retrying")) < chain_ran < retry_ran
    assert len(marks(folder, "below")) == len(marks(folder, "last")) == 1
    assert watch.states("counted") == watch.states("last") == ["Running", "Success"]


@task(max_retries=2, retry_delay=0)
def doomed(folder: Path) -> None:
    note(folder, "doomed")
    raise ValueError("never")


@task(trigger=triggers.any_failed)
def rescue(folder: Path) -> str:
    note(folder, "rescue")
    return "rescued"


def test_what_lies_below_a_doomed_task_is_decided_once(folder, one_at_a_time):
    with Flow("doomed") as flow:
        top = doomed(folder)
        below = counted(folder, "below", upstream_tasks=[top])
        rescued = rescue(folder, upstream_tasks=[below])
    watch = Watch()

    state = flow.run(executor=one_at_a_time, on_state=watch)

    assert state.is_successful()
    assert watch.states("doomed") == ["Running", "Failed", "Retrying"] * 2 + ["Running", "Failed"]
    assert watch.states("counted") == ["TriggerFailed"]
    assert watch.states("rescue") == ["Running", "Success"]
    assert len(marks(folder, "doomed")) == 3
    assert not marks(folder, "below")
    assert len(marks(folder, "rescue")) == 1
    assert state.result[rescued].result == "rescued"


@task(trigger=triggers.manual_only)
def approved(x: int) -> int:
    return x + 1


def test_a_paused_run_ends_and_goes_on_when_it_is_resumed(folder, one_at_a_time):
    with Flow("approval") as flow:
        above = counted(folder, "above", 41)
        asks = approved(above)
        below = counted(folder, "below", asks)
        beside = counted(folder, "beside", 1)

    paused = flow.run(executor=one_at_a_time)

    assert type(paused) is Paused
    assert type(paused.result[asks]) is Paused
    assert paused.result[below].is_pending()
    assert paused.result[beside].result == 1

    known = {**paused.result, asks: Resume("go on")}
    resumed = flow.run(executor=one_at_a_time, task_states=known)

    assert resumed.is_successful()
    assert resumed.result[below].result == 42
    assert [len(marks(folder, name)) for name in ("above", "beside", "below")] == [1, 1, 1]


def test_a_start_time_is_waited_for(folder, hands, one_at_a_time):
    with Flow("later") as flow:
        early = counted(folder, "early")
        late = counted(folder, "late", upstream_tasks=[early], task_args={"name": "late"})
        below = add(late)
    due = in_an_hour()
    # Not told before it is decided: the clock is turned when all else is done.
    watch = Watch("counted", "Success", lambda record: hands.turn(HOUR))

    state = flow.run(
        executor=one_at_a_time, task_states={late: Scheduled(start_time=due)}, on_state=watch
    )

    assert state.is_successful()
    assert state.result[below].result == 2
    assert watch.states("late") == ["Running", "Success"]
    assert len(marks(folder, "late")) == 1
