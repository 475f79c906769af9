"""A flaky service: retries, an alert that runs only if all fails, and tasks that always run."""

from datetime import timedelta

import prefect
from prefect import Flow, task
from prefect.engine import signals
from prefect.triggers import all_failed, all_finished, any_successful


@task(max_retries=3, retry_delay=timedelta(milliseconds=10))
def flaky():
    attempt = prefect.context.task_run_count
    if attempt < 3:
        raise ConnectionError(f"attempt {attempt}: no answer")
    return f"answered at attempt {attempt}"


@task(max_retries=1, retry_delay=timedelta(milliseconds=10))
def broken():
    raise signals.FAIL("out of order")


@task(timeout=0.2)
def slow():
    while True:
        pass


@task(trigger=all_failed)
def alert(what):
    return f"alert: {what}"


@task(trigger=any_successful)
def report(*, first, second):
    return [value for value in (first, second) if isinstance(value, str)]


@task(trigger=all_finished)
def clean_up():
    return "cleaned up"


with Flow("flaky service") as flow:
    answer = flaky()
    nothing = broken()
    late = slow()
    alarm = alert(nothing)
    lines = report(first=answer, second=nothing)
    end = clean_up(upstream_tasks=[lines, alarm, late])
    flow.set_reference_tasks([lines, end])

if __name__ == "__main__":
    state = flow.run()
    for each in (answer, nothing, alarm):
        print(each.name, type(state.result[each]).__name__, state.result[each].message)
    print(type(state.result[late]).__name__, "timed out" in state.result[late].message)
    print(state.result[alarm].result)
    print(state.result[lines].result, state.result[end].result, state.is_successful())
