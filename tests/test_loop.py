"""Long loops: the turns run in their order, and what is behind them is let go."""

import gc
import weakref
from collections import Counter

import pytest

from prefect_dask import Flow, context, task
from prefect_dask.engine.signals import LOOP
from prefect_dask.engine.state import Looped
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor

TURNS = 1_000

BRICKS: "weakref.WeakSet[Brick]" = weakref.WeakSet()


class Brick:
    """What one turn hands to the next."""

    def __init__(self, number: int) -> None:
        self.number = number
        BRICKS.add(self)


@task
def lay() -> tuple[int, int, int]:
    count, last = context.task_loop_count, context.task_loop_result
    assert last is None or last.number == count - 1
    if count <= TURNS:
        raise LOOP(f"turn {count}", result=Brick(count))
    gc.collect()
    looped = sum(type(each) is Looped for each in gc.get_objects())
    return count, len(BRICKS), looped


@pytest.mark.parametrize("executor", [LocalExecutor(), LocalDaskExecutor(num_workers=1)])
def test_a_loop_of_a_thousand_turns_holds_no_result_but_the_last(executor):
    with Flow("wall") as flow:
        wall = lay()
    records: list = []

    # A ledger has the states of the last tenth of a second in hand, which here are all.
    state = flow.run(executor=executor, on_state=records.extend, ledger="none")

    turns, bricks, looped = state.result[wall].result
    assert turns == TURNS + 1
    assert bricks <= 2
    # In threads whoever takes the states in runs beside the loop, and may be late.
    if isinstance(executor, LocalExecutor):
        assert looped <= TURNS * 0.6, "the states of the turns are handed on while the loop runs"
    told = [record for record in records if record.state == "Looped"]
    assert [record.details["loop_count"] for record in told] == list(range(1, TURNS + 1))
    assert Counter(record.state for record in records)["Running"] == TURNS + 1


def test_a_long_loop_leaves_other_tasks_and_listeners_as_they_are():
    @task
    def after(x):
        return x[0]

    with Flow("wall and roof") as flow:
        roof = after(lay())
        other = after([7])
    state = flow.run()
    assert state.is_successful()
    assert (state.result[roof].result, state.result[other].result) == (TURNS + 1, 7)


@task
def count_to(turns: int) -> int:
    if context.task_loop_count < turns:
        raise LOOP(result=bytes(10_000))
    return context.task_loop_count


@pytest.mark.parametrize("place", ["processes", "Dask"])
def test_a_loop_of_a_thousand_turns_comes_home_from_elsewhere(place):
    with Flow("elsewhere") as flow:
        count = count_to(TURNS)
    records: list = []
    if place == "Dask":
        from distributed import Client

        from prefect_dask.executors import DaskExecutor

        with Client(processes=False, n_workers=1, dashboard_address="127.0.0.1:0"):
            state = flow.run(executor=DaskExecutor(), on_state=records.extend)
            assert state.result[count].result == TURNS
    else:
        executor = LocalDaskExecutor("processes", num_workers=1)
        state = flow.run(executor=executor, on_state=records.extend)
    assert state.result[count].result == TURNS
    assert Counter(record.state for record in records)["Looped"] == TURNS - 1
