"""What follows from what comes in of a flow run."""

import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from prefect_dask.engine import clock
from prefect_dask.engine.book import Book
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.graph import Edge, FlowGraph, Node, TaskLabel
from prefect_dask.engine.held_slots import HeldSlots
from prefect_dask.engine.intake import Intake
from prefect_dask.engine.needless_results import NeedlessResults
from prefect_dask.engine.secrets import HIDDEN
from prefect_dask.engine.stall import StallWatch
from prefect_dask.engine.state import Failed, Retrying, Running, Success
from prefect_dask.engine.stream import (
    Announcer,
    AttemptLost,
    ClusterChanged,
    HandedBack,
    NodeCrashed,
    Observer,
    StateChange,
    ValueLost,
)
from prefect_dask.engine.telling import Teller

NOW = 1_000.0
HERE = "worker-1"


class Seen(Observer):
    """Notes what is told, in order: (node, attempt, state's name, message) and the kinds of cluster events."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def take_changes(self, changes):
        self.told += [(c.node, c.attempt, type(c.state).__name__, c.state.message) for c in changes]

    def take_cluster_event(self, event):
        self.told.append(event.kind)


class Run:
    """secret ─ second ─ third, handed over to a place where nothing runs; what would come of it is made up."""

    def __init__(self, *, keep: frozenset[int] | None = None) -> None:
        labels = [TaskLabel(i, f"t{i}", f"t{i}-1", is_secret=i == 0) for i in range(3)]
        task: Any = SimpleNamespace(max_in_flight=None)
        edges = [Edge(labels[i], labels[i + 1], "x") for i in range(2)]
        graph = FlowGraph("f", [Node(label, task=task) for label in labels], edges)
        self.seen, self.released, attempts = Seen(), [], {}
        logger = logging.getLogger("prefect_dask.FlowRunner")
        info = RunInfo("f", "run", "f-run", {}, clock.utc_now())
        self.intake = Intake(
            graph,
            attempts,
            slots=HeldSlots(None),
            needless=None if keep is None else NeedlessResults(graph, keep),
            teller=Teller(
                info,
                graph,
                observer=self.seen,
                announcer=Announcer([], logger),
                stall=StallWatch(0),
                logger=logger,
                attempts=attempts,
            ),
            observer=self.seen,
            recovery=None,
        )
        self.book = Book(graph, attempts=attempts)
        graph_run: Any = SimpleNamespace(release=self.released.extend)
        self.intake.begin(graph_run, self.book)
        self.book.take_all(NOW)

    def take(self, *events, makes_again=True):
        return self.intake.take(events, makes_again=makes_again)


def change(index, state, *, attempt=1, generation=1, is_over=True):
    return StateChange((index, -1, generation), attempt, state, is_over, HERE)


def test_what_counts_is_told_once_and_what_is_late_is_not():
    run = Run()
    begun = change(1, Running(), is_over=False)

    assert run.take(begun, begun) == []
    assert run.take(change(1, Success()), begun, change(1, Failed("late"))) == []

    assert [name for _, _, name, _ in run.seen.told] == ["Running", "Success"]
    assert run.intake.where == {(1, -1): HERE}


def test_what_a_secret_came_to_is_told_and_kept_without_its_value():
    run = Run()

    run.take(change(0, Success(result="hush")))

    assert run.book.runs.state(0).result == HIDDEN


def test_a_crash_is_told_and_has_what_lies_below_handed_over_again(caplog):
    run = Run(keep=frozenset())

    assert run.take(NodeCrashed((1, -1, 1), RuntimeError("gone"), HERE)) == [(1, -1)]
    assert run.take(NodeCrashed((1, -1, 1), RuntimeError("again"), HERE)) == []

    assert [told[2] for told in run.seen.told] == ["Crashed"]
    assert caplog.messages == ["task 't1' crashed: gone"]


def test_losses_are_told_warned_of_in_one_line_and_made_up_for(caplog):
    run = Run()
    run.take(change(0, Success()), change(1, Running(), is_over=False))

    again = run.take(
        HandedBack((1, -1, 1), HERE, "worker died"), HandedBack((2, -1, 1), HERE, "worker died")
    )

    assert again == [(1, -1), (2, -1)]
    message = "attempt lost: worker died"
    assert run.seen.told[2:] == [((i, -1, 1), 1, "Pending", message) for i in (1, 2)]
    assert caplog.messages == [f"tasks 't1', 't2': {message}"]


def test_an_attempt_that_another_worker_takes_up_is_told_under_its_number():
    run = Run()
    run.take(change(0, Success()))
    run.take(change(1, Retrying(start_time=clock.to_datetime(NOW), run_count=1)))
    run.book.take_due(NOW + 1)
    run.take(change(1, Running(), attempt=2, generation=2, is_over=False))

    assert run.take(AttemptLost((1, -1, 2), HERE, "worker died")) == []

    assert run.seen.told[-1] == ((1, -1, 2), 2, "Pending", "attempt lost: worker died")


def test_a_retry_heard_of_after_the_clock_was_set_back_is_told_for_when_its_delay_is_over():
    run = Run()
    with clock.settable() as hands:
        retry = Retrying(start_time=clock.to_datetime(clock.now() + 60), run_count=1)
        hands.set_by(timedelta(hours=-1))

        run.take(change(1, retry))

        start = clock.to_seconds(retry.start_time)
        assert 59 < start - clock.now() <= 60
        assert run.book.due_times.next() == start


def test_a_lost_value_is_made_again_but_not_when_the_run_is_closing():
    for makes_again in (True, False):
        run = Run()
        run.take(change(1, Success(result=1)))
        lost = ValueLost((1, -1, 1), HERE, "worker died")
        assert run.take(lost, makes_again=makes_again) == [(1, -1)] * makes_again
        assert bool(run.book.runs.is_done[1]) is not makes_again


def test_changes_are_told_before_what_happened_to_the_cluster_after_them():
    run = Run()

    run.take(change(0, Success()), ClusterChanged("removed", HERE, NOW, {}), change(1, Success()))

    assert [told if isinstance(told, str) else told[0][0] for told in run.seen.told] == [
        0,
        "removed",
        1,
    ]


def test_results_that_nothing_needs_any_more_are_released():
    run = Run(keep=frozenset({2}))

    run.take(change(0, Success()), change(1, Success()))
    assert run.released == [(0, -1, 1)]
    run.take(change(2, Success()))
    assert run.released == [(0, -1, 1), (1, -1, 1)]


def test_where_nothing_runs_any_more_all_that_was_running_is_lost():
    run = Run()
    run.take(change(0, Success()), change(1, Running(), is_over=False))

    run.intake.lose_running("the cluster is gone")

    assert run.seen.told[-1] == ((1, -1, 1), 1, "Pending", "attempt lost: the cluster is gone")
