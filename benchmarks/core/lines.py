"""Counting the lines of Python that a run executes: work, without the noise of time.

The same code executes the same lines on every machine, and within 4 % on Python 3.10 to 3.13; what C code does in a
line is not seen.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import prefect_dask
import prefect_dask.engine

OURS = tuple(
    str(Path(package.__file__ or "").parent) for package in (prefect_dask, prefect_dask.engine)
)


class LineCount:
    """Counts every line in the thread that makes it, and in threads started later those of our own code.

    What other threads do in other code, as an event loop does, follows the clock and not the work.

    Attributes:
        by_file: Lines executed while counting, by source file.
    """

    def __init__(self) -> None:
        self.by_file: Counter[str] = Counter()
        self._thread = threading.get_ident()
        self._is_on = False

    @property
    def total(self) -> int:
        return sum(self.by_file.values())

    @contextmanager
    def in_new_threads(self) -> Iterator[None]:
        """Let threads that are started meanwhile be counted, for as long as they live."""
        threading.settrace(self._enter)
        try:
            yield
        finally:
            threading.settrace(None)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens meanwhile."""
        self.by_file.clear()
        before = sys.gettrace()
        self._is_on = True
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)
            self._is_on = False

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        if threading.get_ident() == self._thread or frame.f_code.co_filename.startswith(OURS):
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and self._is_on:
            self.by_file[frame.f_code.co_filename] += 1
        return self._line
