"""Says in the log who waits for what, where nothing happens in a flow run for long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from . import clock
from .book import Book
from .executors.base import GraphRun, RunsHere, SeesWorkers
from .held_slots import HeldSlots
from .stall import AtWork, Stalled, StallWatch, WaitsForSlot, stall_text
from .state import Paused, Running
from .telling import Teller


class StallReport:
    """Gathers what is known of who waits, when it is time to say it.

    Args:
        flow_run: What the run is called.
        watch: When it is time.
        teller: Names task runs.
        slots: The slots of the run.
        where: Where task runs run, as far as that was told.
        logger: Gets the text.
    """

    def __init__(
        self,
        flow_run: str,
        watch: StallWatch,
        *,
        teller: Teller,
        slots: HeldSlots,
        where: Mapping[tuple[int, int], str],
        logger: logging.Logger,
    ) -> None:
        self._flow_run, self._watch, self._logger = flow_run, watch, logger
        self._teller, self._slots, self._where = teller, slots, where

    def look(self, book: Book, graph_run: GraphRun | RunsHere) -> None:
        """Say it if it is time; to be called often."""
        quiet = self._watch.look(clock.monotonic())
        if quiet is not None:
            workers = graph_run.shortages() if isinstance(graph_run, SeesWorkers) else []
            self._logger.warning("%s", stall_text(self._stalled(book, quiet, workers), clock.now()))

    def _stalled(self, book: Book, quiet_seconds: float, workers: Sequence[str]) -> Stalled:
        """Who waits for what, as far as it is known here."""
        name, due = self._teller.name, book.due_times.next_of()
        return Stalled(
            self._flow_run,
            quiet_seconds,
            [
                AtWork(name(index, map_index), state._time, self._where.get((index, map_index), ""))
                for index, map_index, state in book.runs.in_state(Running)
            ],
            [
                WaitsForSlot(name(each.task, -1), each.waiting, each.limits, each.why)
                for each in self._slots.waits()
            ],
            workers,
            None if due is None else (name(*due[1:]), due[0]),
            sum(1 for _ in book.runs.in_state(Paused)),
        )
