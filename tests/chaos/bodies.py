"""A planned flow as a real one, and the bodies of its tasks, which tell an outside ledger that they ran."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect_dask import Flow, case, context, task, unmapped
from prefect_dask.engine.results import LocalResult
from prefect_dask.tasks.control_flow import merge
from tests.chaos import crash_points
from tests.chaos.plan import BIG_BYTES, SCARCE, Case, TaskPlan, items_of, value_of
from tests.chaos.traces import Traces
from tests.outside_ledger import Execution
from tests.waiting import wait_until

# Whichever process runs bodies imports them, and passes the points at which it may be killed.
crash_points.arm()

#: How long the last body waits for faults, seconds; what has not happened by then does not.
FAULTS_SECONDS = 30.0

#: A body that takes a while waits for this, which never comes.
_never = threading.Event()


def run_body(plan: TaskPlan, inputs: list[Any]) -> Any:
    """Run one body: tell that it begins, take its time, fail where that is planned, tell that it ends."""
    traces = Traces(context.traces)
    crash_points.reach("before execute")
    execution = traces.note_begin(context.epoch)
    try:
        return _result_of(plan, inputs, traces, execution)
    finally:
        traces.note_left(context.epoch, execution)


def _result_of(plan: TaskPlan, inputs: list[Any], traces: Traces, execution: Execution) -> Any:
    _never.wait(plan.seconds)
    if plan.is_last:
        with suppress(TimeoutError):
            wait_until(traces.faults_are_over, FAULTS_SECONDS)
    index, attempt = execution.map_index, execution.attempt
    if attempt <= plan.fails.get(index, 0):
        raise ValueError(f"attempt {attempt} of {plan.name}[{index}] is meant to fail")
    if plan.kind == "list":
        result: Any = [as_result(plan, each) for each in items_of(plan)]
    else:
        number = value_of(plan, index, [number_in(each) for each in flat(inputs)])
        result = as_result(plan, number % 2 if plan.kind == "branch" else number)
    traces.note_end(context.epoch, execution)
    crash_points.reach("after execute")
    return result


def as_result(plan: TaskPlan, number: int) -> Any:
    """A number as a task returns it: alone, or with so much beside it that it is kept in a file."""
    return (number, bytes([number % 251]) * BIG_BYTES) if plan.is_big else number


def number_in(result: Any) -> int:
    """The number of a result; raises ValueError where it is damaged."""
    if isinstance(result, int):
        return result
    number, padding = result
    if padding != bytes([number % 251]) * BIG_BYTES:
        raise ValueError(f"a result is not what was returned: {number}, {len(padding)} bytes")
    return int(number)


def flat(inputs: list[Any]) -> list[Any]:
    """Results, those of lists one by one; without what was skipped."""
    each = [i for one in inputs for i in (one if isinstance(one, list) else [one])]
    return [one for one in each if one is not None]


@task
def one(plan: TaskPlan, inputs: list[Any]) -> Any:
    return run_body(plan, inputs)


@task
def child(plan: TaskPlan, item: Any) -> Any:
    return run_body(plan, [item])


def flow_of(planned: Case, folder: Path) -> Flow:
    """The flow of a case; what has a named place is written below a folder."""
    made: dict[int, Any] = {}
    with Flow("chaos") as flow:
        for plan in planned.tasks:
            if plan.branch is None:
                made[plan.number] = _add(plan, made, folder)
            else:
                decides, way = plan.branch
                with case(made[decides], int(way)):
                    made[plan.number] = _add(plan, made, folder)
    return flow


def named_places(folder: Path) -> LocalResult:
    """Where results are that have names."""
    return LocalResult(folder / "named")


def _add(plan: TaskPlan, made: dict[int, Any], folder: Path) -> Any:
    above = [made[number] for number in plan.above]
    if plan.kind == "merge":
        return merge(*above)
    settings: dict[str, Any] = {
        "name": plan.name,
        # Tags would be a part of it.
        "slug": f"{plan.name}-1",
        "durable": "auto" if plan.is_durable else False,
    }
    if plan.is_scarce:
        settings |= {"tags": [SCARCE]}
    if plan.is_named:
        place = named_places(folder)
        place.location = f"{plan.name}-{{map_index}}" if plan.kind == "each" else plan.name
        settings |= {"result": place}
    if plan.retries:
        settings |= {"max_retries": plan.retries, "retry_delay": plan.retry_seconds}
    if plan.kind != "each":
        return one(plan, above, task_args=settings)
    settings |= {"max_in_flight": plan.max_in_flight}
    return child.map(unmapped(plan), above[0], task_args=settings)
