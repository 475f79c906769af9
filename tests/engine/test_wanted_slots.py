"""Which task runs wait for a slot of a concurrency limit, and when one is asked for."""

from prefect_dask.engine.book import Book
from prefect_dask.engine.early_end import end_undone
from prefect_dask.engine.state import Cancelled, Success
from tests.engine.plain_graphs import graph_of

NOW = 1_000.0
FIRST, LIMITED, LAST = range(3)
ONCE = (LIMITED, -1, 1)


def row_of_three() -> Book:
    """first ─ limited ─ last"""
    book = Book(graph_of(3, (FIRST, LIMITED), (LIMITED, LAST)))
    book.limit(frozenset({LIMITED}))
    return book


def nodes_of(plan) -> list[tuple[int, int, int]]:
    return [item.node for item in plan]


def end(book: Book, index: int) -> None:
    book.accept(book.runs.node_id(index), Success(), is_over=True)


def test_a_slot_is_asked_for_when_all_that_the_task_run_needs_is_done_and_once():
    book = row_of_three()

    assert nodes_of(book.take_all(NOW)) == [(FIRST, -1, 1)], (
        "what is limited waits, and what is below"
    )
    assert not book.wanted_slots.waiting, "no slot is held while it waits for others"
    end(book, FIRST)
    assert book.take_freed(NOW) == []
    assert book.wanted_slots.take_to_ask() == [ONCE]
    assert book.take_from([(LIMITED, -1)], NOW) == []
    assert book.wanted_slots.take_to_ask() == []
    assert book.wanted_slots.waiting


def test_what_has_its_slot_is_handed_over_with_what_is_below():
    book = row_of_three()
    book.take_all(NOW)
    end(book, FIRST)
    book.take_freed(NOW)
    book.wanted_slots.take_to_ask()

    plan, needless = book.take_granted([ONCE], NOW)

    assert nodes_of(plan) == [ONCE, (LAST, -1, 1)]
    assert needless == []
    assert not book.wanted_slots.waiting


def test_each_execution_needs_a_slot_of_its_own():
    book = row_of_three()
    book.take_all(NOW)
    end(book, FIRST)
    book.take_freed(NOW)
    book.take_granted(book.wanted_slots.take_to_ask(), NOW)

    assert book.losses.hand_back(ONCE, "its worker died")
    assert book.take_from([(LIMITED, -1)], NOW) == []
    assert book.wanted_slots.take_to_ask() == [(LIMITED, -1, 2)]

    plan, needless = book.take_granted([ONCE], NOW)
    assert plan == [] and needless == [ONCE], "that slot was another execution's"
    plan, _ = book.take_granted(book.wanted_slots.take_to_ask(), NOW)
    assert nodes_of(plan) == [(LIMITED, -1, 2), (LAST, -1, 2)]


def test_a_slot_that_comes_when_the_run_is_ending_is_needless():
    book = row_of_three()
    book.take_all(NOW)
    end(book, FIRST)
    book.take_freed(NOW)
    book.forget_plans()
    list(end_undone(book.runs, lambda state: Cancelled()))

    assert not book.wanted_slots.waiting
    assert book.wanted_slots.take_to_ask() == []
    assert book.take_granted([ONCE], NOW) == ([], [ONCE])
