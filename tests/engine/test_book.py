"""The book of a flow run: what can be handed over, and what follows from what comes back."""

from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask import Flow, task, unmapped
from prefect_dask.engine import clock
from prefect_dask.engine.book import Book
from prefect_dask.engine.hand_over import Given
from prefect_dask.engine.state import (
    Crashed,
    Failed,
    Mapped,
    Paused,
    Pending,
    Retrying,
    Running,
    Skipped,
    Success,
)
from prefect_dask.engine.widths import known_widths
from tests.engine.plain_graphs import graph_of

NOW = 1_000.0


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def indices(plan) -> list[int]:
    return [item.node[0] for item in plan]


def end(book: Book, index: int, state) -> int:
    return book.accept(book.runs.node_id(index), state, is_over=True)


DIAMOND = graph_of(4, (0, 1), (0, 2), (1, 3), (2, 3))


def test_a_first_run_hands_everything_over_at_once():
    book = Book(DIAMOND)

    plan = book.take_all(NOW)

    assert indices(plan) == [0, 1, 2, 3]
    assert plan[3].upstream == ((1, -1, 1), (2, -1, 1))
    assert book.runs.out_count == 4
    assert book.take_all(NOW) == [], "nothing is handed over twice"


def test_given_finished_states_are_taken_as_they_are():
    book = Book(DIAMOND, {0: Success(result=5), 1: Failed("no")})

    plan = book.take_all(NOW)

    assert indices(plan) == [2, 3]
    assert isinstance(plan[0].upstream[0], Given)
    assert plan[0].upstream[0].state.result == 5
    assert plan[0].needs() == []
    assert plan[1].needs() == [(2, -1, 1)]


def test_a_retry_is_handed_over_at_its_time_with_what_waits_for_it():
    book = Book(DIAMOND)
    book.take_all(NOW)
    end(book, 0, Success())
    end(book, 1, Retrying(start_time=at(NOW + 5), run_count=1))

    assert book.runs.out_count == 1, "what lies below the retry does not count as under way"
    assert book.due_times.next() == NOW + 5
    assert book.take_due(NOW + 4.9) == []
    plan = book.take_due(NOW + 5)

    assert indices(plan) == [1, 3]
    assert plan[0].node == (1, -1, 2)
    assert plan[0].start == (1, -1, 1), "it goes on from what the attempt before left there"
    assert plan[0].as_of == NOW + 5
    assert plan[1].upstream == ((1, -1, 2), (2, -1, 1))
    assert book.due_times.next() is None


def test_what_waits_for_two_retries_is_handed_over_with_the_later_one():
    book = Book(DIAMOND)
    book.take_all(NOW)
    end(book, 0, Success())
    end(book, 1, Retrying(start_time=at(NOW + 1)))
    end(book, 2, Retrying(start_time=at(NOW + 2)))

    assert indices(book.take_due(NOW + 1)) == [1]
    assert indices(book.take_due(NOW + 2)) == [2, 3]


def test_a_crash_hands_over_what_lay_below_it():
    book = Book(DIAMOND)
    book.take_all(NOW)
    end(book, 0, Success())

    assert book.crash((1, -1, 1), Crashed("gone"))
    plan = book.take_from([(1, -1)], NOW)

    assert indices(plan) == [3]
    assert plan[0].upstream[0].state.message == "gone"
    assert plan[0].upstream[1] == (2, -1, 1)
    assert not book.crash((1, -1, 1), Crashed("again")), "it is told once"


def test_a_pause_is_never_due():
    book = Book(DIAMOND)
    book.take_all(NOW)
    end(book, 0, Paused())

    assert book.due_times.next() is None
    assert book.runs.out_count == 0


def test_late_and_repeated_news_move_nothing():
    book = Book(DIAMOND)
    book.take_all(NOW)
    first = book.runs.node_id(0)
    assert book.accept(first, Running(), is_over=False)
    assert book.accept(first, Success(), is_over=True)

    assert not book.accept(first, Running(), is_over=False)
    assert not book.accept(first, Failed(), is_over=True)
    assert book.runs.state(0).is_successful()


def test_what_began_and_ended_unseen_is_two_moves():
    book = Book(DIAMOND)
    book.take_all(NOW)
    book.accept((1, -1, 1), Running(), is_over=False)

    assert book.accept((0, -1, 1), Success(), is_over=True, began=NOW) == 2
    assert book.accept((1, -1, 1), Success(), is_over=True, began=NOW) == 1, "it was seen"
    assert book.accept((1, -1, 1), Success(), is_over=True, began=NOW) == 0


def test_news_of_an_execution_that_was_replaced_move_nothing():
    book = Book(DIAMOND)
    book.take_all(NOW)
    end(book, 0, Retrying(start_time=at(NOW), run_count=1))
    book.take_due(NOW)

    assert not book.accept((3, -1, 1), Success(), is_over=True)
    assert type(book.runs.state(3)) is Pending


@st.composite
def histories(draw):
    """A random graph, and for each of its tasks how often it is retried before it ends."""
    count = draw(st.integers(1, 12))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    retries = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return graph_of(count, *edges), retries, draw(st.randoms(use_true_random=False))


@given(histories())
def test_every_task_of_every_graph_ends_after_exactly_its_attempts(history):
    graph, retries, random = history
    book, now = Book(graph), NOW
    attempts = [0] * len(graph)
    under_way = book.take_all(now)
    while under_way or book.due_times.next() is not None:
        due = book.due_times.next()
        if due is not None and (not under_way or random.random() < 0.3):
            now = max(now, due)
            under_way += book.take_due(now)
            continue
        item = under_way.pop(random.randrange(len(under_way)))
        index = item.node[0]
        if not book.runs.counts(item.node):
            continue  # replaced: on a cluster it comes back undone
        if not all(book.runs.is_done[above] for above, _ in graph.views[index]):
            under_way.insert(0, item)  # Dask would not have begun it yet
            continue
        attempts[index] += 1
        if attempts[index] <= retries[index]:
            wait = random.random() * 10
            end(book, index, Retrying(start_time=at(now + wait), run_count=attempts[index]))
        else:
            end(book, index, Success())

    assert all(book.runs.is_done[index] for index in range(len(graph)))
    assert attempts == [n + 1 for n in retries]
    assert book.runs.out_count == 0


def test_a_child_waits_until_the_children_above_are_known_though_its_own_number_is():
    """Two maps and one over both, where the word of the first map is the last one to arrive.

    list ─┬─ first ──┐
          └─ second ─┴─ both
    """
    book = Book(graph_of(4, (0, 1), (0, 2), (1, 3), (2, 3), mapped=True))
    book.take_all(NOW)
    end(book, 0, Success())

    for index in (2, 3):
        parent = Mapped()
        parent.width = 1
        end(book, index, parent)
    assert [item.node for item in book.take_grown(NOW)] == [(2, 0, 1)]

    parent = Mapped()
    parent.width = 1
    end(book, 1, parent)
    plan = book.take_grown(NOW)
    assert [item.node for item in plan] == [(1, 0, 1), (3, 0, 1)]
    assert plan[1].upstream == ((1, 0, 1), (2, 0, 1))


@task
def work(x, y=None):
    return x


@pytest.mark.parametrize(
    ("config", "certain"),
    [
        ({}, {"sure", "surer"}),
        ({"config": Skipped()}, {"sure", "surer"}),
        ({"config": Success()}, {"sure", "surer", "unsure", "below"}),
    ],
    ids=["to come", "skipped", "there"],
)
def test_children_go_with_their_map_where_it_is_certain_that_there_are_any(config, certain):
    """How many there are is known of all of them.

    [1, 2] ── sure ── surer ─┬─ unsure ── below
                    config ──┘
    """
    with Flow("maps") as flow:
        whole = work.copy(name="config")(0)
        surer = work.copy(name="surer").map(work.copy(name="sure").map([1, 2]))
        unsure = work.copy(name="unsure").map(surer, unmapped(whole))
        work.copy(name="below").map(unsure)
    graph = flow.describe()
    given = {n.label.index: config[n.label.name] for n in graph.nodes if n.label.name in config}

    plan = Book(graph, given, partial(known_widths, graph, {})).take_all(NOW)

    names = [
        graph.nodes[index].label.name
        for index, map_index, _ in (i.node for i in plan)
        if map_index >= 0
    ]
    assert sorted(names) == sorted([*certain, *certain])


def test_edges_must_point_forward():
    with pytest.raises(ValueError, match="does not point forward"):
        graph_of(2, (1, 0))


def test_a_clock_that_is_set_back_keeps_no_retry_waiting():
    with clock.settable() as hands:
        later = at(clock.now() + 5)
        book = Book(graph_of(2), {0: Retrying(start_time=later, run_count=1)})
        assert indices(book.take_all(clock.now())) == [1]
        end(book, 1, Retrying(start_time=later, run_count=1))
        hands.set_by(timedelta(hours=-1))

        book.due_times.heed_clock()

        assert book.take_due(clock.now()) == []
        given, own = book.take_due(clock.now() + 6)
        assert isinstance(given.start, Given) and isinstance(given.start.state, Retrying)
        start = clock.to_seconds(given.start.state.start_time)
        assert given.as_of >= start, "its node sees that its time has come"
        assert own.start == (1, -1, 1)
