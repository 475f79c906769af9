"""The checks see what they are there to see, and the proxy does what it is told."""

import socket
import time
from datetime import datetime, timedelta, timezone

import pytest

from prefect_dask.ledger.facts import RecordedState
from tests.chaos.checks import (
    check_all_is_recorded,
    check_extra_executions,
    check_flow_history_is_lawful,
    check_in_flight,
    check_limit,
    check_nothing_stored_ran_again,
)
from tests.chaos.disturbed import Broken
from tests.chaos.plan import Case, TaskPlan, expected
from tests.chaos.proxy import Proxy
from tests.chaos.traces import Body
from tests.outside_ledger import Execution

NOW = datetime.now(timezone.utc)
TASK_RUN = ("each-1-1", 0)
NEVER = {0: 10**19}
CASE = Case(
    0,
    "threads",
    (TaskPlan(0, "list", width=3), TaskPlan(1, "each", (0,), max_in_flight=1)),
    (),
)


def body(began_ns=0, ended_ns=None, *, epoch=0, index=0, left_ns=None, pid=1):
    return Body(epoch, Execution("run", "each-1-1", index, 1, pid, began_ns), ended_ns, left_ns)


def state(name, number=0, message="", time=NOW, index=0, task=1):
    return RecordedState(number, task, "each-1", index, 1, name, message, time, "", {})


def test_an_execution_too_many_is_seen():
    bodies, check = [body(1), body(2)], check_extra_executions
    with pytest.raises(Broken, match="R1"):
        check(bodies, {}, frozenset(), NEVER)
    lost = {
        TASK_RUN: [state("Running"), state("Pending", message="attempt lost"), state("Running")]
    }
    check(bodies, lost, frozenset(), NEVER)
    check(bodies, {}, frozenset([0]), NEVER)
    with pytest.raises(Broken, match="R1"):
        check(bodies, {TASK_RUN: [state("Running"), state("Running")]}, frozenset([0]), NEVER)
    with pytest.raises(Broken, match="R1"):
        check([*bodies, body(3, epoch=1)], {}, frozenset([1]), NEVER)


def test_a_stored_result_that_was_made_again_is_seen():
    stored = {TASK_RUN: [state("Success", number=4, time=NOW - timedelta(hours=1))]}
    early, late = body(-(10**18)), body(10**18)
    check = check_nothing_stored_ran_again
    with pytest.raises(Broken, match="R2"):
        check([late], stored, {4}, NEVER)
    check([early], stored, {4}, NEVER)
    check([late], stored, set(), NEVER)
    check([late], stored, {4}, {0: 0})


def test_an_unlawful_history_and_a_state_that_is_missing_are_seen():
    with pytest.raises(Broken, match="R3"):
        check_flow_history_is_lawful([state("Success"), state("Running")])
    whole = {("list-0-1", -1): [state("Success")], ("each-1-1", -1): [state("Mapped")]}
    whole |= {("each-1-1", i): [state("Success")] for i in range(3)}
    check_all_is_recorded(CASE, whole)
    with pytest.raises(Broken, match="R3"):
        check_all_is_recorded(CASE, {**whole, ("each-1-1", 2): [state("Running")]})


def test_an_item_too_many_in_flight_is_seen():
    plan = CASE.tasks[1]
    check_in_flight(plan, CASE, [body(1, 2, index=0), body(3, 4, index=1)])
    with pytest.raises(Broken, match="R5"):
        check_in_flight(plan, CASE, [body(1, 5, index=0), body(3, 4, index=1)])


def test_a_body_too_many_at_work_under_a_limit_is_seen():
    tasks = (TaskPlan(0, "list", width=3), TaskPlan(1, "each", (0,), is_scarce=True))
    case = Case(0, "threads", tasks, ())

    def check(*bodies, histories=None, stopped=None):
        for name in ("tag:scarce", "task:each-1"):
            check_limit(name, 1, case, bodies, histories or {}, stopped or {})

    check(body(1, left_ns=2), body(2, left_ns=3, index=1))
    with pytest.raises(Broken, match="R5"):
        check(body(1, left_ns=3), body(2, left_ns=4, index=1))
    check(body(1), body(2, left_ns=4, index=1, pid=2))
    with pytest.raises(Broken, match="R5"):  # its process was there still
        check(body(1), body(2, left_ns=4, index=1, pid=2), body(5, left_ns=6, index=2))
    second, now = 10**9, time.monotonic_ns()
    given_up = state("Pending", message="lost", time=datetime.now(timezone.utc))
    check(
        body(now - second, left_ns=now + 5 * second),
        body(now + second, left_ns=now + 2 * second, index=1),
        histories={TASK_RUN: [given_up]},
    )
    asleep, other = body(1, left_ns=9), body(5, left_ns=6, index=1, epoch=1)
    check(asleep, other, stopped={0: 4})
    with pytest.raises(Broken, match="R5"):
        check(asleep, other, stopped={0: 6})


def test_what_is_expected_follows_branches():
    tasks = (
        TaskPlan(0, "total"),
        TaskPlan(1, "branch", (0,)),
        TaskPlan(2, "total", (0,), branch=(1, True)),
        TaskPlan(3, "total", (0,), branch=(1, False)),
        TaskPlan(4, "merge", (2, 3)),
    )
    values = expected(tasks)
    taken, left = (2, 3) if values[1] else (3, 2)
    assert values[4] == values[taken] is not None
    assert values[left] is None


def test_the_proxy_passes_on_holds_up_and_cuts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        try:
            host, port = proxy.address.removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port)), timeout=20) as near:
                far, _ = server.accept()
                with far:
                    near.sendall(b"there")
                    assert far.recv(5) == b"there"
                    proxy.delay(3600)
                    far.sendall(b"back")
                    near.settimeout(0.2)
                    with pytest.raises(TimeoutError):
                        near.recv(4)
                    near.settimeout(20)
                    proxy.delay(0)
                    proxy.abort()
                    with pytest.raises(ConnectionError):
                        near.recv(4)
        finally:
            proxy.close()
