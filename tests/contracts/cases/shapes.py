"""Flows of many shapes: empty, one task, wide, deep, diamonds, trees, layers, edges without data."""

from prefect_dask import Edge, Flow, task
from prefect_dask.engine.outcome import TaskStates
from prefect_dask.engine.state import Failed, Success, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look, total


@flow_case
def an_empty_flow_succeeds():
    return Case(Flow("empty"), {}, outcome=Success(result=TaskStates()))


@flow_case
def a_flow_of_one_task_runs():
    with Flow("one") as flow:
        only = give("only")
    return Case(flow, {only: Success(result="only")})


@flow_case
def unconnected_tasks_all_run():
    with Flow("islands") as flow:
        islands = [give(i) for i in range(10)]
    return Case(flow, {island: Success(result=i) for i, island in enumerate(islands)})


@flow_case
def a_diamond_comes_together():
    """
      top
     /   \\
    left right
     \\   /
     bottom
    """
    with Flow("diamond") as flow:
        top = give(1)
        left, right = add(top, 10), add(top, 100)
        bottom = add(left, right)
    return Case(flow, {bottom: Success(result=112)})


@flow_case
def a_wide_flow_comes_together():
    with Flow("wide") as flow:
        all_ = total([add(i, 1) for i in range(200)])
    return Case(flow, {all_: Success(result=sum(range(1, 201)))})


@flow_case
def a_deep_flow_comes_to_its_end():
    with Flow("deep") as flow:
        last = give(0)
        for _ in range(200):
            last = add(last)
    return Case(flow, {last: Success(result=200)})


@flow_case
def a_failure_passes_down_a_deep_flow():
    with Flow("deep failure") as flow:
        tasks = [fail("at the top")]
        for _ in range(30):
            tasks.append(add(tasks[-1]))
    return Case(
        flow,
        {tasks[0]: Failed("at the top"), tasks[1]: TriggerFailed, tasks[-1]: TriggerFailed},
        outcome=Failed,
    )


@flow_case
def a_tree_is_reduced():
    with Flow("tree") as flow:
        level = [give(i) for i in range(32)]
        while len(level) > 1:
            level = [add(a, b) for a, b in zip(level[::2], level[1::2], strict=True)]
    return Case(flow, {level[0]: Success(result=sum(range(32)))})


@flow_case
def full_layers_run_one_after_the_other():
    with Flow("layers") as flow:
        layer = [give(1) for _ in range(6)]
        for _ in range(4):
            layer = [total(list(layer)) for _ in range(6)]
    return Case(flow, {t: Success(result=6**4) for t in layer})


@flow_case
def an_edge_without_data_only_orders():
    with Flow("state-only edges") as flow:
        first = give("not passed on")
        second = look("own", upstream_tasks=[first])
        third = give(3)
        third.set_upstream(second)
        fourth = give(4)
        third | fourth
    return Case(flow, {second: Success(result="'own'"), fourth: Success(result=4)})


@flow_case
def a_failure_passes_along_an_edge_without_data():
    with Flow("state-only failure") as flow:
        stopped = give(1, upstream_tasks=[fail("first"), give(2)])
    return Case(flow, {stopped: TriggerFailed}, outcome=Failed)


@flow_case
def a_failed_task_leaves_its_siblings_alone():
    with Flow("two branches") as flow:
        broken, sound = fail("left"), give(1)
        below_broken, below_sound = add(broken), add(sound)
    return Case(
        flow,
        {
            broken: Failed("left"),
            sound: Success(result=1),
            below_broken: TriggerFailed("'add' did not run: 'fail' failed: left"),
            below_sound: Success(result=2),
        },
        outcome=Failed,
    )


@flow_case
def a_flow_written_imperatively_runs():
    one, two, both = give.copy(name="one"), give.copy(name="two"), add.copy()
    last = look.copy(name="last")
    flow = Flow("imperative", edges=[Edge(one, both, "x"), Edge(two, both, "y")])
    flow.set_dependencies(one, keyword_tasks={"value": 1})
    flow.set_dependencies(two, keyword_tasks={"value": 2})
    flow.add_edge(both, last, key="x")
    flow.chain(one, two)
    return Case(flow, {both: Success(result=3), last: Success(result="3")})


@flow_case
def steps_written_as_a_pipe_run_in_their_order():
    with Flow("pipe") as flow:
        last = give(1).pipe(add, y=4).pipe(add, y=give(5)).pipe(look)
    return Case(flow, {last: Success(result="10")})


@flow_case
def a_flow_made_of_two_runs_both():
    with Flow("one") as flow:
        one = give(1)
    with Flow("other") as other:
        two = add(give(1))
    flow.update(other)
    flow.set_dependencies(look.copy(), upstream_tasks=[one, two])
    return Case(flow, {one: Success(result=1), two: Success(result=2)})


@flow_case
def a_replaced_task_keeps_its_place():
    with Flow("replaced") as flow:
        old = give(1)
        below = add(old)
    new = task(lambda value: value * 100, name="new")
    flow.replace(old, new)
    return Case(flow, {new: Success(result=100), below: Success(result=101)})


@flow_case
def tasks_run_in_their_order_and_never_at_the_same_time_as_what_they_wait_for(folder):
    """Each task of a chain adds a line to one file."""

    @task
    def write(line, after=None):
        with open(folder / "lines", "a") as file:
            file.write(f"{line}\n")

    @task
    def read(after):
        return (folder / "lines").read_text().split()

    with Flow("order") as flow:
        last = None
        for line in range(20):
            last = write(line, after=last)
        lines = read(last)
    return Case(flow, {lines: Success(result=[str(line) for line in range(20)])})
