"""One graph run, turned by hand: what is handed over, and when it is over."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from prefect_dask.engine import clock
from prefect_dask.engine.advancing import Advancing
from prefect_dask.engine.book import Book
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.held_slots import HeldSlots
from prefect_dask.engine.intake import Intake
from prefect_dask.engine.stall import StallWatch
from prefect_dask.engine.stall_report import StallReport
from prefect_dask.engine.state import Paused, Running, Success
from prefect_dask.engine.steering import Cancel, Steering
from prefect_dask.engine.stream import Announcer, HandedBack, Observer, StateChange
from prefect_dask.engine.telling import Teller
from tests.engine.plain_graphs import graph_of

CHAIN = graph_of(2, (0, 1))


class ByHand:
    """A graph run in which nothing runs: each `wait` gives the next of some lists of events."""

    def __init__(self, *events: Any) -> None:
        self.events, self.taken, self.closed = list(events), [], []

    def room(self):
        return 100

    def extend(self, plan):
        self.taken += [item.node for item in plan]

    def wait(self, timeout_seconds):
        return self.events.pop(0)

    def let_end(self, grace_seconds):
        pass

    def is_at_work(self):
        return bool(self.events)

    def close(self, *, is_cancelled):
        self.closed.append(is_cancelled)
        return []


def advancing(graph_run: Any, *, steering=None, may_resume=None) -> tuple[Advancing, Book]:
    logger = logging.getLogger("prefect_dask.FlowRunner")
    attempts: dict[tuple[int, int], int] = {}
    observer, slots, watch = Observer(), HeldSlots(None), StallWatch(0)
    teller = Teller(
        RunInfo("f", "run", "f-run", {}, clock.utc_now()),
        CHAIN,
        observer=observer,
        announcer=Announcer([], logger),
        stall=watch,
        logger=logger,
        attempts=attempts,
    )
    intake = Intake(
        CHAIN,
        attempts,
        slots=slots,
        needless=None,
        teller=teller,
        observer=observer,
        recovery=None,
    )
    book = Book(CHAIN, attempts=attempts)
    return (
        Advancing(
            book,
            graph_run,
            steering=steering or Steering(),
            intake=intake,
            slots=slots,
            stalls=StallReport(
                "f-run", watch, teller=teller, slots=slots, where=intake.where, logger=logger
            ),
            observer=observer,
            followed_by=None,
            may_resume=may_resume,
        ),
        book,
    )


def change(index, state, generation=1, *, is_over=True):
    return StateChange((index, -1, generation), 1, state, is_over, "here")


def test_it_advances_until_nothing_is_under_way():
    graph_run = ByHand([change(0, Success())], [], [change(1, Success())])
    run, book = advancing(graph_run)

    run.advance()
    run.close(is_whole=True)

    assert graph_run.taken == [(0, -1, 1), (1, -1, 1)]
    assert book.runs.out_count == 0 and graph_run.events == []
    assert graph_run.closed == [False]


def test_what_is_handed_back_is_handed_over_again_but_not_while_it_closes():
    lost = HandedBack((0, -1, 1), "here", "worker died")
    graph_run = ByHand([lost], [change(0, Success(), 2), change(1, Success(), 2)])
    run, _ = advancing(graph_run)
    run.advance()
    assert graph_run.taken[2:] == [(0, -1, 2), (1, -1, 2)]

    graph_run = ByHand([change(0, Running(), is_over=False), lost])
    run, book = advancing(graph_run)
    graph_run.extend(book.take_all(clock.now()))
    run.let_end(Cancel("by Ann", clock.monotonic() + 60))
    assert len(graph_run.taken) == 2


def test_a_pause_ends_it_unless_somebody_lets_the_task_run_go_on():
    asked = []

    def let_it(index, map_index, state):
        asked.append((index, map_index, state.message))
        return True

    paused = [change(0, Paused("may it?"))]
    run, book = advancing(ByHand(paused))
    run.advance()
    assert isinstance(book.runs.state(0), Paused)

    graph_run = ByHand(paused, [change(0, Success(), 2), change(1, Success(), 2)])
    run, book = advancing(graph_run, may_resume=let_it)
    run.advance()
    assert asked == [(0, -1, "may it?")]
    assert graph_run.taken[2:] == [(0, -1, 2), (1, -1, 2)]
    assert book.runs.state(1).is_successful()


def test_who_asks_to_cancel_has_it_begin_nothing_more():
    steering = Steering()
    graph_run = ByHand()
    run, book = advancing(graph_run, steering=steering)
    steering.cancel("nobody needs it")

    run.advance()
    run.close(is_whole=False)

    assert book.runs.out_count == 2, "what was handed over is not waited for"
    assert graph_run.closed == [True]


def test_what_stands_in_the_way_is_raised():
    def broken(timeout_seconds):
        raise OSError("the cluster is gone")

    graph_run = SimpleNamespace(room=lambda: 100, extend=lambda plan: None, wait=broken)
    graph_run.let_end = lambda grace: None
    run, _ = advancing(graph_run)

    with pytest.raises(OSError, match="cluster is gone"):
        run.advance()
