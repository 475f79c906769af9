"""One execution of a task run, from states as they may lie where it runs."""

import datetime
from typing import Any

import pytest

from prefect_dask import Flow, flatten, task
from prefect_dask.engine import clock
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.node import RunPackage
from prefect_dask.engine.state import Looped, Mapped, Pending, Retrying, Running, Success
from prefect_dask.engine.stream import Report

INFO = RunInfo("f", "0" * 32, "f-0", {}, datetime.datetime.now(datetime.timezone.utc))


@task
def as_it_is(x):
    return x


def outcome(flow, task, above):
    """What a first execution of a task comes to, and what it told, with these states above."""
    told: list[Any] = []
    runner = RunPackage("0" * 8, flow.describe(), INFO).runners[flow.sorted_tasks().index(task)]
    index = runner.node.label.index
    state = runner.run((index, -1, 1), None, clock.now(), above, Report(told.append))
    return state, [type(change.state) for change in told]


@pytest.mark.parametrize("unfinished", [Pending(), Running(), Retrying(), Looped(result=[1])])
def test_a_map_over_flattened_lists_waits_for_each_of_them(unfinished):
    """Where it runs, nobody else sees that one is not there: the word of that may come after that of the map."""
    with Flow("lists") as flow:
        flat = as_it_is.map(flatten(as_it_is.map([[1], [2, 3]])))

    state, told = outcome(flow, flat, [Mapped(map_states=[unfinished, Success(result=[2, 3])])])

    assert (type(state), told) == (Pending, [Pending])


def test_a_map_over_a_map_begins_before_the_children_above_are_finished():
    with Flow("child to child") as flow:
        below = as_it_is.map(as_it_is.map([1, 2]))

    state, told = outcome(flow, below, [Mapped(map_states=[Running(), Success(result=2)])])

    assert (state.width, told) == (2, [Mapped])
