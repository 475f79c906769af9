"""What a finished node did not tell is waited for a little, then asked for where its value lies."""

from types import SimpleNamespace
from typing import Any

import pytest

from prefect_dask.engine.executors.dask_places import Holding, Places
from prefect_dask.engine.executors.dask_repairs import RECORD_GRACE_SECONDS, Repairs
from prefect_dask.engine.state import Success
from prefect_dask.engine.stream import StateChange
from tests.engine.without_cluster import Cluster

NODE = (0, -1, 1)
LAST = StateChange(NODE, 1, Success("one"), True, "a")
LATER = RECORD_GRACE_SECONDS


@pytest.fixture
def cluster() -> Any:
    return Cluster()


def holding() -> Holding:
    places = Places(1)
    finished: Any = SimpleNamespace(status="finished")  # of a future nothing else is looked at
    places.put(("t-token", *NODE, 0), finished, [NODE], 0)
    found = places.holding(NODE)
    assert found is not None
    return found


def test_a_record_may_be_late_before_it_is_asked_for(cluster):
    repairs, late = Repairs(cluster), holding()

    assert repairs.last_record(NODE, late, 0, 5.0) is None
    assert repairs.last_record(NODE, late, 0, 5.0 + LATER / 2) is None
    assert cluster.asked == []


def test_it_is_asked_for_once_where_the_value_lies(cluster):
    repairs, late = Repairs(cluster), holding()
    for now in (0.0, LATER, 2 * LATER):
        assert repairs.last_record(NODE, late, 3, now) is None
    (asked,) = cluster.asked
    assert asked.arguments == (late.future, NODE, 3)

    cluster.answer(LAST)
    assert repairs.last_record(NODE, late, 3, 3 * LATER) == LAST


def test_it_is_asked_for_again_where_the_answer_was_lost(cluster):
    repairs, late = Repairs(cluster), holding()
    for now in (0.0, LATER):
        repairs.last_record(NODE, late, 0, now)
    cluster.asked[0].status = "error"

    for now in (2 * LATER, 3 * LATER):
        repairs.last_record(NODE, late, 0, now)
    assert len(cluster.asked) == 2


def test_an_answer_about_another_dask_node_does_not_count(cluster):
    repairs, late = Repairs(cluster), holding()
    for now in (0.0, LATER):
        repairs.last_record(NODE, late, 0, now)
    cluster.answer(LAST)

    assert repairs.last_record(NODE, holding(), 0, 2 * LATER) is None


def test_of_what_was_told_meanwhile_nothing_is_kept(cluster):
    repairs, late = Repairs(cluster), holding()
    for now in (0.0, LATER):
        repairs.last_record(NODE, late, 0, now)
    cluster.answer(LAST)

    repairs.keep({NODE})
    assert repairs.last_record(NODE, late, 0, 2 * LATER) == LAST
    repairs.keep(())
    assert repairs.last_record(NODE, late, 0, 2 * LATER) is None
