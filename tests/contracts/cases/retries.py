"""Failed attempts, and those that follow."""

from datetime import timedelta

from prefect_dask import Flow, context, task, triggers
from prefect_dask.engine.state import Failed, Skipped, Success, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import Broken, add, give, look, skip, total


@task
def succeed_at(attempt, kind=Broken):
    """Fails until an attempt; the number of the attempt."""
    if context.task_run_count < attempt:
        raise kind(f"attempt {context.task_run_count}")
    return context.task_run_count


def tiny_delay(attempt):
    return timedelta(milliseconds=attempt)


@flow_case
def a_failed_attempt_is_tried_again_at_once():
    with Flow("retry") as flow:
        second = succeed_at(2, task_args={"max_retries": 1, "retry_delay": 0})
        below = add(second)
        beside = give(1)
    return Case(
        flow,
        {second: Success(result=2), below: Success(result=3), beside: Success(result=1)},
    )


@flow_case
def delays_come_as_a_timedelta_a_list_or_a_function():
    with Flow("delays") as flow:
        wanted = {
            succeed_at(3, task_args={"max_retries": 4, "retry_delay": delay}): Success(result=3)
            for delay in (
                timedelta(milliseconds=10),
                0.01,
                [0, timedelta(milliseconds=10)],
                [0.01],
                tiny_delay,
                lambda attempt: timedelta(milliseconds=2 * attempt),
            )
        }
        jitter = succeed_at(
            2, task_args={"max_retries": 1, "retry_delay": 0.0, "retry_jitter": 1.0}
        )
    return Case(flow, {**wanted, jitter: Success(result=2)})


@flow_case
def attempts_are_used_up():
    with Flow("used up") as flow:
        never = succeed_at(10, task_args={"max_retries": 2, "retry_delay": 0})
        below = add(never)
    return Case(flow, {never: Failed("attempt 3"), below: TriggerFailed}, outcome=Failed)


@flow_case
def only_the_exceptions_named_are_worth_a_retry():
    rule = {"max_retries": 3, "retry_delay": 0}
    with Flow("retry_on") as flow:
        wanted = {
            succeed_at(2, KeyError, task_args={**rule, "retry_on": KeyError}): Success(result=2),
            succeed_at(2, KeyError, task_args={**rule, "retry_on": LookupError}): Success(result=2),
            succeed_at(2, KeyError, task_args={**rule, "retry_on": (OSError, KeyError)}): (
                Success(result=2)
            ),
            succeed_at(2, KeyError, task_args={**rule, "retry_on": OSError}): Failed("attempt 1"),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def what_lies_below_waits_for_the_last_attempt_whatever_its_trigger():
    rule = {"max_retries": 2, "retry_delay": 0}
    with Flow("triggers and retries") as flow:
        third, never = succeed_at(3, task_args=rule), succeed_at(9, task_args=rule)
        wanted = {
            look(third, task_args={"trigger": triggers.all_finished}): Success(result="3"),
            look(third, task_args={"trigger": triggers.any_failed}): TriggerFailed,
            look(never, task_args={"trigger": triggers.any_failed}): (
                Success(result="Broken: attempt 3")
            ),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def many_tasks_retry_at_once():
    rule = {"max_retries": 3, "retry_delay": 0}
    with Flow("many retries") as flow:
        tried = [succeed_at(1 + i % 4, task_args=rule) for i in range(24)]
        all_ = total(tried)
    return Case(flow, {all_: Success(result=sum(1 + i % 4 for i in range(24)))})


@flow_case
def a_chain_of_tasks_that_retry_comes_to_its_end():
    @task(max_retries=2, retry_delay=0)
    def stumble(x):
        if context.task_run_count < 3:
            raise Broken("stumbled")
        return x + 1

    with Flow("stumbling") as flow:
        last = give(0)
        for _ in range(6):
            last = stumble(last)
    return Case(flow, {last: Success(result=6)})


@flow_case
def a_task_that_retries_sees_its_inputs_anew():
    @task(max_retries=1, retry_delay=0)
    def empty_it(items):
        if context.task_run_count == 1:
            raise Broken(f"{len(items)} items")
        return len(items)

    with Flow("inputs") as flow:
        two = empty_it(give(["a", "b"]))
    return Case(flow, {two: Success(result=2)})


@flow_case
def a_task_below_retries_and_skips_is_skipped():
    with Flow("skips and retries") as flow:
        tried = succeed_at(2, task_args={"max_retries": 1, "retry_delay": 0})
        both = look(tried, upstream_tasks=[skip()])
        either = look(tried, upstream_tasks=[skip()], task_args={"skip_on_upstream_skip": False})
    return Case(flow, {both: Skipped, either: Success(result="2")})
