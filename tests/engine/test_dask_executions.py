"""Where the executions of a run on a cluster stand: here, with Dask, handed back, or over."""

import pytest

from prefect_dask.engine.state import Pending
from prefect_dask.engine.stream import HandedBack, ValueLost
from tests.engine.without_cluster import FIRST, SECOND, THIRD, Run, over


@pytest.fixture
def run() -> Run:
    return Run()


def test_what_is_over_is_out_no_more_and_knows_where_its_result_lies(run: Run):
    run.hand_over(FIRST)
    assert run.submit() == [[FIRST]]
    change = over(FIRST)

    run.executions.end(change)

    assert FIRST not in run.executions
    assert run.places.is_over(FIRST)
    assert change.state._lazy is not None


def test_a_later_execution_takes_the_place_of_one_that_waits_here(run: Run):
    again = (0, -1, 2)
    run.hand_over(FIRST)
    run.hand_over(again)

    assert run.submit() == [[again]]
    assert list(run.executions) == [again]


def test_what_waits_here_for_one_that_was_lost_does_not_go_to_dask(run: Run):
    run.hand_over(FIRST)
    run.submit()
    run.hand_over(SECOND)
    run.executions.drop(FIRST)

    assert run.submit() == []
    assert SECOND not in run.executions, "it is handed over again by who waits for it"


def test_what_could_run_is_known_until_it_begins(run: Run):
    run.hand_over(FIRST, SECOND)
    assert run.executions.idle() == [FIRST]

    run.executions.end(over(FIRST))
    assert run.executions.idle() == [SECOND]

    run.executions.began[SECOND] = 0.0
    assert run.executions.idle() == []


def test_what_a_cut_node_hands_back_goes_to_dask_again():
    run = Run("always")
    run.hand_over(FIRST, SECOND)
    assert run.submit() == [[FIRST, SECOND]]
    cut = run.cut(SECOND)

    assert run.executions.handed_back(cut) == [SECOND]
    run.executions.stage_again([SECOND])
    assert run.submit() == [[SECOND]]
    assert run.executions.handed_back(cut) == [], "it is in another node by now"
    assert set(run.executions) == {FIRST, SECOND}


def test_what_came_back_undone_follows_the_one_above_that_was_handed_back(run: Run):
    run.hand_over(FIRST, SECOND)
    assert run.submit() == [[FIRST], [SECOND]]

    # The word of it comes from one worker before that of the cut comes from another one.
    assert run.executions.set_aside(over(SECOND, Pending()))
    assert run.executions.give_up_undone() == []
    run.executions.stage_again(run.executions.handed_back(run.cut(FIRST)))

    assert not run.executions.is_undone(SECOND)
    assert run.submit() == [[FIRST], [SECOND]]


def test_what_came_back_undone_for_another_reason_is_told(run: Run):
    run.hand_over(FIRST, SECOND)
    run.submit()
    undone = over(SECOND, Pending())
    run.executions.set_aside(undone)

    run.executions.end(over(FIRST))

    assert run.executions.give_up_undone() == [undone]
    assert list(run.executions) == []
    assert not run.executions.set_aside(undone), "it was told"


def test_what_needs_one_that_was_handed_back_meanwhile_waits_for_that(run: Run):
    run.hand_over(FIRST)
    run.submit()
    run.hand_over(SECOND, THIRD)
    run.executions.stage_again([FIRST])

    assert [each for group in run.submit() + run.submit() for each in group] == [
        FIRST,
        SECOND,
        THIRD,
    ]


def test_where_nobody_knows_through_whom_a_node_failed_each_runs_alone():
    run = Run("always")
    run.hand_over(FIRST, SECOND)
    run.submit()
    run.executions.end(over(FIRST))

    events = run.executions.hand_back(run.holding(SECOND), "a", "why")

    assert events == [ValueLost(FIRST, "a", "why"), HandedBack(SECOND, "a", "why")]
    run.hand_over((0, -1, 2), (1, -1, 2))
    assert run.submit() == [[(0, -1, 2)], [(1, -1, 2)]]


def test_a_result_under_a_limit_that_is_lost_is_not_made_again_unasked():
    for limited, told in (
        (frozenset({0}), [ValueLost(FIRST, "a", "its result was lost")]),
        ((), []),
    ):
        run = Run(limited=frozenset(limited))
        run.hand_over(FIRST)
        run.submit()
        run.executions.end(over(FIRST))
        assert run.executions.refused(run.cut(FIRST)) == told


def test_of_a_node_that_failed_through_one_above_only_what_is_not_below_that_goes_again():
    run = Run("always")
    run.hand_over(FIRST)
    run.submit()
    run.hand_over(SECOND, THIRD)
    assert run.submit() == [[SECOND, THIRD]]

    run.executions.drop_below([SECOND, THIRD], {FIRST})

    assert list(run.executions) == [FIRST]
    assert run.submit() == []


def test_when_the_run_is_over_nothing_is_held(run: Run):
    run.hand_over(FIRST)
    run.submit()

    run.executions.let_go()

    assert list(run.executions) == []
    assert list(run.executions.places.holdings()) == []
