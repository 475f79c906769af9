"""Runs that are disturbed, by seeds that stay the same, and by faults at each point.

`make chaos HOURS=1` draws others, and more of them; `python -m tests.chaos --seed N` runs one again.
"""

from collections import defaultdict

import pytest

from prefect_dask.engine.tolerance import Tolerance
from tests.chaos.checks import check_all, is_cause
from tests.chaos.disturbed import LEASE_SECONDS
from tests.chaos.drawing import LONG_STOP_SECONDS, SHORT_TTL_SECONDS, case_of
from tests.chaos.plan import COORDINATING_POINTS, WORKING_POINTS, Case, Fault, TaskPlan
from tests.chaos.report import run_case

#: Of the cases of these the last test says what is in them.
FIXED = (1239, 8464, 11998, 37924, 51446, 51473, 172774)

LIMIT_SECONDS = 120


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.parametrize("seed", FIXED)
def test_a_disturbed_run_keeps_its_promises(seed, tmp_path):
    outcome = run_case(case_of(seed), limit_seconds=LIMIT_SECONDS, folder=tmp_path)

    assert not outcome.missed, "\n".join(outcome.told)


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.parametrize(
    "points", [COORDINATING_POINTS, WORKING_POINTS[:5]], ids=["where it is coordinated", "at work"]
)
def test_a_run_survives_a_death_at_each_point(points, tmp_path):
    """In one thread, where each death is that of the whole run."""
    tasks = (
        TaskPlan(0, "list", width=3, is_big=True),
        # Else all may be recorded at once, and what was recorded whole is not taken up any more.
        TaskPlan(1, "each", (0,), is_big=True, seconds=0.3),
        TaskPlan(2, "total", (1,)),
    )
    faults = tuple(Fault("crash", "coordinator", point=point) for point in points)
    case = Case(None, "this thread", tasks, faults, keeps_all=False)

    outcome = run_case(case, limit_seconds=LIMIT_SECONDS, folder=tmp_path)

    assert not outcome.missed, "\n".join(outcome.told)


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.parametrize(
    ("points", "times"),
    [(WORKING_POINTS[:2], (2, 3)), (WORKING_POINTS[2:5], (2, 3, 5)), (WORKING_POINTS[5:], (1, 2))],
    ids=["executing", "storing", "sending"],
)
def test_a_run_survives_the_death_of_a_worker_at_each_point(points, times, tmp_path):
    """On a cluster, where the run goes on beside each; no more of them than may die on one task run."""
    tasks = (
        TaskPlan(0, "list", width=4, is_big=True),
        TaskPlan(1, "each", (0,), is_big=True),
        TaskPlan(2, "total", (1,)),
    )
    faults = tuple(
        Fault("crash", "worker", point=point, nth=nth)
        for point, nth in zip(points, times, strict=True)
    )
    assert len(faults) <= Tolerance().worker_deaths
    case = Case(None, "cluster", tasks, faults)

    outcome = run_case(case, limit_seconds=LIMIT_SECONDS, folder=tmp_path)

    assert not outcome.missed, "\n".join(outcome.told)


@pytest.mark.timeout(LIMIT_SECONDS + 60)
def test_a_run_goes_on_without_a_worker_that_is_stopped_until_dask_gives_it_up(tmp_path):
    tasks = (
        TaskPlan(0, "list", width=4),
        # Long, and stopped for long: on a busy machine whoever stops it comes late, and so does Dask.
        TaskPlan(1, "each", (0,), seconds=3),
        TaskPlan(2, "total", (1,), is_last=True),
    )
    # Dask waits for five seconds at least, and looks every two.
    stop = Fault("stop", "worker", after=2, seconds=15)
    case = Case(None, "cluster", tasks, (stop,), worker_ttl_seconds=SHORT_TTL_SECONDS)

    def check(done):
        check_all(done)
        lost_by_cause = defaultdict(set)
        for state in filter(is_cause, done.opened_ledger().states(done.run_id())):
            # Which worker is a part of the message. A machine that is busy may lose another one within that short
            # a time, and that is as good.
            lost_by_cause[state.message].add(state.task_name)
        assert {"each-1"} in lost_by_cause.values(), "what it had at work was not lost"

    outcome = run_case(case, limit_seconds=LIMIT_SECONDS, folder=tmp_path, check=check)

    assert not outcome.missed


def test_the_fixed_seeds_have_each_place_and_each_fault_of_each_process():
    cases = [case_of(seed) for seed in FIXED]
    assert {case.place for case in cases} == {"this thread", "threads", "processes", "cluster"}
    processes = ("coordinator", "worker", "nanny", "scheduler")
    wanted = {(kind, process) for kind in ("kill", "stop") for process in processes}
    wanted |= {(kind, end) for kind in ("abort", "delay") for end in ("coordinator", "worker")}
    wanted |= {(kind, end) for kind in ("crash", "full") for end in ("coordinator", "worker")}
    wanted |= {("stale", "coordinator"), ("kill", "ledger"), ("restart", "ledger")}
    assert {(fault.kind, fault.target) for case in cases for fault in case.faults} == wanted
    assert {case.store for case in cases} == {"sqlite", "postgresql"}
    assert {case.place for case in cases if case.limits} >= {"threads", "cluster"}


def test_the_fixed_seeds_have_a_coordinator_that_is_stopped_for_longer_than_its_lease():
    assert LONG_STOP_SECONDS > LEASE_SECONDS
    assert any(
        (fault.kind, fault.target, fault.seconds) == ("stop", "coordinator", LONG_STOP_SECONDS)
        for case in map(case_of, FIXED)
        for fault in case.faults
        if case.limits  # by which its lease is that short
    )
