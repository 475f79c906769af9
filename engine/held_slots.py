"""Which executions of a flow run have a slot of a concurrency limit: asked for, granted, given back."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from . import clock
from .book import Book
from .context import RunInfo
from .graph import FlowGraph
from .hand_over import HandOver
from .slots import Slots, SlotWait
from .stream import NodeId

#: How long the coordinating thread waits at a time where task runs wait for slots, seconds: no person sees it, and
#: a look at a list is nothing.
SLOT_LOOK_SECONDS = 0.005

#: For how long the slot is kept of an execution that does not count any more, where nobody says that its body runs,
#: seconds: that is told within a fifth.
DOUBT_SECONDS = 1.0

#: Stand for the end of that time where an execution counts, and where its body runs on though it does not.
UNBOUNDED, RUNS_ON = math.inf, sys.float_info.max


class HeldSlots:
    """The slots of a flow run.

    Args:
        slots: Keeps the concurrency limits; None where there are none.
    """

    def __init__(self, slots: Slots | None) -> None:
        self._slots = slots
        #: The tasks that fall under a limit; each of their runs waits for a slot.
        self.limited: frozenset[int] = frozenset()
        #: Executions that have a slot, and when they had it back at the latest (`clock.monotonic`).
        self.holding: dict[NodeId, float] = {}
        self._at_most = 0
        #: Of these, those that are over.
        self._over: list[NodeId] = []

    def look_for_limits(self, info: RunInfo, graph: FlowGraph) -> frozenset[int]:
        """Find out which tasks fall under a limit; where none does, nobody is asked for anything from here on."""
        if self._slots is not None:
            self.limited = self._slots.limited(info, graph)
            if not self.limited:
                self._slots = None
        return self.limited

    def see_to(self, book: Book, at_once: int) -> list[HandOver]:
        """Give back what is over, ask for what is wanted.

        Args:
            book: What is known of the task runs.
            at_once: How many can be at work at a time.

        Returns:
            What can be handed over because it has its slot.
        """
        slots = self._slots
        if slots is None:
            return []
        if at_once != self._at_most:
            self._at_most = at_once
            slots.hold_at_most(at_once)
        self._look_for_uncounted(book)
        if self._over:
            over, self._over = self._over, []
            slots.give_back([node for node in over if self.holding.pop(node, None) is not None])
        if not book.wanted_slots.waiting:
            return []
        if wanted := book.wanted_slots.take_to_ask():
            slots.ask([(node, book.runs.attempt_to_come(*node[:2])) for node in wanted])
        granted = slots.take_granted()
        if not granted:
            return []
        plan, needless = book.take_granted(granted, clock.now())
        self.holding.update(dict.fromkeys(granted, UNBOUNDED))
        for node in needless:
            del self.holding[node]
        slots.give_back(needless)
        return plan

    def _look_for_uncounted(self, book: Book) -> None:
        """Of executions that do not count any more nobody may ever hear: those that do not seem to run are over."""
        now = clock.monotonic()
        for node, until in self.holding.items():
            if until == UNBOUNDED and not book.runs.counts(node):
                self.holding[node] = now + DOUBT_SECONDS
            elif until <= now:
                self._over.append(node)

    def note_over(self, node: NodeId) -> None:
        """An execution is over: if it has a slot, that is free."""
        if node in self.holding:
            self._over.append(node)

    def note_all_over(self) -> None:
        """Nothing is at work any more."""
        self._over = list(self.holding)

    def hear_of_uncounted(self, node: NodeId, *, is_over: bool) -> None:
        """What follows from the word of an execution that does not count any more, and may hold a slot."""
        if is_over:
            self.note_over(node)
        elif node in self.holding:
            self.holding[node] = RUNS_ON

    def waits(self) -> Sequence[SlotWait]:
        """What waits now."""
        return [] if self._slots is None else self._slots.waits()

    def give_up(self) -> None:
        """Give back all slots: what had them is gone with its cluster."""
        if self._slots is not None:
            self._slots.give_back(list(self.holding))
        self.holding.clear()
        self._over.clear()

    def end(self) -> None:
        """Give back all slots, and ask for no more; once or more often."""
        if self._slots is not None:
            self.holding.clear()
            self._slots.end()
            self._slots = None
