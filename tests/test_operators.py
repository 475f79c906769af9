"""Operators between tasks build tasks."""

import operator
from collections.abc import Callable
from typing import Any

import pytest

from prefect_dask import Edge, Flow, Task, task
from prefect_dask.executors import LocalExecutor


@task
def give(value: Any) -> Any:
    return value


def result_of(build: Callable[[], Task]) -> Any:
    """What the task that `build` builds returns when its flow is run."""
    with Flow("operators") as flow:
        built = build()
    state = flow.run(executor=LocalExecutor())
    assert state.is_successful(), state.result
    return state.result[built].result


BINARY: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
]


@pytest.mark.parametrize("operate", BINARY)
@pytest.mark.parametrize(("x", "y"), [(7, 2), (2, 7), (3, 3)])
def test_an_operator_gives_what_it_gives_between_the_results(
    operate: Callable[[Any, Any], Any], x: int, y: int
):
    wanted = operate(x, y)
    assert result_of(lambda: operate(give(x), give(y))) == wanted
    assert result_of(lambda: operate(give(x), y)) == wanted
    assert result_of(lambda: operate(x, give(y))) == wanted


@pytest.mark.parametrize(("x", "y"), [(True, True), (True, False), (0, "a"), (0, "")])
def test_logic_gives_truth_values(x: Any, y: Any):
    assert result_of(lambda: give(x) & give(y)) is bool(x and y)
    assert result_of(lambda: x & give(y)) is bool(x and y)
    assert result_of(lambda: give(x).or_(y)) is bool(x or y)
    assert result_of(lambda: give(x).not_()) is (not x)


def test_results_are_compared_by_name_since_equality_is_identity():
    assert result_of(lambda: give(3).is_equal(3)) is True
    assert result_of(lambda: give(3).is_not_equal(give(3))) is False
    with Flow("f"):
        one, other = give(3), give(3)
        assert (one == other) is False
        assert (one != other) is True


def test_an_item_is_taken_by_a_task_of_that_name():
    assert result_of(lambda: give([5, 6])[1]) == 6
    assert result_of(lambda: give({"a": 1})["a"]) == 1
    assert result_of(lambda: give([5, 6, 7])[give(2)]) == 7
    assert result_of(lambda: give([5, 6, 7])[1:]) == [6, 7]
    with Flow("f"):
        row = give({})
        assert row["a"].name == "give['a']"
        assert row[0].name == "give[0]"
        assert row[give(1)].name == "give[give]"
        assert row["a"][0].name == "give['a'][0]"


def test_a_pipe_makes_the_right_one_wait_and_is_the_right_one():
    with Flow("f") as flow:
        a, b, c = give(1), give(2), give(3)
        assert (a | b | c) is c
    assert flow.edges == {Edge(a, b), Edge(b, c)}


def test_a_list_before_a_pipe_is_waited_for():
    with Flow("f") as flow:
        a, b, c = give(1), give(2), give(3)
        assert ([a, b] | c) is c
    assert flow.all_upstream_edges()[c]
    order = flow.sorted_tasks()
    assert order[-1] is c


def test_a_pipe_ends_in_a_task():
    with Flow("f"), pytest.raises(TypeError):
        give(1) | 3  # type: ignore[operator]


def test_operators_outside_a_flow_name_the_operation():
    with Flow("f"):
        one = give(1)
    with pytest.raises(ValueError, match="task 'Add' was called outside a flow"):
        one + 1


def test_an_array_beside_a_task_is_not_spread_over_its_items():
    class Array:
        """Does what numpy's array does with an operand that does not opt out."""

        def __add__(self, other: Any) -> Any:
            if getattr(other, "__array_ufunc__", self) is None:
                return NotImplemented
            return [item + other for item in (1, 2)]

    array = Array()
    with Flow("f") as flow:
        total = array + give(1)
    assert total.name == "Add"
    assert flow.constants[total] == {"x": array}
