"""A run holds as many slots of a limit as its executor can use; the others are for whoever shares the limit."""

import threading

import pytest

from prefect_dask import Flow, unmapped
from prefect_dask.executors import LocalExecutor
from prefect_dask.ledger.writer import close_writers
from prefect_dask.limits import limits, set_limit
from tests.promises.limited import Diary, held, short
from tests.waiting import wait_until

#: How many each can have at work; on a cluster two more wait for a thread.
AT_ONCE = {"local": 1, "synchronous": 1, "threads": 2, "processes": 2}
ON_CLUSTER = 4


@pytest.fixture
def diary(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    yield Diary(tmp_path / "diary")
    close_writers()


def test_another_run_that_shares_a_limit_goes_on_while_one_has_more_to_do_than_it_can(
    executor, place, diary, tmp_path
):
    ledger, go = tmp_path / "ledger.sqlite", tmp_path / "go"
    most = AT_ONCE.get(place, ON_CLUSTER)
    set_limit("tag:scarce", most + 1, ledger=ledger)
    with Flow("many") as many:
        held.map(list(range(most + 3)), unmapped(diary.path), unmapped(go))
    with Flow("one") as one:
        done = short(7, diary.path)
    told: list[object] = []

    def run_the_other() -> None:
        try:
            wait_until(lambda: diary.now_at_work())
            wait_until(lambda: limits(ledger=ledger)[0].waiting == 3)
            told.append(len(limits(ledger=ledger)[0].holders))
            told.append(one.run(executor=LocalExecutor(), ledger=ledger).result[done].result)
        finally:
            go.touch()

    other = threading.Thread(target=run_the_other)
    other.start()
    state = many.run(executor=executor, ledger=ledger)
    other.join(50)

    assert state.is_successful(), state.message
    assert told == [most, 7]
    assert diary.most_at_once() <= most + 1
    assert [(each.holders, each.waiting) for each in limits(ledger=ledger)] == [((), 0)]
