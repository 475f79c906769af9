"""Log lines on their way into ledgers: one handler for all runs that are being recorded in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from prefect_dask.engine.logs import ROOT


class TakesLines(Protocol):
    """What lines are given to."""

    @property
    def run_id(self) -> str: ...

    def take_line(self, record: logging.LogRecord) -> None: ...


#: By the thread that coordinates the run; nested runs of one thread are a stack.
_by_thread: dict[int, list[TakesLines]] = {}
_lock = threading.Lock()


# A NullHandler, because it is nobody who shows lines: ours for the terminal is silent where somebody does.
class LineRecorder(logging.NullHandler):
    """Gives each line to the recording of the run that it belongs to."""

    def handle(self, record: logging.LogRecord) -> bool:
        taker = _taker_of(record)
        if taker is not None:
            try:
                taker.take_line(record)
            except Exception:  # as `logging` wants it: a program never fails by its log
                self.handleError(record)
        return True


def _taker_of(record: logging.LogRecord) -> TakesLines | None:
    run_id = getattr(record, "flow_run_id", "")
    if run_id:
        for takers in list(_by_thread.values()):
            for taker in takers:
                if taker.run_id == run_id:
                    return taker
        return None
    # The flow runner's own lines.
    takers = _by_thread.get(threading.get_ident(), [])
    return takers[-1] if takers else None


_recorder = LineRecorder()


@contextmanager
def recording_lines(taker: TakesLines) -> Iterator[None]:
    """A block within which lines of a run, and those of this thread, are given to `taker`."""
    thread, logger = threading.get_ident(), logging.getLogger(ROOT)
    with _lock:
        _by_thread.setdefault(thread, []).append(taker)
        logger.addHandler(_recorder)
    try:
        yield
    finally:
        with _lock:
            _by_thread[thread].remove(taker)
            if not _by_thread[thread]:
                del _by_thread[thread]
            if not _by_thread:
                logger.removeHandler(_recorder)
