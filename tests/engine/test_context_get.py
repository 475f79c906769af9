"""context.get() gives its default where a task run knows nothing."""

import pytest

from prefect_dask import Flow, context, task
from prefect_dask.engine.signals import LOOP


@task
def add_up(numbers):
    turn, so_far = context.get("task_loop_count", 1), context.get("task_loop_result", 0)
    if turn <= len(numbers):
        raise LOOP(result=so_far + numbers[turn - 1])
    return so_far


@task
def index():
    return context.get("map_index", "not mapped"), context.map_index


def test_the_first_turn_of_a_loop_gets_the_default_and_the_next_ones_the_result():
    with Flow("loop") as flow:
        total = add_up([1, 2, 3])
    assert flow.run().result[total].result == 6


def test_outside_a_map_the_index_is_the_default_by_get_and_none_by_name():
    with Flow("index") as flow:
        result = index()
    assert flow.run().result[result].result == ("not mapped", None)


def test_what_a_user_puts_there_is_what_he_gets_also_when_it_is_none():
    with context(mine=None):
        assert context.get("mine", 1) is None
    with pytest.raises(AttributeError):
        _ = context.mine
