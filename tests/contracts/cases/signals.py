"""Signals of each kind, and what else ends a body."""

import sys
from datetime import timedelta

from prefect_dask import Flow, context, task, triggers
from prefect_dask.engine import clock, signals
from prefect_dask.engine.state import (
    Cached,
    Cancelled,
    Failed,
    Paused,
    Pending,
    Skipped,
    Success,
    TriggerFailed,
    ValidationFailed,
)
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, give, look


@task
def raise_signal(kind, message=None, **arguments):
    raise getattr(signals, kind)(message, **arguments)


@task
def end_with(state):
    raise signals.ENDRUN(state)


@flow_case
def each_signal_becomes_its_state():
    with Flow("signals") as flow:
        wanted = {
            raise_signal("FAIL", "no"): Failed("no"),
            raise_signal("TRIGGERFAIL", "not now"): TriggerFailed("not now"),
            raise_signal("VALIDATIONFAIL", "wrong"): ValidationFailed("wrong"),
            raise_signal("SUCCESS", "early"): Success,
            raise_signal("SUCCESS", "early", result=7): Success("early", result=7),
            raise_signal("SKIP", "not today"): Skipped("not today"),
            raise_signal("FAIL", "with a result", result=[1, 2]): Failed(result=[1, 2]),
            raise_signal("SKIP"): Skipped,
            raise_signal("FAIL"): Failed,
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def what_lies_below_meets_the_state_that_a_signal_made():
    with Flow("below signals") as flow:
        all_finished = {"trigger": triggers.all_finished}
        wanted = {
            add(raise_signal("SUCCESS", result=1)): Success(result=2),
            add(raise_signal("FAIL", "no")): TriggerFailed,
            add(raise_signal("SKIP")): Skipped,
            look(raise_signal("FAIL", "no"), task_args=all_finished): Success(result="FAIL: no"),
            look(raise_signal("FAIL", "no", result=3), task_args=all_finished): (
                Success(result="3")
            ),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_signal_passes_by_the_users_except_exception():
    @task
    def careful():
        try:
            raise signals.SKIP("on purpose")
        except Exception:
            return "caught"

    with Flow("except Exception") as flow:
        skipped = careful()
    return Case(flow, {skipped: Skipped("on purpose")})


@flow_case
def a_pause_leaves_the_flow_paused():
    with Flow("pause") as flow:
        asks = raise_signal("PAUSE", "may I?")
        below = look(asks)
        beside = give(1)
    return Case(
        flow,
        {asks: Paused("may I?"), below: Pending, beside: Success(result=1)},
        outcome=Paused("raise_signal"),
    )


@flow_case
def a_pause_with_a_time_goes_on_by_itself(folder):
    @task
    def pause_once():
        if not (folder / "paused").exists():
            (folder / "paused").touch()
            at = clock.to_datetime(clock.now() + 0.1)
            raise signals.PAUSE("for a moment", start_time=at)
        return "went on"

    with Flow("pause for a moment") as flow:
        once = pause_once()
        below = look(once)
    return Case(flow, {once: Success(result="went on"), below: Success(result="'went on'")})


@flow_case
def a_retry_signal_tries_again_whatever_max_retries_says():
    @task
    def third_time():
        if context.task_run_count < 3:
            raise signals.RETRY("once more")
        return context.task_run_count

    with Flow("RETRY") as flow:
        again = third_time()
        below = add(again)
    return Case(flow, {again: Success(result=3), below: Success(result=4)})


@flow_case
def a_retry_signal_waits_until_its_time():
    @task
    def later():
        if context.task_run_count == 1:
            context.logger.info("first attempt")
            raise signals.RETRY(start_time=clock.utc_now() + timedelta(seconds=0.2))
        return (clock.utc_now() - context.scheduled_start_time).total_seconds() >= 0.2

    with Flow("RETRY at") as flow:
        waited = later()
    return Case(flow, {waited: Success(result=True)})


@flow_case
def a_loop_signal_runs_the_body_again_with_what_it_was_given():
    @task
    def factorial(n):
        result = context.task_loop_result or 1
        count = context.task_loop_count
        if count > n:
            return result
        raise signals.LOOP(f"turn {count}", result=result * count)

    with Flow("LOOP") as flow:
        product = factorial(5)
        none = factorial(0)
        below = add(product)
    return Case(
        flow,
        {product: Success(result=120), none: Success(result=1), below: Success(result=121)},
    )


@flow_case
def a_loop_may_end_in_any_way():
    @task
    def turn(end):
        if context.task_loop_count < 3:
            raise signals.LOOP(result=context.task_loop_count)
        if end == "exception":
            raise ValueError(f"after {context.task_loop_result} turns")
        raise getattr(signals, end)("the end")

    with Flow("ends of loops") as flow:
        wanted = {
            turn("exception"): Failed("after 2 turns"),
            turn("SKIP"): Skipped("the end"),
            turn("SUCCESS"): Success,
            turn("FAIL"): Failed("the end"),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_retry_inside_a_loop_resumes_at_that_turn():
    @task(max_retries=1, retry_delay=0)
    def turns():
        seen = context.task_loop_result or []
        if context.task_loop_count == 3 and context.task_run_count == 1:
            raise ValueError("in the third turn")
        if len(seen) == 4:
            return seen
        raise signals.LOOP(result=[*seen, (context.task_loop_count, context.task_run_count)])

    with Flow("retry in a loop") as flow:
        seen = turns()
    return Case(flow, {seen: Success(result=[(1, 1), (2, 1), (3, 2), (4, 2)])})


@flow_case
def endrun_stops_all_processing_with_its_state():
    handled = {"max_retries": 3, "retry_delay": 0}
    with Flow("ENDRUN") as flow:
        wanted = {
            end_with(Success("enough", result=5)): Success("enough", result=5),
            end_with(Failed("no more")): Failed("no more"),
            end_with(Failed("not tried again"), task_args=handled): Failed("not tried again"),
            end_with(Skipped("left out")): Skipped("left out"),
            end_with(Cancelled("called off")): Cancelled("called off"),
            add(end_with(Success(result=5))): Success(result=6),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def endrun_with_a_cached_state_counts_as_success():
    with Flow("ENDRUN cached") as flow:
        cached = end_with(Success(result=1))
        kept = end_with(Cached(result=2))
        below = add(cached, 1)
    return Case(flow, {cached: Success(result=1), below: Success(result=2), kept: Cached})


@flow_case
def each_kind_of_exception_fails_its_task():
    class Own(Exception):
        def __init__(self, code, *, hint="none"):
            super().__init__(f"code {code}")
            self.code, self.hint = code, hint

        def __reduce__(self):
            return _own, (type(self), self.code)

    def _own(kind, code):
        return kind(code)

    class NotAnException(BaseException):
        pass

    @task
    def raise_it(make):
        raise make()

    with Flow("exceptions") as flow:
        wanted = {
            raise_it(lambda: ValueError("a value")): Failed("a value"),
            raise_it(lambda: ValueError()): Failed("ValueError"),
            raise_it(lambda: KeyError("key")): Failed("'key'"),
            raise_it(lambda: OSError(2, "No such file", "x.txt")): Failed("No such file"),
            raise_it(lambda: ValueError(1, [2], {"three": 3})): Failed,
            raise_it(lambda: Own(17, hint="look")): Failed("code 17"),
            raise_it(lambda: NotAnException("by hand")): Failed("by hand"),
            raise_it(lambda: ValueError("ünïcode ✓\nsecond line")): Failed(
                "ünïcode ✓\nsecond line"
            ),
            raise_it(lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")): Failed("bad"),
            raise_it(lambda: StopIteration(3)): Failed,
            raise_it(lambda: GeneratorExit()): Failed,
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def leaving_by_exit_fails_only_that_task():
    @task
    def leave():
        sys.exit(3)

    with Flow("exit") as flow:
        left = leave()
        beside = give(1)
    return Case(flow, {left: Failed("3"), beside: Success(result=1)}, outcome=Failed)


@flow_case
def an_exception_raised_from_another_keeps_its_own_text():
    @task
    def chain_of_causes():
        try:
            [][0]
        except IndexError as error:
            raise RuntimeError("cannot go on") from error

    with Flow("causes") as flow:
        broken = chain_of_causes()
    return Case(flow, {broken: Failed("cannot go on")}, outcome=Failed)


@flow_case
def endless_recursion_fails_its_task():
    @task
    def recurse():
        def again(n):
            return again(n + 1) + 1

        try:
            return again(0)
        except RecursionError as error:
            raise RecursionError("too deep") from error

    with Flow("recursion") as flow:
        deep = recurse()
    return Case(flow, {deep: Failed("too deep")}, outcome=Failed)
