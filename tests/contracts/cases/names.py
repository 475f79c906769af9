"""Names of all kinds: unicode, brackets, commas, very long, all the same, like keys of Dask."""

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.engine.state import Failed, Success, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give

NAMES = [
    "ünïcode ✓ 名前 🚀",
    "brackets [1] (2) {3} <4>",
    "commas, 'quotes' and \"double\" ones",
    "('tuple', 1)",
    "{braces} %s %(percent)d",
    "new\nline\ttab",
    "slash/back\\slash:colon;semi",
    "trailing-0123456789abcdef0123456789abcdef",
    "a-1-2-3",
    "-",
    " ",
    "*",
    "x" * 300,
    "None",
    "finalize-run_node",
]


@task
def own_name():
    return context.task_name


@flow_case
def tasks_may_have_any_name():
    with Flow("flow [1], ünïcode ✓ 'quoted' {x} %s") as flow:
        named = {own_name(task_args={"name": name}): name for name in NAMES}
        below = give(list(named), task_args={"name": "all, [of them]"})
    return Case(
        flow,
        {**{t: Success(result=name) for t, name in named.items()}, below: Success(result=NAMES)},
    )


@flow_case
def many_tasks_may_have_the_same_name():
    with Flow("same") as flow:
        same = [give(i, task_args={"name": "same"}) for i in range(30)]
        all_ = give(same, task_args={"name": "same"})
    return Case(flow, {all_: Success(result=list(range(30)))})


@flow_case
def a_failure_is_told_by_any_name():
    with Flow("named failures") as flow:
        broken = fail("b%s{x}", task_args={"name": "f[0], 'ü' {x} %s"})
        below = add(broken, task_args={"name": "below, [1]"})
        last = add(below, task_args={"name": "last"})
    return Case(
        flow,
        {
            broken: Failed("b%s{x}"),
            below: TriggerFailed("failed: b%s{x}"),
            last: TriggerFailed("'last' did not run: 'below, [1]' <- "),
        },
        outcome=Failed,
    )


@flow_case
def parameters_and_tags_may_have_any_name():
    with Flow("named parameters") as flow:
        both = give([Parameter("ünï ✓, [1]", default=1), Parameter("a-b c", default=2)])
        tagged = own_name(task_args={"name": "t", "tags": {"tag, [1]", "ü ✓", "dask-resource"}})
    return Case(
        flow,
        {both: Success(result=[1, 3]), tagged: Success(result="t")},
        run={"parameters": {"a-b c": 3}},
    )
