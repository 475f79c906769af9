"""Holding Python's cycle collector back for a moment, or away from what there is."""

from __future__ import annotations

import gc
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

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
