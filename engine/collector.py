"""Holding Python's cycle collector back for a moment."""

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
