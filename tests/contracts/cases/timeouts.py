"""Bodies that have a time limit."""

from datetime import timedelta

from prefect_dask import Flow, context, task
from prefect_dask.engine.state import Failed, Skipped, Success, TimedOut, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look, skip, take_long


@flow_case
def a_body_that_takes_too_long_times_out():
    with Flow("timeout") as flow:
        late = take_long(task_args={"timeout": 0.2})
        below, beside = add(late), give(1)
    return Case(
        flow,
        {late: TimedOut("timed out"), below: TriggerFailed, beside: Success(result=1)},
        outcome=Failed,
    )


@flow_case
def a_body_that_is_in_time_is_not_disturbed():
    limit = {"timeout": timedelta(seconds=20)}
    with Flow("in time") as flow:
        wanted = {
            give(1, task_args=limit): Success(result=1),
            fail("soon", task_args=limit): Failed("soon"),
            take_long(0.01, task_args=limit): Success(result=None),
            skip(task_args=limit): Skipped("not today"),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_timed_out_attempt_is_tried_again():
    @task(timeout=0.3, max_retries=1, retry_delay=0)
    def slow_at_first():
        if context.task_run_count == 1:
            take_long.run(30)
        return context.task_run_count

    with Flow("second time") as flow:
        second = slow_at_first()
        below = add(second)
    return Case(flow, {second: Success(result=2), below: Success(result=3)})


@flow_case
def a_body_with_a_limit_knows_its_context():
    @task(timeout=20)
    def tell():
        return [context.task_name, context.task_run_count, context.get("extra")]

    with Flow("context under a limit") as flow:
        told = tell()
    return Case(
        flow, {told: Success(result=["tell", 1, "fact"])}, run={"context": {"extra": "fact"}}
    )


@flow_case
def a_body_in_its_own_process_gives_what_it_gives():
    isolated = {"isolation": "process"}

    @task(isolation="process")
    def tell(x):
        return [x, context.task_name, context.task_run_count, context.get("extra")]

    with Flow("isolation") as flow:
        wanted = {
            tell(give(1)): Success(result=[1, "tell", 1, "fact"]),
            fail("inside", task_args=isolated): Failed("inside"),
            look(skip(task_args=isolated), task_args={"skip_on_upstream_skip": False}): (
                Success(result="None")
            ),
        }
    return Case(flow, wanted, outcome=Failed, run={"context": {"extra": "fact"}})


@flow_case
def a_body_in_its_own_process_times_out():
    with Flow("isolated timeout") as flow:
        late = take_long(task_args={"timeout": 0.2, "isolation": "process"})
        beside = give(1)
    return Case(flow, {late: TimedOut("timed out"), beside: Success(result=1)}, outcome=Failed)
