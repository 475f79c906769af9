"""Messages of a worker's threads leave in order, and those of a node's end wake nobody."""

import threading

from prefect_dask.engine.executors.dask_hosting import Outbox


def test_messages_leave_in_the_order_they_came_in():
    sent = []
    outbox = Outbox(sent.append)
    for message in "abc":
        outbox.put(message)
    assert not sent

    outbox.send()
    outbox.send()
    assert sent == ["a", "b", "c"]


def test_only_within_what_holds_and_in_its_thread_nobody_need_be_woken():
    outbox = Outbox(print)
    seen = {}

    def look(name):
        seen[name] = outbox.is_held_here()

    def flush():
        look("within")
        other = threading.Thread(target=look, args=["in another thread"])
        other.start()
        other.join()

    outbox.holding(flush)()
    look("after")
    assert seen == {"within": True, "in another thread": False, "after": False}
