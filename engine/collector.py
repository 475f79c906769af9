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

_lock = threading.Lock()
_holders = 0


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


class CollectorInRun:
    """Within, a flow is run: the collector is kept from it for the first seconds.

    Args:
        task_count: How many tasks the flow has.
        runs_here: Whether bodies run in this process. Where none does, what a short run makes are things of its
            own, which go without a collector.
    """

    def __init__(self, task_count: int, *, runs_here: bool) -> None:
        self._kept: CollectorHeld | SetAside | None = None
        seconds = 0.0
        if not runs_here:
            self._kept, seconds = CollectorHeld(), HELD_SECONDS
        elif task_count >= SET_ASIDE_TASKS:
            self._kept, seconds = SetAside(), SET_ASIDE_SECONDS
        now = clock.monotonic()
        self._until, self._again_at = now + seconds, now + SET_ASIDE_EVERY_SECONDS

    def __enter__(self) -> Self:
        if self._kept is not None:
            self._kept.__enter__()
        return self

    def __exit__(self, *exit: object) -> None:
        self.let_go()

    def look(self) -> None:
        """Do what it is time for; to be called often."""
        now = clock.monotonic()
        if now > self._until:
            self.let_go()
        elif isinstance(self._kept, SetAside) and now > self._again_at:
            self._kept.again()
            self._again_at = now + SET_ASIDE_EVERY_SECONDS

    def seconds_left(self) -> float:
        """How long it is until `look` has to be called; 0 or less where it need not be."""
        return self._until - clock.monotonic()

    def let_go(self) -> None:
        """Give the collector back before the end of the block."""
        if self._kept is not None:
            self._kept.let_go()
            self._kept = None
