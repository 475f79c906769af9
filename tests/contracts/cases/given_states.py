"""Runs that begin with states: `flow.run(task_states=…, state=…)`."""

from datetime import timedelta

from prefect_dask import Flow, context, task, triggers
from prefect_dask.engine import clock
from prefect_dask.engine.state import (
    Cached,
    Cancelled,
    Crashed,
    Failed,
    Paused,
    Pending,
    Queued,
    Resume,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    Submitted,
    Success,
    TimedOut,
    TriggerFailed,
)
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import Broken, add, fail, give, look


@task
def count_runs(x=None):
    return [context.task_run_count, context.task_loop_count, context.get("resume")]


@flow_case
def finished_states_are_taken_as_they_are():
    with Flow("finished") as flow:
        names = ("ok", "skipped", "failed", "timed out", "crashed", "trigger failed", "cancelled")
        above = [fail(task_args={"name": name}) for name in names]
        below = [
            look(t, task_args={"trigger": triggers.all_finished, "skip_on_upstream_skip": False})
            for t in above
        ]
    given = dict(
        zip(
            above,
            [
                Success("from before", result=41),
                Skipped("from before"),
                Failed("from before", result=Broken("old")),
                TimedOut("from before", result=TimeoutError("old")),
                Crashed("from before", result=MemoryError("old")),
                TriggerFailed("from before"),
                Cancelled("from before"),
            ],
            strict=True,
        )
    )
    seen = ["41", "None", "Broken: old", "TimeoutError: old", "MemoryError: old", "None", "None"]
    return Case(
        flow,
        {**given, **{t: Success(result=text) for t, text in zip(below, seen, strict=True)}},
        run={"task_states": given},
    )


@flow_case
def only_what_is_unfinished_runs():
    with Flow("second run") as flow:
        first = fail("must not run again")
        second = add(first)
        third = add(second)
    given = {first: Success(result=1), third: Success("done", result="from before")}
    return Case(
        flow,
        {first: Success(result=1), second: Success(result=2), third: given[third]},
        run={"task_states": given},
    )


@flow_case
def a_given_failure_decides_the_flow():
    with Flow("given failure") as flow:
        broken, sound = give(1), give(2)
        below = add(sound)
    return Case(
        flow,
        {broken: Failed("from before"), below: Success(result=3)},
        outcome=Failed,
        run={"task_states": {broken: Failed("from before", result=Broken("old"))}},
    )


@flow_case
def a_given_cached_state_is_looked_at_again():
    with Flow("given cached") as flow:
        cached = give(1)
        below = add(cached)
    return Case(flow, {below: Success}, run={"task_states": {cached: Cached(result=10)}})


@flow_case
def pending_and_meta_states_are_unwrapped_and_run():
    with Flow("unwrapped") as flow:
        above = [count_runs(task_args={"name": f"task {i}"}) for i in range(6)]
        below = [look(t) for t in above]
    given = dict(
        zip(
            above,
            [
                Pending("again"),
                Submitted("handed on", state=Pending()),
                Queued("in line", state=Submitted(state=Retrying(run_count=2))),
                Scheduled(start_time=clock.utc_now() - timedelta(hours=1)),
                Retrying(run_count=4),
                Resume("go on"),
            ],
            strict=True,
        )
    )
    facts = [
        [1, 1, False],
        [1, 1, False],
        [3, 1, False],
        [1, 1, False],
        [5, 1, False],
        [1, 1, True],
    ]
    states = {t: Success(result=fact) for t, fact in zip(above, facts, strict=True)}
    states |= {t: Success(result=repr(fact)) for t, fact in zip(below, facts, strict=True)}
    return Case(flow, states, run={"task_states": given})


@flow_case
def a_scheduled_task_starts_at_its_time():
    with Flow("scheduled") as flow:
        later, now = give("later"), give("now")
        both = give([later, now])
    at = clock.utc_now() + timedelta(seconds=0.3)
    return Case(
        flow,
        {later: Success(result="later"), both: Success(result=["later", "now"])},
        run={"task_states": {later: Scheduled(start_time=at)}},
    )


@flow_case
def several_scheduled_tasks_start_at_their_times():
    with Flow("several times") as flow:
        waits = [give(i) for i in range(5)]
        chain = add(waits[4], add(waits[0]))
    given = {
        t: Scheduled(start_time=clock.utc_now() + timedelta(seconds=0.1 * (5 - i)))
        for i, t in enumerate(waits)
    }
    return Case(flow, {chain: Success(result=5)}, run={"task_states": given})


@flow_case
def a_paused_task_stays_paused_until_resumed():
    with Flow("paused") as flow:
        waits, beside = give(1), give(2)
        below = add(waits, beside)
    return Case(
        flow,
        {waits: Paused("from before"), beside: Success(result=2), below: Pending},
        outcome=Paused,
        run={"task_states": {waits: Paused("from before")}},
    )


@flow_case
def a_task_below_a_given_state_may_be_given_too():
    with Flow("below") as flow:
        top = give(1)
        middle = add(top)
        bottom = add(middle)
    given = {top: Retrying(run_count=1), middle: Resume(), bottom: Scheduled()}
    return Case(flow, {bottom: Success(result=3)}, run={"task_states": given})


@flow_case
def a_task_that_runs_elsewhere_is_left_alone():
    with Flow("running elsewhere") as flow:
        running = give(1)
        below, beside = add(running), give(2)
    return Case(
        flow,
        {running: Running, below: Pending, beside: Success(result=2)},
        outcome=Pending,
        run={"task_states": {running: Running()}},
    )


@flow_case
def a_finished_flow_is_not_run():
    with Flow("finished flow") as flow:
        fail()
    return Case(
        flow,
        {},
        outcome=Success("from before", result="kept"),
        run={"state": Success("from before", result="kept")},
    )


@flow_case
def a_flow_is_run_from_any_unfinished_state():
    with Flow("scheduled flow") as flow:
        one = give(1)
    return Case(flow, {one: Success(result=1)}, run={"state": Scheduled()})


@flow_case
def large_given_results_arrive():
    with Flow("large given") as flow:
        given = give()
        sizes = [look(given[i : i + 2]) for i in range(3)]
    states = {given: Success(result=b"abcdef" + bytes(1_000_000))}
    return Case(flow, {sizes[1]: Success(result="b'bc'")}, run={"task_states": states})
