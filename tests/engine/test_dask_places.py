"""Where the states of a run lie on a cluster, as the client knows it."""

from types import SimpleNamespace
from typing import Any

import pytest

from prefect_dask.engine.executors.dask_places import Places


def future(status: str = "finished") -> Any:
    return SimpleNamespace(status=status)


KEYS = [("t-token", i, -1, 1, 0) for i in range(9)]


def test_a_task_run_lies_at_a_position_of_a_dask_node():
    places = Places(3)
    places.put(KEYS[0], future(), [(0, -1, 1), (1, 5, 1)], 0)

    assert places.place((0, -1, 1)) == (KEYS[0], 0)
    assert places.place((1, 5, 1)) == (KEYS[0], 1)
    assert places.nodes_of(KEYS[0]) == [(0, -1, 1), (1, 5, 1)]
    assert places.holding((1, 6, 1)) is None


def test_a_later_execution_replaces_the_earlier_one():
    places = Places(1)
    places.put(KEYS[0], future(), [(0, 0, 1), (0, 1, 1)], 0)
    places.put(KEYS[1], future(), [(0, 1, 2)], 0)

    assert places.nodes_of(KEYS[0]) == [(0, 0, 1)]
    assert places.place((0, 1, 2)) == (KEYS[1], 0)
    assert places.holding((0, 1, 1)) is None
    assert places.is_replaced((0, 1, 1)) and not places.is_replaced((0, 1, 3))
    with pytest.raises(AssertionError):
        places.place((0, 1, 1))


def test_a_dask_node_is_let_go_of_when_nobody_wants_any_run_of_it():
    places = Places(1)
    places.put(KEYS[0], future(), [(0, 0, 1), (0, 1, 1)], 0)

    places.forget((0, 0, 1))
    places.forget((0, 0, 1))
    assert len(list(places.holdings())) == 1

    places.forget((0, 1, 1))
    assert list(places.holdings()) == []
    assert places.nodes_of(KEYS[0]) == []


def test_what_is_over_is_known_by_task_run():
    places = Places(2)
    places.put(KEYS[0], future(), [(0, -1, 1), (1, 70, 1)], 0)

    for node in ((0, -1, 1), (1, 70, 1)):
        assert not places.is_over(node)
        places.set_over(node, is_over=True)
        assert places.is_over(node)
        places.set_over(node, is_over=False)
        assert not places.is_over(node)
    assert not places.is_over((1, 1000, 1))


def test_what_has_something_to_show_for_it_is_known_as_long_as_somebody_needs_it():
    places = Places(1)
    places.put(KEYS[0], future(), [(0, 0, 1), (0, 1, 1)], 0)
    places.put(KEYS[1], future("pending"), [(0, 2, 1)], 0)
    assert places.with_something_over() == []

    places.set_over((0, 1, 1), is_over=True)
    assert [each.key for each in places.with_something_over()] == [KEYS[0]]

    for node in ((0, 0, 1), (0, 1, 1)):
        places.forget(node)
    assert places.with_something_over() == []
