"""What has to run again when an execution or its value is lost, and what is told of it."""

from datetime import datetime, timezone

from prefect_dask.engine.book import Book
from prefect_dask.engine.hand_over import Given
from prefect_dask.engine.state import Failed, Paused, Pending, Resume, Retrying, Running, Success
from tests.engine.plain_graphs import graph_of

NOW = 1_000.0
DIAMOND = graph_of(4, (0, 1), (0, 2), (1, 3), (2, 3))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def end(book: Book, index: int, state) -> int:
    return book.accept(book.runs.node_id(index), state, is_over=True)


def test_a_lost_attempt_goes_back_to_pending_and_may_run_again():
    book = Book(DIAMOND)
    book.take_all(NOW)
    book.accept((0, -1, 1), Running(), is_over=False)

    lost = book.losses.lose((0, -1, 1), "attempt lost: …")

    assert lost is book.runs.state(0)
    assert book.accept((0, -1, 1), Running(), is_over=False)
    assert end(book, 0, Success())
    assert book.losses.lose((0, -1, 1), "again") is None


def test_a_value_that_is_lost_and_kept_is_given_and_what_looks_at_it_is_handed_over_again():
    book = Book(graph_of(3, (0, 1), (1, 2)))
    book.take_all(NOW)
    end(book, 0, Success(result=1))

    losses = book.losses.lose_value((0, -1, 1), Success(result=1), "lost")

    # The second one may have begun, too: perhaps only the word that the first is over was under way.
    assert [(node, type(state)) for node, state in losses] == [
        ((1, -1, 1), Pending),
        ((2, -1, 1), Pending),
    ]
    assert book.runs.state(0).is_successful()
    plan = book.take_from([(0, -1)], NOW)
    assert [item.node for item in plan] == [(1, -1, 2), (2, -1, 2)]
    assert isinstance(plan[0].upstream[0], Given)


def test_a_value_that_is_lost_and_not_kept_is_made_again_and_a_failure_is_not():
    book = Book(graph_of(2))
    book.take_all(NOW)
    end(book, 0, Success(result=1))
    end(book, 1, Failed("broken"))

    losses = book.losses.lose_value((0, -1, 1), None, "lost")
    assert [(node, state.message) for node, state in losses] == [((0, -1, 1), "lost")]
    assert book.losses.lose_value((1, -1, 1), None, "lost") == []
    assert [item.node for item in book.take_from([(0, -1), (1, -1)], NOW)] == [(0, -1, 2)]
    assert book.runs.state(1).message == "broken"


def test_what_shared_a_node_with_what_is_lost_is_told_too_for_it_may_have_begun():
    book = Book(graph_of(2, (0, 1)))
    book.take_all(NOW)

    told = [*book.losses.hand_back((0, -1, 1), "lost"), *book.losses.hand_back((1, -1, 1), "lost")]

    assert [node for node, _ in told] == [(0, -1, 1), (1, -1, 1)]
    assert [item.node for item in book.take_from([(0, -1)], NOW)] == [(0, -1, 2), (1, -1, 2)]


def test_an_attempt_whose_execution_is_lost_is_made_again_under_its_number():
    attempts: dict[tuple[int, int], int] = {}
    book = Book(graph_of(1), attempts=attempts)
    book.take_all(NOW)
    end(book, 0, Retrying(start_time=at(NOW), run_count=1))
    book.take_due(NOW)

    # It has not begun yet; it is told that it has.
    for generation in (2, 3):
        [(_, told)] = book.losses.hand_back((0, -1, generation), "lost")
        assert (type(told), told.message, told.context) == (Pending, "lost", {})
        [item] = book.take_from([(0, -1)], NOW)
        assert isinstance(item.start, Given)
        assert item.start.state.context == {"task_run_count": 2}
        attempts[0, -1] = 2
        book.accept(item.node, Running(), is_over=False)


def test_what_was_let_go_on_from_a_pause_does_not_pause_again_because_its_worker_died():
    book = Book(graph_of(1))
    book.take_all(NOW)
    end(book, 0, Paused("ask"))
    book.resume(0)
    book.take_from([(0, -1)], NOW)
    book.accept((0, -1, 2), Running(), is_over=False)

    book.losses.hand_back((0, -1, 2), "lost")

    [item] = book.take_from([(0, -1)], NOW)
    assert isinstance(item.start, Given) and isinstance(item.start.state, Resume)
