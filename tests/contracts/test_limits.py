"""A flow under limits comes to the same states and results on every executor, and the limits hold."""

import os
import uuid
from pathlib import Path

import pytest

from prefect_dask import Flow, context, flatten, task, triggers, unmapped
from prefect_dask.engine.signals import LOOP, PAUSE, SKIP
from prefect_dask.ledger import Ledger
from prefect_dask.limits import limits, set_limit


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    set_limit("tag:few", 2, ledger=ledger)
    set_limit("task:alone", 1, ledger=ledger)
    return ledger


def count_in(folder: Path, most: int) -> None:
    """Be one of those in a folder for a moment, and see that there are not too many."""
    mine = folder / uuid.uuid4().hex
    mine.touch()
    there = len(os.listdir(folder))
    mine.unlink()
    assert there <= most, f"{there} at once"


@task
def plus_one(x):
    return x + 1


@task(tags=["few"], max_retries=1, retry_delay=0)
def few(x, folder):
    count_in(folder, 2)
    if x % 4 == 0 and context.task_run_count == 1:
        raise ValueError("the first attempt fails")
    return x


@task(tags=["few"])
def alone(xs, folder):
    count_in(folder, 1)
    return sum(xs)


@task
def pair(x):
    return [x, x]


@task(tags=["few"])
def skipping(x):
    raise SKIP("not today")


@task(tags=["few"])
def failing(x):
    raise ValueError("never")


@task(tags=["few"], trigger=triggers.any_failed)
def after_failure(x):
    return "cleaned"


@task(tags=["few"])
def turning():
    if context.task_loop_count < 3:
        raise LOOP(result=context.task_loop_count)
    return context.task_loop_result


def run(flow, executor, ledger):
    state = flow.run(executor=executor, ledger=ledger)
    assert all(not each.holders and not each.waiting for each in limits(ledger=ledger))
    return state


def test_maps_under_limits_keep_their_children_apart_and_in_order(executor, ledger, tmp_path):
    """plus_one[i] -> few[i] -> plus_one[i] -> alone, which takes all of them."""
    one, other = tmp_path / "few", tmp_path / "alone"
    one.mkdir()
    other.mkdir()
    with Flow("limited maps") as flow:
        first = few.map(plus_one.map(list(range(9))), unmapped(one))
        total = alone(plus_one.map(first), other)
        flat = few.map(flatten(pair.map([1, 2, 3])), unmapped(one))

    state = run(flow, executor, ledger)

    assert state.is_successful()
    assert state.result[first].result == list(range(1, 10))
    assert state.result[total].result == sum(range(2, 11))
    assert state.result[flat].result == [1, 1, 2, 2, 3, 3]


def test_what_does_not_succeed_gives_its_slot_back(executor, ledger):
    with Flow("limited branches") as flow:
        skipped = skipping(1)
        below_skipped = plus_one(skipped)
        failed = failing.map([1, 2, 3])
        cleaned = after_failure(failed)
        looped = turning()
        none = few.map([], unmapped(Path("unused")))
        flow.set_reference_tasks([cleaned])

    state = run(flow, executor, ledger)

    kinds = {task: type(state.result[task]).__name__ for task in flow.tasks}
    assert kinds[skipped] == kinds[below_skipped] == "Skipped"
    assert [type(s).__name__ for s in state.result[failed].map_states] == ["Failed"] * 3
    assert (state.result[cleaned].result, state.result[looped].result) == ("cleaned", 2)
    assert state.result[none].result == []


@task(tags=["few"])
def asking():
    if not context.resume:
        raise PAUSE("may it?")
    return "it may"


def test_a_paused_task_run_holds_no_slot(executor, ledger):
    with Flow("limited pause") as flow:
        asking()
        few(1, Path("unused"), upstream_tasks=[failing(1)])
    state = run(flow, executor, ledger)
    assert not state.is_finished()


def test_all_children_wait_where_no_slot_is_there_and_flows_without_limits_go_on(executor, ledger):
    with Flow("unlimited") as flow:
        done = plus_one.map([1, 2, 3])
    set_limit("tag:few", 0, ledger=ledger)
    assert run(flow, executor, ledger).result[done].result == [2, 3, 4]
