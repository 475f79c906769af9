"""What is asked of a run goes through its ledger, is taken once and soon, and is answered when the run is over."""

import threading
import time

import pytest

from prefect_dask import Flow, cancel, context, task
from prefect_dask.engine.state import Cancelled
from prefect_dask.executors import LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.entries import Begun
from prefect_dask.ledger.errors import NothingRecorded
from prefect_dask.ledger.requests import ask, take_requests
from prefect_dask.steering import RunIsOver
from tests.waiting import wait_until


@task
def until_cancelled(began):
    began.set()
    wait_until(lambda: context.cancelled)


@task
def one():
    return 1


@pytest.fixture
def running(url):
    """A run in a thread of this process, which the ledger's own writer coordinates; its id and its thread."""
    began = threading.Event()
    with Flow("asked") as flow:
        until_cancelled(began)
    states: list[object] = []
    thread = threading.Thread(
        target=lambda: states.append(flow.run(ledger=url, durable=False, executor=LocalExecutor()))
    )
    thread.start()
    assert began.wait(20)

    def run_id() -> str:
        try:
            return "".join(run.run_id for run in Ledger(url).flow_runs())
        except NothingRecorded:
            return ""

    yield wait_until(run_id), states
    thread.join(30)
    assert not thread.is_alive()


def rows_of(store, run: int):
    return [tuple(row[1:]) for row in store.ask("requests", (run,))]


def test_another_process_asks_and_is_answered(url, store, running):
    """Another process has a store of its own, and this one's writer does not know that it asked."""
    run_id, states = running
    run = Ledger(url).flow_run(run_id)
    store.open(is_to_read=True)
    asked = time.monotonic()

    assert ask(store, run.key, "cancel", {"grace_seconds": 20})

    wait_until(lambda: states)
    assert time.monotonic() - asked < 2
    assert type(states[0]) is Cancelled
    wait_until(lambda: rows_of(store, run.key)[0][-1] is not None)
    [(kind, details, at, asker, taken, done, answer)] = rows_of(store, run.key)
    assert (kind, details, answer) == ("cancel", '{"grace_seconds": 20}', "Cancelled")
    assert at <= taken <= done
    assert "@" in asker
    assert asker in str(Ledger(url).flow_run(run_id).message)
    assert not ask(store, run.key, "cancel", {}), "it is over"


def test_a_request_is_taken_once(store, running, url):
    run_id, _ = running
    key = Ledger(url).flow_run(run_id).key
    store.open(is_to_read=True)
    ask(store, key, "something later", {})
    wait_until(lambda: rows_of(store, key)[0][4] is not None, what="the request is taken")
    assert take_requests(store, {run_id: 0}) == []
    cancel(run_id, ledger=url, grace_seconds=0)
    assert {row[-1] for row in rows_of(store, key)} == {"Cancelled"}


def test_a_process_that_has_lost_its_run_leaves_what_is_asked_to_the_one_that_has_it(store):
    store.open()
    store.write([Begun("lost", fence=0)])
    [(key,)] = store.execute("SELECT id FROM flow_runs")
    store.execute("UPDATE flow_runs SET state = 'Running', fence = 2")
    assert ask(store, key, "cancel", {})

    assert take_requests(store, {"lost": 0}) == []
    [request] = take_requests(store, {"lost": 2})
    assert (request.run_id, request.kind) == ("lost", "cancel")
    assert take_requests(store, {"lost": 2}) == []


def test_the_one_who_asks_in_the_same_process_waits_for_no_look(url, running):
    run_id, states = running
    assert type(cancel(run_id[:8], ledger=url)) is Cancelled
    wait_until(lambda: states)


def test_a_run_that_is_over_takes_no_requests(url):
    Flow("over", tasks=[one]).run(ledger=url)
    ledger = Ledger(url)
    [run] = ledger.flow_runs()
    with pytest.raises(RunIsOver):
        cancel(run.run_id, ledger=ledger)
    with ledger.opened() as store:
        assert rows_of(store, run.key) == []


def test_a_request_that_a_process_does_not_understand_does_not_keep_it_from_the_next(
    url, store, running
):
    """As one of a later version, which says things differently."""
    run_id, states = running
    key = Ledger(url).flow_run(run_id).key
    store.open(is_to_read=True)
    ask(store, key, "cancel", {"grace": "none"})
    wait_until(lambda: rows_of(store, key)[0][4] is not None, what="the request is taken")

    assert type(cancel(run_id, ledger=url, grace_seconds=0)) is Cancelled
    wait_until(lambda: states)
