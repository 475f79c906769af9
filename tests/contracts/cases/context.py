"""What a running task may ask, what it prints and logs, how its runs are named."""

import re
from datetime import datetime, timedelta

from prefect_dask import Flow, Parameter, Task, context, tags, task
from prefect_dask.engine.state import Failed, Success
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import give


@task
def facts(*, names):
    return {name: context.get(name) for name in names}


@task
def run_name(x=None):
    return context.task_run_name


@flow_case
def a_task_knows_its_names_and_counts():
    names = ["flow_name", "task_name", "task_full_name", "task_slug", "task_tags", "map_index"]
    names += ["task_run_count", "task_loop_count", "task_loop_result", "task_run_name", "resume"]
    with Flow("the flow") as flow:
        first = facts(names=names, task_args={"tags": {"b", "a"}, "name": "ask"})
        second = facts(names=names, task_args={"name": "ask"})
    common = {
        "flow_name": "the flow",
        "task_name": "ask",
        "task_full_name": "ask",
        "map_index": None,
        "task_run_count": 1,
        "task_loop_count": 1,
        "task_loop_result": None,
        "task_run_name": "ask",
        "resume": False,
    }
    return Case(
        flow,
        {
            first: Success(result={**common, "task_slug": "ask-a-b-1", "task_tags": {"a", "b"}}),
            second: Success(result={**common, "task_slug": "ask-1", "task_tags": set()}),
        },
    )


@flow_case
def a_task_knows_its_run_and_the_dates():
    @task
    def check():
        now = context.date
        return {
            "run id": bool(re.fullmatch("[0-9a-f]{32}", context.flow_run_id)),
            "run name": context.flow_run_name.startswith("facts"),
            "task run id": context.flow_run_id in context.task_run_id,
            "key": isinstance(context.idempotency_key, str),
            "aware": now.utcoffset() == timedelta(0),
            "today": context.today == now.strftime("%Y-%m-%d"),
            "tomorrow": context.tomorrow == (now + timedelta(days=1)).strftime("%Y-%m-%d"),
            "yesterday": context.yesterday == (now - timedelta(days=1)).strftime("%Y-%m-%d"),
            "nodash": context.today_nodash == context.today.replace("-", ""),
            "scheduled": isinstance(context.scheduled_start_time, datetime),
            "logger": context.logger.name,
            "config": context.config.logging.level,
        }

    with Flow("facts") as flow:
        checked = check()
    wanted = {
        **dict.fromkeys(["run id", "run name", "task run id", "key", "aware", "scheduled"], True),
        **dict.fromkeys(["today", "tomorrow", "yesterday", "nodash"], True),
        "logger": "prefect_dask.check",
        "config": "INFO",
    }
    return Case(flow, {checked: Success(result=wanted)})


@flow_case
def what_the_caller_passes_in_the_context_wins():
    names = ["today", "own", "parameters"]
    with Flow("context") as flow:
        Parameter("p", default=1)()
        told = facts(names=names)
    return Case(
        flow,
        {
            told: Success(
                result={"today": "1999-12-31", "own": [1, {"a": 2}], "parameters": {"p": 5}}
            )
        },
        run={"context": {"today": "1999-12-31", "own": [1, {"a": 2}]}, "p": 5},
    )


@flow_case
def parameters_may_come_from_the_context():
    with Flow("parameters in context") as flow:
        given, default = Parameter("given"), Parameter("default", default="d")
        both = give([given, default])
    return Case(
        flow,
        {both: Success(result=["from context", "d"])},
        run={"context": {"parameters": {"given": "from context"}}},
    )


@flow_case
def facts_do_not_leak_from_one_task_to_the_next():
    @task
    def leave_something():
        context.left = "something"
        context.today = "never"
        return context.left

    @task
    def look_for_it(after):
        return [context.get("left"), context.today == "never"]

    with Flow("leaks") as flow:
        last = leave_something()
        for _ in range(4):
            last = look_for_it(last)
    return Case(flow, {last: Success(result=[None, False])})


@flow_case
def states_carry_the_tags_of_their_tasks():
    with tags("outer"), Flow("tags") as flow:
        with tags("inner", "also"):
            tagged = give(1, task_args={"tags": ["own"]})
        outer = give(2)
        broken = give(1) / give(0)
        plain = Parameter("p", default=1, tags=["of a parameter"])()
    wanted = ["also", "inner", "outer", "own"]
    return Case(
        flow,
        {
            tagged: Success(result=1, context={"tags": wanted}),
            outer: Success(result=2, context={"tags": ["outer"]}),
            broken: Failed(context={"tags": ["outer"]}),
            plain: Success(result=1, context={"tags": ["of a parameter", "outer"]}),
        },
        outcome=Failed,
    )


@flow_case
def runs_are_named_by_a_template_or_a_function():
    def name_it(**facts):
        return f"{facts['task_name']} of {facts['x']}"

    with Flow("run names") as flow:
        wanted = {
            run_name("é", task_args={"task_run_name": "{task_name}-{x}-{flow_name}"}): (
                Success(result="run_name-é-run names")
            ),
            run_name(give(3), task_args={"task_run_name": name_it}): (
                Success(result="run_name of 3")
            ),
            run_name(1, task_args={"task_run_name": "fixed"}): Success(result="fixed"),
            run_name(1, task_args={"task_run_name": "{missing}"}): Failed("task_run_name"),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def lines_that_a_task_logs_come_home_in_order():
    @task
    def log():
        for number in range(3):
            context.logger.info("line %d", number)
        log_by_class = Task(name="other").logger
        log_by_class.warning("from elsewhere")
        context.logger.debug("too low")

    with Flow("lines") as flow:
        first = log()
        second = log(upstream_tasks=[first])
    return Case(flow, {second: Success(result=None)})


@flow_case
def what_a_task_prints_is_logged_where_it_asks_for_that():
    @task(log_stdout=True)
    def say(what):
        print(what)
        print("two", "words", sep=" - ")
        print("no end", end="")
        return len(what)

    @task(log_stdout=True, timeout=20)
    def say_in_time():
        print("in time")

    @task(log_stdout=True)
    def say_and_fail():
        print("last words ünïcode ✓")
        raise ValueError("and gone")

    with Flow("prints") as flow:
        said = say("hello")
        in_time = say_in_time()
        gone = say_and_fail()
    return Case(
        flow,
        {said: Success(result=5), in_time: Success(result=None), gone: Failed("and gone")},
        outcome=Failed,
    )
