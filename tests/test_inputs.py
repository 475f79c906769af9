"""What stands as an input: tasks, collections with tasks inside, plain values."""

from collections import OrderedDict, namedtuple
from typing import Any

import pytest

from prefect_dask import Edge, Flow, Task, flatten, mapped, task, triggers, unmapped
from prefect_dask.executors import LocalExecutor
from prefect_dask.inputs import holds_task
from prefect_dask.tasks.collections import Dict, List, Set, Tuple
from prefect_dask.tasks.constants import Constant

Point = namedtuple("Point", "x y")


@task
def give(value: Any) -> Any:
    return value


@task
def fail() -> None:
    raise ValueError("broken")


@task
def skip() -> None:
    from prefect_dask.engine.signals import SKIP

    raise SKIP("not today")


# ---- constants


@pytest.mark.parametrize("value", [1, "text", None, [1, [2]], {"a": (1, {2})}, print, Task, int])
def test_a_value_without_tasks_is_a_constant_and_no_task(value: Any):
    with Flow("f") as flow:
        given = give(value)
    assert set(flow.tasks) == {given}
    assert flow.constants[given] == {"value": value}


def test_an_object_of_the_users_own_is_a_value():
    class Config:
        def __iter__(self) -> Any:
            raise AssertionError("nobody looks inside")

    config = Config()
    with Flow("f") as flow:
        given = give(config)
    assert flow.constants[given]["value"] is config


def test_an_argument_left_out_is_left_to_its_default():
    @task
    def add(x: int, y: int = 5) -> int:
        return x + y

    with Flow("f") as flow:
        total = add(1)
    assert flow.constants[total] == {"x": 1}


@pytest.mark.parametrize(
    ("mark", "is_mapped", "is_flattened"), [(mapped, True, False), (flatten, False, True)]
)
def test_a_mapped_or_flattened_value_is_a_constant_task(
    mark: Any, is_mapped: bool, is_flattened: bool
):
    with Flow("f") as flow:
        given = give(mark([1, 2]))
    (edge,) = flow.edges
    assert edge == Edge(edge.upstream_task, given, "value", is_mapped, is_flattened)
    constant = edge.upstream_task
    assert isinstance(constant, Constant)
    assert constant.name == "[1, 2]" and constant.run() == [1, 2]


def test_an_unmapped_value_of_a_map_is_a_constant():
    with Flow("f") as flow:
        given = give.map(unmapped([1, 2]))
    assert flow.constants[given] == {"value": [1, 2]}
    assert not flow.edges


def test_constants_are_called_by_their_repr_cut_short_and_the_same_in_each_build():
    assert Constant("a").name == "'a'"
    assert Constant({"a": 1}).name == "{'a': 1}"
    assert len(Constant(list(range(10**6))).name) < 100
    assert Constant(object()).name == "<object object>"
    assert Constant(3, name="three").name == "three"


# ---- collections


@pytest.mark.parametrize(
    "build",
    [
        lambda x: [x, 1, x],
        lambda x: (1, x),
        lambda x: {1, x},
        lambda x: {"a": x, "b": 2, 3: [x]},
        lambda x: {x: 1, "b": x},
        lambda x: Point(x, 2),
        lambda x: OrderedDict(a=x),
        lambda x: [[x], [{"deep": (x,)}], []],
        lambda x: [x, [None, print, "text"]],
        lambda x: frozenset({x}),
    ],
)
def test_a_collection_with_tasks_inside_arrives_with_their_results(build: Any):
    with Flow("f") as flow:
        given = give(build(give(7)))
    state = flow.run(executor=LocalExecutor())
    result = state.result[given].result
    assert result == build(7)
    if isinstance(build(7), Point):
        assert isinstance(result, Point)


def test_a_collection_is_one_task_of_its_kind():
    with Flow("f") as flow:
        x = give(1)
        for value in ([x, 1], (x,), {x, 2}, {"k": x}):
            give(value)
    kinds = [type(t) for t in flow.tasks if t.gathers]
    assert kinds == [List, Tuple, Set, Dict]
    (of_list,) = flow.get_tasks(name="List")
    assert flow.edges_to(of_list) == {Edge(x, of_list, "0")}
    assert flow.constants[of_list] == {"1": 1}


def test_a_task_inside_a_collection_is_added_to_the_flow():
    class Fixed(Task):
        def run(self) -> int:
            return 4

    with Flow("f") as flow:
        given = give([Fixed()])
    assert flow.run(executor=LocalExecutor()).result[given].result == [4]


def test_many_items_keep_their_order():
    with Flow("f") as flow:
        given = give([give(i) for i in range(25)])
    assert flow.run(executor=LocalExecutor()).result[given].result == list(range(25))


def test_a_set_of_tasks_gives_the_same_slugs_in_each_build():
    def slugs() -> list[str]:
        with Flow("f") as flow:
            give({give.copy(name=name).bind(1) for name in "dacb"})
        (built,) = flow.get_tasks(name="Set")
        keys = {e.key: flow.slugs[e.upstream_task] for e in flow.edges_to(built)}
        return [keys[str(index)] for index in range(4)]

    assert slugs() == slugs() == ["a-1", "b-1", "c-1", "d-1"]


@pytest.mark.parametrize("mark", [mapped, unmapped, flatten])
def test_a_mark_inside_a_collection_is_refused(mark: Any):
    with Flow("f"), pytest.raises(ValueError, match=f"{mark.__name__}.. stands inside a coll"):
        give([1, mark([2])])


def test_collections_that_hold_themselves_are_values():
    ring: list[Any] = [1]
    ring.append(ring)
    assert not holds_task(ring)


def test_a_million_values_are_looked_through_quickly():
    assert not holds_task([list(range(1000))] * 1000)


# ---- what a collection makes of failures and skips: what its task would


def received(items: Any, **settings: Any) -> tuple[Any, Any]:
    """State and result of a task, of these settings, that is given a list."""
    with Flow("f") as flow:
        given = give(items(), task_args=settings)
    state = flow.run(executor=LocalExecutor()).result[given]
    return state, state.result


def test_below_all_finished_a_list_has_the_exceptions_of_failed_tasks():
    state, result = received(lambda: [give(1), fail()], trigger=triggers.all_finished)
    assert state.is_successful()
    assert result[0] == 1
    assert isinstance(result[1], ValueError)


def test_below_a_task_that_does_not_skip_a_list_has_none_for_skipped_tasks():
    _, result = received(lambda: [give(1), skip()], skip_on_upstream_skip=False)
    assert result == [1, None]


def test_below_the_default_trigger_a_list_fails_and_skips_with_its_items():
    state, _ = received(lambda: [give(1), fail()])
    assert type(state).__name__ == "TriggerFailed"
    assert state.message == "'give' did not run: 'List' <- 'fail' failed: broken"
    state, _ = received(lambda: [give(1), skip()])
    assert state.is_skipped()


def test_below_any_successful_a_list_needs_one_success():
    state, result = received(lambda: [give(1), fail()], trigger=triggers.any_successful)
    assert state.is_successful() and result[0] == 1
    state, _ = received(lambda: [fail(), fail()], trigger=triggers.any_successful)
    assert state.is_failed()


def test_below_any_failed_a_failed_item_lets_the_task_run():
    state, _ = received(lambda: [give(1), fail()], trigger=triggers.any_failed)
    assert state.is_successful()
    state, _ = received(lambda: [give(1), give(2)], trigger=triggers.any_failed)
    assert state.is_failed()
