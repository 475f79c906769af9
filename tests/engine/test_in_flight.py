"""Which children of a map with `max_in_flight` may begin, and when one has landed."""

from datetime import datetime, timezone

from prefect_dask.engine.book import Book
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.in_flight import InFlight
from prefect_dask.engine.state import Cancelled, Mapped, Pending, Retrying, Success
from prefect_dask.engine.task_runs import TaskRuns
from tests.engine.plain_graphs import graph_of

NOW = 1_000.0
BEGIN, FINISH = 1, 2


def pipeline(max_in_flight: int | None) -> FlowGraph:
    """items ─ begin ─ finish, item by item; `begin` has the limit."""
    limits = {} if max_in_flight is None else {BEGIN: max_in_flight}
    return graph_of(3, (0, BEGIN), (BEGIN, FINISH), mapped=True, max_in_flight=limits)


def runs_of(graph: FlowGraph, width: int) -> TaskRuns:
    runs = TaskRuns(len(graph))
    for index in (BEGIN, FINISH):
        runs.grow(index, width)
    return runs


def end(runs: TaskRuns, index: int, place: int) -> None:
    runs.set_state(index, runs.row(index, place), Success())


def test_so_many_may_begin_and_the_next_when_one_is_through_all_that_is_mapped_over_it():
    graph = pipeline(2)
    runs = runs_of(graph, 4)
    in_flight = InFlight(graph, runs)

    assert [in_flight.holds_back(BEGIN, place) for place in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert not in_flight.holds_back(BEGIN, 1), "a retry of one that is in flight need not wait"
    assert not in_flight.holds_back(FINISH, 1), "what is mapped over it goes on"
    assert not in_flight.holds_back(BEGIN, 0), "the mapped parent is none of them"

    end(runs, BEGIN, 1)
    in_flight.land(BEGIN, 1)
    assert in_flight.take_freed() == set(), "it has not landed: `finish` is to come"
    end(runs, FINISH, 1)
    in_flight.land(FINISH, 1)
    assert in_flight.take_freed() == {(BEGIN, 3)}, "the first in line"
    assert not in_flight.holds_back(BEGIN, 3)
    assert in_flight.take_freed() == set(), "there is no room for the last one"


def test_where_the_map_over_it_turns_out_to_have_no_children_a_child_has_landed_by_itself():
    graph = pipeline(1)
    runs = TaskRuns(len(graph))
    runs.grow(BEGIN, 2)
    runs.set_state(FINISH, FINISH, Cancelled())
    in_flight = InFlight(graph, runs)
    assert [in_flight.holds_back(BEGIN, place) for place in (1, 2)] == [False, True]

    end(runs, BEGIN, 1)
    in_flight.land(BEGIN, 1)

    assert in_flight.take_freed() == {(BEGIN, 2)}


def test_nothing_is_held_back_where_no_map_has_a_limit_or_once_it_is_lifted():
    graph = pipeline(None)
    free = InFlight(graph, runs_of(graph, 3))
    assert not free.is_limited
    assert not any(free.holds_back(BEGIN, place) for place in (1, 2, 3))

    graph = pipeline(1)
    lifted = InFlight(graph, runs_of(graph, 3))
    assert lifted.is_limited
    lifted.lift()
    assert not lifted.is_limited
    assert not any(lifted.holds_back(BEGIN, place) for place in (1, 2, 3))


def test_children_that_were_in_flight_are_so_when_a_run_goes_on():
    """At most two at once: of five, the first is through, the second half, the third waits for its retry."""
    late = Retrying(start_time=datetime.fromtimestamp(NOW + 100, timezone.utc), run_count=1)
    begin = Mapped(map_states=[Success(), Success(), late, Pending(), Pending()])
    finish = Mapped(map_states=[Success(), *[Pending() for _ in range(4)]])
    book = Book(pipeline(2), {0: Success(result=[0] * 5), BEGIN: begin, FINISH: finish})

    assert [item.node[:2] for item in book.take_all(NOW)] == [(FINISH, 1)]

    book.accept((FINISH, 1, 1), Success(), is_over=True)
    assert [item.node[:2] for item in book.take_freed(NOW)] == [(BEGIN, 3), (FINISH, 3)]
