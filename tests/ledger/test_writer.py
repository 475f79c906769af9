"""The one thread of a process that writes to a ledger comes and goes, and loses nothing when it does."""

import itertools
import threading

from prefect_dask.ledger.entries import Entry
from prefect_dask.ledger.journal import Journal
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.writer import Writer, open_store

ROUNDS = 300


def no_entries(items: object) -> list[Entry]:
    return []


def test_what_is_put_while_the_thread_leaves_is_written(tmp_path):
    place = Place("sqlite", str(tmp_path / "its.sqlite"))
    writer = Writer(open_store(place), Journal(tmp_path / "journals", place))
    stopped = threading.Event()

    def close_it() -> None:
        while not stopped.is_set():
            writer.close(10)

    closer = threading.Thread(target=close_it)
    closer.start()
    try:
        for number in itertools.count():
            writer.put(no_entries, number)
            assert writer.flush(10), f"nobody wrote what was put in round {number}"
            if number == ROUNDS:
                break
    finally:
        stopped.set()
        closer.join(30)
        writer.close(10)


def test_closing_one_that_is_idle_does_not_end_the_next_thread(tmp_path):
    place = Place("sqlite", str(tmp_path / "its.sqlite"))
    writer = Writer(open_store(place), Journal(tmp_path / "journals", place))
    threads = set(threading.enumerate())
    writer.close(10)

    writer.put(no_entries, 1)
    assert writer.flush(10)

    [thread] = set(threading.enumerate()) - threads
    thread.join(0.5)
    assert thread.is_alive(), "it stays a while for what comes next"
    writer.close(10)
