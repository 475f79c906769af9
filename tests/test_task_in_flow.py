"""Tasks are called, bound, mapped and chained inside a flow."""

import time
import tracemalloc
import warnings
from typing import Any

import pytest

from prefect_dask import Edge, Flow, Parameter, Task, task, unmapped
from prefect_dask.engine.collector import CollectorHeld
from prefect_dask.errors import OutsideFlow, WrongArguments


@task
def number() -> int:
    return 1


@task
def add(x: int, y: int = 1) -> int:
    """Add."""
    return x + y


class Save(Task):
    def run(self, rows: list[int], path: str = "here", **options: object) -> None: ...


# ---- calling and binding


def test_a_call_adds_a_copy_and_bind_adds_the_task_itself():
    with Flow("f") as flow:
        copy = add(1)
        bound = add.bind(2)
    assert copy is not add and copy.name == "add"
    assert bound is add
    assert list(flow.tasks) == [copy, add]


def test_a_call_can_change_settings_of_the_copy():
    with Flow("f"):
        copy = add(1, task_args={"name": "sum", "timeout": 3})
    assert (copy.name, copy.timeout_seconds) == ("sum", 3)
    assert (add.name, add.timeout_seconds) == ("add", None)


def test_a_call_outside_a_flow_names_the_task_and_the_way_out():
    with pytest.raises(ValueError, match=r"task 'add' was called outside a flow.* run method"):
        add(1)
    with pytest.raises(OutsideFlow):
        add.bind(1)
    with pytest.raises(OutsideFlow):
        add.map([1])
    with pytest.raises(OutsideFlow):
        add.set_upstream(number)


def test_the_flow_can_be_passed_instead_of_written():
    flow = Flow("f")
    one = number(flow=flow)
    two = add(one, flow=flow)
    assert flow.edges == {Edge(one, two, "x")}


def test_a_passed_flow_wins_over_the_enclosing_one():
    other = Flow("other")
    with Flow("f") as flow:
        number(flow=other)
    assert len(flow.tasks) == 0
    assert len(other.tasks) == 1


def test_arguments_by_position_and_by_name_become_edges_with_keys():
    with Flow("f") as flow:
        one, two = number(), number()
        three = add(one, y=two)
    assert flow.edges_to(three) == {Edge(one, three, "x"), Edge(two, three, "y")}


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "is not given its argument 'x'"),
        ((1, 2, 3), {}, "takes at most 2 arguments by position, got 3"),
        ((1,), {"x": 2}, "got two values for its argument 'x'"),
        ((1,), {"yy": 2}, "takes no argument 'yy'; did you mean 'y'"),
    ],
)
def test_arguments_that_run_does_not_take_are_refused_by_name(
    args: tuple[int, ...], kwargs: dict[str, Any], reason: str
):
    with Flow("etl") as flow, pytest.raises(WrongArguments) as caught:
        add(*args, **kwargs)
    assert str(caught.value).startswith(f"flow 'etl': task 'add' {reason}")
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)
    assert len(flow.tasks) == 0


def test_any_key_is_taken_by_a_run_method_that_collects_keywords():
    with Flow("f") as flow:
        saved = Save()([1], compress=number())
    assert {edge.key for edge in flow.edges_to(saved)} == {"compress"}
    assert flow.constants[saved] == {"rows": [1]}


def test_upstream_tasks_are_waited_for_without_a_key():
    with Flow("f") as flow:
        first = number()
        second = number(upstream_tasks=[first])
        third = number(upstream_tasks=first)
    assert flow.edges == {Edge(first, second), Edge(first, third)}


def test_the_same_task_bound_to_two_flows_has_a_place_in_each():
    one = Save()
    with Flow("a") as a:
        one.bind([1])
    with Flow("b") as b:
        one.bind([2])
    assert a.constants[one] == {"rows": [1]}
    assert b.constants[one] == {"rows": [2]}


# ---- mapping


def test_map_marks_all_inputs_but_the_unmapped_ones():
    with Flow("f") as flow:
        many, one = number(), number()
        mapped = add.map(many, y=unmapped(one))
    assert flow.edges == {
        Edge(many, mapped, "x", mapped=True),
        Edge(one, mapped, "y", mapped=False),
    }


def test_map_marks_upstream_tasks_too():
    with Flow("f") as flow:
        many, gate, pairs = number(), number(), number()
        mapped = add.map(many, upstream_tasks=[unmapped(gate), pairs])
    assert Edge(gate, mapped, mapped=False) in flow.edges
    assert Edge(pairs, mapped, mapped=True) in flow.edges


def test_map_can_change_settings_of_the_copy():
    with Flow("f"):
        assert add.map([1], task_args={"name": "each"}).name == "each"


# ---- order


def test_set_upstream_and_set_downstream_make_edges():
    with Flow("f") as flow:
        a, b, c = number(), Save()([]), Save()([])
        b.set_upstream(a)
        b.set_downstream(c)
        c.set_upstream(a, key="path")
        a.set_downstream(b, key="path")
    assert flow.edges == {
        Edge(a, b),
        Edge(b, c),
        Edge(a, c, "path"),
        Edge(a, b, "path"),
    }


def test_set_dependencies_says_all_at_once():
    with Flow("f") as flow:
        first, last, value = number(), number(), number()
        middle = Save()
        middle.set_dependencies(
            upstream_tasks=[first],
            downstream_tasks=[last],
            keyword_tasks={"rows": value, "path": "there"},
        )
    assert flow.edges == {Edge(first, middle), Edge(middle, last), Edge(value, middle, "rows")}
    assert flow.constants[middle] == {"path": "there"}


def test_pipe_reads_from_left_to_right():
    with Flow("f") as flow:
        last = number().pipe(add, y=2).pipe(Save(), path="there")
    names = [t.name for t in flow.sorted_tasks()]
    assert names == ["number", "add", "Save"]
    assert flow.constants[last] == {"path": "there"}


# ---- unpacking


def test_a_task_that_says_how_many_values_it_returns_can_be_unpacked():
    @task
    def both() -> tuple[int, str]:
        return 1, "one"

    with Flow("f") as flow:
        a, b = both()
        x, y, z = Task("three", nout=3)
    assert (a.name, b.name) == ("both[0]", "both[1]")
    assert (x.name, y.name, z.name) == ("three[0]", "three[1]", "three[2]")
    assert len(flow.tasks) == 7


def test_a_task_that_does_not_say_so_is_no_iterable():
    with Flow("f"):
        one = number()
        with pytest.raises(TypeError, match=r"task 'number' cannot be .* unpacked.* nout=<number>"):
            _, _ = one
        with pytest.raises(TypeError):
            list(one)
        with pytest.raises(TypeError):
            3 in one  # type: ignore[operator]  # noqa: B015


# ---- tasks that nobody uses


def test_a_task_made_in_the_block_and_never_added_warns():
    with (
        pytest.warns(
            UserWarning, match="flow 'f': <Parameter: p> was made inside the `with` block"
        ),
        Flow("f"),
    ):
        Parameter("p")


def test_a_task_made_in_the_block_and_used_does_not_warn():
    with warnings.catch_warnings(), Flow("f") as flow:
        warnings.simplefilter("error")

        @task
        def local() -> int:
            return 1

        local()
        save = Save()
        save([local()])
        flow.add_task(Task("added"))
        Task("input") | Task("bound").bind()
    assert len(flow.tasks) == 7


def test_a_block_that_fails_warns_of_nothing():
    with warnings.catch_warnings(), pytest.raises(KeyError), Flow("f"):
        warnings.simplefilter("error")
        Task("loose")
        raise KeyError


# ---- cost


def test_calling_a_task_costs_the_same_in_a_large_flow():
    def seconds_per_task(count: int) -> float:
        start = time.process_time()
        with CollectorHeld(), Flow("f"):  # what that costs, all objects of the process decide
            last = number()
            for _ in range(count):
                last = add(last, 2)
        return (time.process_time() - start) / count

    seconds_per_task(500)
    small = min(seconds_per_task(1_000) for _ in range(3))
    large = min(seconds_per_task(8_000) for _ in range(2))
    assert large < 3 * small
    assert large < 200e-6


def test_a_bound_task_is_small():
    tracemalloc.start()
    try:
        with Flow("f"):
            for value in range(1_000):
                add(value)
            size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 1_000 < 2_800
