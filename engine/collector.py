"""When Python's cycle collector is held back for a moment, or away from what there is."""

from __future__ import annotations

import gc
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from . import clock

if TYPE_CHECKING:
    from typing_extensions import Self

#: How long the collector is held back at the beginning of a run on a cluster, seconds: in this process with all of
#: Dask it takes 40 ms, which is as long as a run of a thousand short tasks.
HELD_SECONDS = 0.2

#: From so many tasks on a flow that runs in this process is set aside from the collector, and for how long,
#: seconds. Fewer of them may each want room for something large that only the collector gives back.
SET_ASIDE_TASKS = 10_000
SET_ASIDE_SECONDS = 10.0

#: How often what its run has made is set aside, too, seconds: states by the ten thousand, which stay.
SET_ASIDE_EVERY_SECONDS = 0.05

#: How far apart full collections are while short task runs come and go on a cluster, seconds. Each looks at all
#: that there is, of a flow of 100,000 for half a second.
APART_SECONDS = 10.0

#: As the third threshold of the collector: so many collections of the middle generation never come.
NEVER = 2**31 - 1

#: From so many objects on it is worth the while to have them count as old.
MANY_OBJECTS = 10_000

_lock = threading.Lock()
_holders = 0
_young_only_holders = 0
_usual_threshold = 0


class CollectorHeld:
    """Within, no cycles are collected in this process: for short work that makes many objects, all to last.

    The collector would look at each of them several times, and, since they are many, at all others of the process
    too: for a flow of 10,000 tasks that took a third of the time. Nothing that takes long belongs within: who calls
    users' code lets go after a tenth of a second, in another thread where need be.
    """

    __slots__ = ("_holds",)

    def __enter__(self) -> Self:
        global _holders
        with _lock:
            self._holds = _holders > 0 or gc.isenabled()
            if self._holds:
                _holders += 1
                gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Let the collector go before the end of the block. For any thread."""
        global _holders
        with _lock:
            if self._holds:
                self._holds = False
                _holders -= 1
                if not _holders:
                    gc.enable()


class MadeToLast(CollectorHeld):
    """The same, for what stays as long as a run: much of it counts as old at once.

    Let go, the collector would look at all of it as at anything young. Garbage of other threads that is as young
    has to wait for a full collection, so it is nothing for where bodies run.
    """

    __slots__ = ()

    def let_go(self) -> None:
        with _lock:
            # Whoever has set something aside wants that to last.
            if self._holds and gc.get_count()[0] >= MANY_OBJECTS and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
        super().let_go()


class SetAside:
    """Within, the collector leaves alone what there was before: for work beside so much of it that looking costs.

    A full collection looks at every object of the process. A flow of 100,000 tasks is more than a million of them,
    and what its run makes calls for such collections: a third of its time. Garbage that was there already waits,
    too, so it is for seconds, and not for what may make room for something large by collecting.
    """

    __slots__ = ("_holds",)

    def __enter__(self) -> Self:
        with _lock:
            # Who has done so by himself, as before a fork, wants it to last.
            self._holds = hasattr(gc, "freeze") and not gc.get_freeze_count()
            if self._holds:
                gc.freeze()
        return self

    def __exit__(self, *exit: object) -> None:
        self.let_go()

    def again(self) -> None:
        """Leave alone, too, what was made since, but for young garbage. For any thread."""
        with _lock:
            if self._holds:
                gc.collect(1)
                gc.freeze()

    def let_go(self) -> None:
        """Give all back before the end of the block. For any thread."""
        with _lock:
            if self._holds:
                self._holds = False
                gc.unfreeze()


class YoungOnly:
    """Within, the collector by itself looks at young objects only; who calls `gc.collect` has it look at all.

    What lived for long and ends in a cycle waits, so it is for seconds.
    """

    __slots__ = ("_holds",)

    def __enter__(self) -> Self:
        global _young_only_holders, _usual_threshold
        with _lock:
            if not _young_only_holders:
                youngest, young, _usual_threshold = gc.get_threshold()
                gc.set_threshold(youngest, young, NEVER)
            _young_only_holders += 1
            self._holds = True
        return self

    def __exit__(self, *exit: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Have it look at all again before the end of the block. For any thread."""
        global _young_only_holders
        with _lock:
            if self._holds:
                self._holds = False
                _young_only_holders -= 1
                youngest, young, old = gc.get_threshold()
                # Whoever set one of his own meanwhile keeps it.
                if not _young_only_holders and old == NEVER:
                    gc.set_threshold(youngest, young, _usual_threshold)


class FullCollections:
    """Keeps full collections off for a while, again and again, with at least one in between. For any thread."""

    def __init__(self) -> None:
        self._young_only: YoungOnly | None = None
        #: How many there had been when one was last let come.
        self._before: int | None = None
        self._turn = threading.Lock()

    def keep_off(self) -> bool:
        """Keep them off, unless none came since they were let come.

        Returns:
            Whether that begins now: who called sees to it that they are let come in `APART_SECONDS`.
        """
        with self._turn:
            begins = self._young_only is None and self._before != _full_collections()
            if begins:
                self._young_only = YoungOnly().__enter__()
            return begins

    def let_come(self) -> None:
        """Let them come as they like."""
        with self._turn:
            if self._young_only is not None:
                self._young_only.let_go()
                self._young_only, self._before = None, _full_collections()


def _full_collections() -> int:
    count: int = gc.get_stats()[-1]["collections"]
    return count


class CollectorInRun:
    """Within, a flow is run: the collector is kept from it for the first seconds.

    Args:
        task_count: How many tasks the flow has.
        runs_here: Whether bodies run in this process. Where none does, what a short run makes are things of its
            own, which go without a collector; and a long one has it look at all of them now and then.
    """

    def __init__(self, task_count: int, *, runs_here: bool) -> None:
        self._kept: CollectorHeld | SetAside | None = None
        self._full = None if runs_here else FullCollections()
        seconds = 0.0
        if not runs_here:
            self._kept, seconds = CollectorHeld(), HELD_SECONDS
        elif task_count >= SET_ASIDE_TASKS:
            self._kept, seconds = SetAside(), SET_ASIDE_SECONDS
        now = clock.monotonic()
        self._until, self._again_at = now + seconds, now + SET_ASIDE_EVERY_SECONDS
        self._full_at = now

    def __enter__(self) -> Self:
        if self._kept is not None:
            self._kept.__enter__()
        return self

    def __exit__(self, *exit: object) -> None:
        self.let_go()

    def look(self) -> None:
        """Do what it is time for; to be called often."""
        now = clock.monotonic()
        if self._full is not None:
            if now > self._full_at:
                self._full.let_come()
            if self._full.keep_off():
                self._full_at = now + APART_SECONDS
        if now > self._until:
            self._let_go_of_kept()
        elif isinstance(self._kept, SetAside) and now > self._again_at:
            self._kept.again()
            self._again_at = now + SET_ASIDE_EVERY_SECONDS

    def seconds_left(self) -> float:
        """How long it is until `look` has to be called; 0 or less where it is enough to do so now and then."""
        return self._until - clock.monotonic()

    def let_go(self) -> None:
        """Give the collector back before the end of the block."""
        self._let_go_of_kept()
        if self._full is not None:
            self._full.let_come()

    def _let_go_of_kept(self) -> None:
        if self._kept is not None:
            self._kept.let_go()
            self._kept = None
