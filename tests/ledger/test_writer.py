"""The one thread of a process that writes to a ledger comes and goes, and loses nothing when it does."""

import itertools
import threading
from collections.abc import Sequence

from prefect_dask.ledger.entries import Begun, Entry
from prefect_dask.ledger.journal import Journal
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.sqlite import SqliteStore
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


class SlowToClose(SqliteStore):
    """On a disk that takes its time."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.is_closing, self.may_close = threading.Event(), threading.Event()

    def close(self) -> None:
        if self._connection is not None:
            self.is_closing.set()
            assert self.may_close.wait(30)
        super().close()


def test_nobody_waits_for_the_thread_to_let_its_ledger_go(tmp_path):
    place = Place("sqlite", str(tmp_path / "its.sqlite"))
    store = SlowToClose(place)
    writer = Writer(store, Journal(tmp_path / "journals", place))
    writer.check()
    writer.put(no_entries, 1)
    assert writer.flush(10)
    closer = threading.Thread(target=writer.close, args=[30])
    closer.start()
    assert store.is_closing.wait(10)
    made: list[object] = []

    def make(items: object) -> list[Entry]:
        made.append(items)
        return []

    another = threading.Thread(target=writer.put, args=[make, 2])
    another.start()
    another.join(5)
    was_held_up = another.is_alive()
    store.may_close.set()
    another.join(10)

    assert not was_held_up
    assert writer.flush(10)
    assert made == [[2]], "what was put meanwhile is written"
    closer.join(10)
    assert not closer.is_alive()
    writer.close(10)


def test_a_journal_that_somebody_removed_does_not_end_the_writing(tmp_path):
    (tmp_path / "no folder").touch()
    place = Place("sqlite", str(tmp_path / "no folder" / "its.sqlite"))
    journals = tmp_path / "journals"
    writer = Writer(open_store(place), Journal(journals, place))
    writer.put(begun, "a" * 32)
    assert writer.flush(10)
    [journal] = journals.glob("*.journal")
    journal.unlink()
    (tmp_path / "no folder").unlink()
    writer.close(10)
    assert writer.error is not None, "it is lost, and that is told"

    writer.put(begun, "b" * 32)

    assert writer.flush(10)
    assert writer.ask("run_ids", [9]) == [("b" * 32,)]
    writer.close(10)


def begun(run_ids: Sequence[str]) -> list[Entry]:
    return [Begun(run_id) for run_id in run_ids]
