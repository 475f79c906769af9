"""A flow describes itself to the engine once, and anew when something about it has changed."""

import pytest

from prefect_dask import Flow, Parameter, task
from prefect_dask.tasks.constants import Constant


@task
def add(x: int, y: int = 1) -> int:
    return x + y


def written() -> Flow:
    with Flow("written") as flow:
        add(add(Parameter("start", default=1)), y=2, task_args={"name": "last"})
        add.map([1, 2, 3])
    return flow


def task_named(flow, name):
    return next(t for t in flow.tasks if t.name == name)


def test_nothing_is_described_twice():
    flow = written()
    assert flow.describe() is flow.describe()


CHANGES = {
    "a task": lambda f: f.add_task(add.copy()),
    "an edge": lambda f: f.add_edge(task_named(f, "start"), task_named(f, "last")),
    "a constant": lambda f: f.set_constant(task_named(f, "last"), "y", 3),
    "a constant, in place": lambda f: f.constants[task_named(f, "last")].update(y=3),
    "a constant, taken away": lambda f: f.constants[task_named(f, "last")].clear(),
    "what decides": lambda f: f.set_reference_tasks([task_named(f, "add")]),
    "another task in its place": lambda f: f.replace(task_named(f, "last"), add.copy()),
    "a task's name": lambda f: setattr(task_named(f, "last"), "name", "the end"),
    "a task's tags": lambda f: task_named(f, "last").tags.add("late"),
    "what is secret": lambda f: setattr(task_named(f, "last"), "is_secret", True),
    "a Constant's value": lambda f: setattr(
        next(t for t in f.tasks if isinstance(t, Constant)), "value", [1, 2]
    ),
    "the flow's name": lambda f: setattr(f, "name", "renamed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_described_anew(change):
    flow = written()
    before = flow.describe()

    CHANGES[change](flow)

    after = flow.describe()
    assert after is not before
    assert plain(after) != plain(before)
    assert plain(after) == plain(flow.copy().describe()), "as a flow that was never described"


def plain(graph) -> list:
    """A flow graph as values that can be compared."""
    nodes = [
        (
            *(node.label.name, node.label.tags, node.label.is_secret, node.is_reference),
            *(dict(node.constants), repr(node.known_result), node.runs_anew),
        )
        for node in graph.nodes
    ]
    edges = [(e.upstream_task.index, e.downstream_task.index, e.key) for e in graph.edges]
    return [graph.name, nodes, edges]


def test_a_constant_of_the_same_value_does_not_count_as_the_same():
    """Only the very object does: values are not compared, an array has no truth."""
    flow = written()
    before = flow.describe()
    flow.constants[task_named(flow, "last")]["y"] = big = [1000]
    flow.describe()
    flow.constants[task_named(flow, "last")]["y"] = list(big)

    assert flow.describe() is not before
    assert flow.describe().nodes[-1] is flow.describe().nodes[-1]
