"""One graph run of a flow run: hands over what is possible, takes in what comes back, until no more can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import clock
from .book import Book
from .collector import CollectorHeld, CollectorInRun
from .executors.base import GraphRun, HoldsResults, RunsHere
from .hand_over import HandOver
from .held_slots import SLOT_LOOK_SECONDS, HeldSlots
from .intake import Intake
from .stall_report import StallReport
from .state import Paused, State
from .steering import Cancel, Steering
from .stream import Announcer, Event, Observer

#: How long the coordinating thread waits at a time when nothing is due, seconds: Ctrl-C is seen that soon on
#: systems where waiting for a lock cannot be interrupted.
WAIT_SECONDS = 0.5

#: How long it waits where there is more to be handed over, seconds: so long that other threads get their turn.
BREATH_SECONDS = 0.002


class Advancing:
    """Advances a flow run in a graph run.

    Args:
        book: What is known of the task runs of the flow run.
        graph_run: Where they run from here on.
        steering: Through which the run is told something meanwhile.
        intake: Takes in what happens.
        slots: The slots of the run.
        stalls: Says it where nothing happens.
        observer: Is asked now and then whether the run may go on.
        followed_by: Has to be told also while a body runs in the thread that advances; None where nobody follows.
        may_resume: Asked with (task, map index, state) whether a paused task run may go on, when nothing else can
            be done; without it none may.
    """

    def __init__(
        self,
        book: Book,
        graph_run: GraphRun,
        *,
        steering: Steering,
        intake: Intake,
        slots: HeldSlots,
        stalls: StallReport,
        observer: Observer,
        followed_by: Announcer | None,
        may_resume: Callable[[int, int, State], bool] | None,
    ) -> None:
        self._book, self._graph_run, self._steering = book, graph_run, steering
        self._intake, self._slots = intake, slots
        self._stalls, self._observer = stalls, observer
        self._followed_by, self._may_resume = followed_by, may_resume
        #: Whether nothing is handed over any more.
        self._is_closing = False
        intake.begin(graph_run, book)
        steering.begin(graph_run)

    def advance(self) -> None:
        """Hand over, take in, hand over again, until nothing is under way or due, or somebody asked to cancel.

        Raises:
            Exception: What stands in the way.
        """
        graph_run = self._graph_run
        if isinstance(graph_run, RunsHere):
            graph_run.take_early = self._take_in
            if self._followed_by is not None:
                self._followed_by.watch(self._look_in)
        runs_here = not isinstance(graph_run, HoldsResults)
        with CollectorInRun(len(self._book.graph), runs_here=runs_here) as collector:
            with CollectorHeld():
                plan = self._book.take_all(clock.now(), graph_run.room())
            self._hand_over(plan)
            self._go_on(collector)

    def let_end(self, cancel: Cancel) -> None:
        """Wait for the bodies at work to end by themselves, as long as they may."""
        self._is_closing = True
        while self._graph_run.is_at_work():
            left = (self._steering.asked or cancel).until - clock.monotonic()
            if left <= 0:
                return
            self._take_in(self._graph_run.wait(min(left, WAIT_SECONDS)))
            self._observer.check()

    def close(self, *, is_whole: bool) -> None:
        """End the graph run, and take in what still comes of it.

        Args:
            is_whole: Whether all came to its end; else what runs is stopped.
        """
        self._is_closing = True
        self._steering.end()
        self._take_in(self._graph_run.close(is_cancelled=not is_whole))

    def _go_on(self, collector: CollectorInRun) -> None:
        book, graph_run = self._book, self._graph_run
        while self._steering.asked is None:
            collector.look()
            book.due_times.heed_clock()
            due = book.due_times.next()
            if due is not None and due <= clock.now():
                self._hand_over(book.take_due(clock.now()))
                continue
            if book.has_more and (room := graph_run.room()):
                self._hand_over(book.take_more(clock.now(), room))
            if self._slots.limited:
                self._hand_over(self._slots.see_to(book, graph_run.at_once()))
            is_waited_for = bool(book.runs.out_count or book.wanted_slots.waiting)
            if due is None and not (is_waited_for or book.has_more):
                collector.let_go()  # a person may be asked, and take a while
                if not self._resume_paused():
                    return
            elif due is not None and not is_waited_for and clock.is_turned():
                clock.wait_until(due)
                continue
            longest = BREATH_SECONDS if book.has_more and graph_run.room() else WAIT_SECONDS
            if book.wanted_slots.waiting:
                longest = min(longest, SLOT_LOOK_SECONDS)
            if (left := collector.seconds_left()) > 0:
                longest = min(longest, left)
            timeout = longest if due is None else min(longest, due - clock.now())
            self._take_in(graph_run.wait(max(0.0, timeout)))
            self._stalls.look(book, graph_run)
            self._hand_over(book.take_grown(clock.now(), graph_run.room()))
            self._hand_over(book.take_freed(clock.now()))
            self._observer.check()

    def _look_in(self) -> None:
        """Take in what there is, where the calling thread is in a body; called in the listeners' thread."""
        assert isinstance(self._graph_run, RunsHere)
        self._graph_run.look()
        self._stalls.look(self._book, self._graph_run)

    def _resume_paused(self) -> bool:
        """Ask for each paused task whether it may go on; whether any may."""
        if self._may_resume is None:
            return False
        resumed = []
        for index, map_index, state in list(self._book.runs.in_state(Paused)):
            if self._may_resume(index, map_index, state):
                self._book.resume(index, map_index)
                resumed.append((index, map_index))
        self._hand_over(self._book.take_from(resumed, clock.now()))
        return bool(resumed)

    def _hand_over(self, plan: Sequence[HandOver]) -> None:
        if plan and not self._is_closing:
            self._graph_run.extend(plan)

    def _take_in(self, events: Sequence[Event]) -> None:
        again = self._intake.take(events, makes_again=not self._is_closing)
        if again:
            self._hand_over(self._book.take_from(again, clock.now()))
