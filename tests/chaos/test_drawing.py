"""What seeds mean, and that all of it can come."""

from collections import Counter

from tests.chaos.drawing import LONG_STOP_SECONDS, bodies_of, case_of, within_reach
from tests.chaos.plan import Case, Fault, TaskPlan

CASES = [case_of(seed) for seed in range(2_000)]
TASKS = (
    TaskPlan(0, "list", width=3, is_durable=False),
    TaskPlan(1, "each", (0,), is_big=True, is_named=True),
    TaskPlan(2, "total", (1,), is_last=True),
)


def test_a_seed_means_the_same_each_time():
    assert [case_of(seed) for seed in range(100)] == CASES[:100]


def test_a_run_is_taken_up_where_a_death_at_that_is_planned():
    for case in CASES:
        points = [fault.point for fault in case.faults if "take up" in fault.point]
        deaths = [f for f in case.faults if f.target == "coordinator" and f.point not in points]
        assert not points or any(f.kind in ("kill", "stale", "crash") for f in deaths), case


def test_the_last_body_begins_after_all_that_faults_wait_for():
    for case in CASES:
        assert [task.is_last for task in case.tasks] == [False] * (len(case.tasks) - 1) + [True]
        begun = sum(bodies_of(case).values())
        assert all(f.after <= begun for f in case.faults), case


def test_what_cannot_come_is_changed_into_what_can():
    def changed(*faults, keeps_all=True):
        return within_reach(Case(None, "threads", TASKS, faults, keeps_all=keeps_all))

    def crash(point, nth=1):
        return Fault("crash", "coordinator", point=point, nth=nth)

    assert changed(Fault("kill", "coordinator", after=6)) == (
        Fault("kill", "coordinator", after=1),
    )
    assert changed(crash("after take up")) == (crash("after record"),)
    kill = Fault("kill", "coordinator", after=5)
    assert changed(crash("after take up"), kill) == (crash("after take up"), kill)
    end = crash("before end")
    assert (
        changed(end, crash("before take up")) == changed(end, end) == (end, crash("after record"))
    )
    assert changed(crash("after release", 3)) == (crash("after record", 3),)
    assert changed(crash("after release", 3), keeps_all=False) == (crash("after release", 3),)
    assert changed(crash("before store", 4)) == (crash("before store", 1),)
    assert changed(crash("within store")) == (crash("after record"),)
    assert changed(crash("before execute", 4)) == (crash("before execute", 4),)


def test_some_stops_outlast_a_lease_and_what_a_worker_is_allowed():
    stops = [(f, case) for case in CASES for f in case.faults if f.kind == "stop"]
    long = Counter(fault.seconds == LONG_STOP_SECONDS for fault, _ in stops)
    assert 0.1 < long[True] / long.total() < 0.2
    assert any(case.worker_ttl_seconds and fault.target == "worker" for fault, case in stops)
