"""What comes for a run in one thread, another one takes in the same order."""

import threading
from types import SimpleNamespace

import pytest

from prefect_dask.engine.compile import Keys
from prefect_dask.engine.executors.dask_inbox import AtWork, Inbox, Loss
from prefect_dask.engine.graph import FlowGraph, Node, TaskLabel
from prefect_dask.engine.state import Running
from prefect_dask.engine.stream import ClusterChanged, StateChange, encode_batch

KEYS = Keys("a-token", FlowGraph("f", [Node(TaskLabel(0, "t", "t"), task=SimpleNamespace())], []))
NODE = (0, -1, 1)
OURS, OTHERS = KEYS.of(NODE, 0), ("t-another", 0, -1, 1, 0)

#: Longer than any test takes.
LONG = 60


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(KEYS.is_ours)


def test_all_is_taken_once_in_the_order_in_which_it_came(inbox: Inbox):
    joined = ClusterChanged("joined", "b", 0.0, {})
    running = Running()
    inbox.put_at_work("a", [NODE])
    inbox.put_batch(encode_batch([StateChange(NODE, 1, running, False, "")]), "a")
    inbox.put_change(joined)

    at_work, change, last = inbox.take()

    assert (at_work, last) == (AtWork("a", (NODE,)), joined)
    assert change == StateChange(NODE, 1, running, False, "a")
    assert list(inbox.take()) == []


def test_of_a_loss_the_run_hears_what_was_its_own(inbox: Inbox):
    # As they come over the wire.
    inbox.put_loss(Loss("a", [list(OURS), list(OTHERS)], [list(OTHERS)], False, 2))
    inbox.put_loss(Loss("b", [], [OTHERS], False, 0))

    assert list(inbox.take()) == [Loss("a", (OURS,), (), False, 2)]


def test_what_comes_while_the_rest_is_taken_is_taken_too(inbox: Inbox):
    inbox.put_at_work("a", [])
    taken = inbox.take()
    next(taken)
    inbox.put_at_work("b", [])

    assert [news.worker for news in taken] == ["b"]


def test_to_wait_takes_no_time_where_there_is_something(inbox: Inbox):
    inbox.put_at_work("a", [])
    inbox.wait(LONG)
    assert len(list(inbox.take())) == 1


def test_one_that_waits_is_woken_by_news_and_without_any(inbox: Inbox):
    for rouse in (lambda: inbox.put_change(ClusterChanged("left", "a", 0.0, {})), inbox.wake):
        waiting = threading.Thread(target=inbox.wait, args=(LONG,))
        waiting.start()
        rouse()
        waiting.join(LONG / 2)
        assert not waiting.is_alive()
        list(inbox.take())


def test_a_wake_counts_once(inbox: Inbox):
    inbox.wake()
    inbox.wait(LONG)
    inbox.wait(0)
    assert list(inbox.take()) == []
