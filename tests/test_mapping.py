"""Marks on inputs, and apply_map."""

from typing import Any

import pytest

from prefect_dask import Edge, Flow, Task, apply_map, flatten, mapped, task, unmapped
from prefect_dask.mapping import read_marks
from prefect_dask.tasks.constants import Constant


@task
def numbers() -> list[int]:
    return [1, 2]


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


# ---- marks


@pytest.mark.parametrize(
    ("given", "by_default", "is_mapped", "is_flattened"),
    [
        (7, False, False, False),
        (7, True, True, False),
        (mapped(7), False, True, False),
        (unmapped(7), True, False, False),
        (flatten(7), False, False, True),
        (flatten(7), True, True, True),
        (mapped(unmapped(7)), False, True, False),
        (unmapped(mapped(7)), True, False, False),
        (unmapped(flatten(mapped(7))), True, False, True),
        (flatten(mapped(7)), False, True, True),
        (flatten(unmapped(7)), True, False, True),
    ],
)
def test_marks_nest_and_the_outer_one_wins(
    given: Any, by_default: bool, is_mapped: bool, is_flattened: bool
):
    assert read_marks(given, mapped=by_default) == (7, is_mapped, is_flattened)


def test_a_mark_shows_what_it_marks():
    assert repr(unmapped(flatten([1]))) == "unmapped(flatten([1]))"


def test_marks_end_up_on_edges():
    with Flow("f") as flow:
        many, one, nested = numbers(), numbers(), numbers()
        called = add(mapped(many), y=one)
        mapped_over = add.map(flatten(nested), y=unmapped(one))
        gathered = add(flatten(nested))
    assert flow.edges == {
        Edge(many, called, "x", mapped=True),
        Edge(one, called, "y"),
        Edge(nested, mapped_over, "x", mapped=True, flattened=True),
        Edge(one, mapped_over, "y"),
        Edge(nested, gathered, "x", flattened=True),
    }


def test_a_list_of_tasks_can_be_mapped_over():
    with Flow("f") as flow:
        mapped_over = add.map([numbers(), numbers()])
    (edge,) = flow.edges_to(mapped_over)
    assert edge.mapped and edge.upstream_task.name == "List"
    assert all(not e.mapped for e in flow.edges_to(edge.upstream_task))


# ---- apply_map


def test_apply_map_maps_every_task_that_the_function_builds():
    def twice_plus(x: Any, y: Any) -> Any:
        doubled = add(x, x)
        return add(doubled, y)

    with Flow("f") as flow:
        many, one = numbers(), numbers()
        last = apply_map(twice_plus, many, y=unmapped(one))
    (first,) = flow.upstream_tasks(last) - {one}
    assert flow.edges == {
        Edge(many, first, "x", mapped=True),
        Edge(many, first, "y", mapped=True),
        Edge(first, last, "x", mapped=True),
        Edge(one, last, "y", mapped=False),
    }


def test_apply_map_takes_values_marks_and_nested_tasks_as_map_does():
    def build(x: Any, y: Any, z: Any) -> Any:
        return add(x, [y, z])

    with Flow("f") as flow:
        last = apply_map(build, flatten([[1], [2]]), unmapped(5), [numbers(), 3])
    by_key = {edge.key: edge for edge in flow.edges_to(last)}
    assert (by_key["x"].mapped, by_key["x"].flattened) == (True, True)
    assert isinstance(by_key["x"].upstream_task, Constant)
    built = by_key["y"].upstream_task
    assert by_key["y"].mapped
    assert flow.constants[built] == {"0": 5}
    (inner,) = flow.edges_to(built)
    assert inner.mapped and inner.upstream_task.name == "List"


def test_what_the_function_builds_without_the_inputs_stays_one_task():
    with Flow("f") as flow:
        outside = numbers()

        def build(x: Any) -> Any:
            return add(add(x, numbers()), outside)

        last = apply_map(build, [1, 2])
    marks = {e.upstream_task.name: e.mapped for t in flow.tasks for e in flow.edges_to(t)}
    assert marks == {"[1, 2]": True, "numbers": False, "add": True}
    assert flow.terminal_tasks() == {last}


def test_apply_map_gives_what_the_function_gives_and_needs_a_flow():
    def build(x: Any) -> tuple[Task, Task]:
        return add(x), add(x, 2)

    with pytest.raises(ValueError, match="task 'build' was called outside a flow"):
        apply_map(build, [1])
    flow = Flow("f")
    first, second = apply_map(build, [1], flow=flow)
    assert {first, second} == flow.terminal_tasks()


def test_a_function_that_fails_adds_none_of_its_tasks():
    def build(x: Any) -> Any:
        add(x)
        raise KeyError

    with Flow("f") as flow:
        with pytest.raises(KeyError):
            apply_map(build, [1])
        one = numbers()
    assert one in flow
    assert not flow.get_tasks(name="add")


def test_a_task_made_outside_the_function_and_called_inside_is_in_use():
    with Flow("f") as flow:
        halve = Task("made here")
        apply_map(lambda x: [halve(upstream_tasks=[x])], [1, 2])
    assert len(flow.tasks) == 2
