"""Holding Python's cycle collector back for a moment."""

from __future__ import annotations

import gc
import threading
from types import TracebackType

_lock = threading.Lock()
_holders = 0


class CollectorHeld:
    """Within, no cycles are collected in this process: for short work that makes many objects, all to last.

    The collector would look at each of them several times, and, since they are many, at all others of the process
    too: for a flow of 10,000 tasks that took a third of the time. Nothing that takes long belongs within.
    """

    __slots__ = ("_holds",)

    def __enter__(self) -> None:
        global _holders
        with _lock:
            self._holds = _holders > 0 or gc.isenabled()
            if self._holds:
                _holders += 1
                gc.disable()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _holders
        with _lock:
            if self._holds:
                _holders -= 1
                if not _holders:
                    gc.enable()
