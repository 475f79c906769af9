"""What a task prints, as log lines; what others print at the same time stays what it is."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, TextIO, cast

#: A line that does not end is logged in pieces of this length or more.
LINE_LIMIT_CHARACTERS = 100_000


@contextmanager
def log_prints(logger: logging.Logger) -> Iterator[None]:
    """A block within which each line that this thread prints becomes a record of level INFO.

    What is left without a line's end becomes one when the block ends. Other threads print as
    before; so does this one where it has put something else in the place of `sys.stdout`. Blocks
    may nest; the innermost takes the lines.

    Args:
        logger: Gets the lines.
    """
    lines = _Lines(logger)
    token = _taker.set(lines)
    try:
        router = _install()
        try:
            yield
        finally:
            _uninstall(router)
    finally:
        _taker.reset(token)
        lines.close()


#: Who takes what is printed here. Not thread-local: threads and coroutines to which a task's
#: context is handed print for the task.
_taker: ContextVar[_Lines | None] = ContextVar("prefect_dask_prints", default=None)

_swapping = threading.Lock()


class _Lines:
    """Makes records of the lines in a stream of text."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._begun: list[str] = []
        self._begun_length = 0
        self._lock = threading.Lock()
        self.is_closed = False

    def write(self, text: str) -> None:
        with self._lock:
            self._begun.append(text)
            self._begun_length += len(text)
            if "\n" not in text and self._begun_length < LINE_LIMIT_CHARACTERS:
                return
            *lines, begun = "".join(self._begun).split("\n")
            if len(begun) >= LINE_LIMIT_CHARACTERS:
                lines, begun = [*lines, begun], ""
            self._begun, self._begun_length = [begun], len(begun)
        # Outside the lock: a handler may print, too.
        for line in lines:
            self._log(line)

    def close(self) -> None:
        with self._lock:
            self.is_closed = True
            begun, self._begun = "".join(self._begun), []
        if begun:
            self._log(begun)

    def _log(self, line: str) -> None:
        # As an argument: a line is text, and may hold a %. The record names the line that printed:
        # above this one stand both methods `write`.
        self._logger.info("%s", line.removesuffix("\r"), stacklevel=4)


class _Router:
    """Stands in the place of `sys.stdout` while any thread's prints are logged."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.users = 0

    @property
    def stream(self) -> TextIO | None:
        """What `sys.stdout` was; where somebody keeps us longer than that, the process's own."""
        if self.users == 0 and getattr(self._stream, "closed", False):
            return sys.__stdout__
        return self._stream

    def write(self, text: str) -> int:
        taker = _taker.get()
        if taker is None or taker.is_closed or not isinstance(text, str) or _is_logging():
            return self.stream.write(text) if self.stream is not None else len(text)
        taker.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.stream is not None:
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.stream, name)


def _install() -> _Router:
    with _swapping:
        # Somebody (a test runner, a notebook) may have put a stream of his own over ours: then we
        # stand over his.
        if not isinstance(sys.stdout, _Router):
            sys.stdout = cast(TextIO, _Router(sys.stdout))
        router = cast(_Router, sys.stdout)
        router.users += 1
        return router


def _uninstall(router: _Router) -> None:
    with _swapping:
        router.users -= 1
        # One that somebody has put his stream over stays below it, and passes on whatever comes.
        if router.users == 0 and cast(object, sys.stdout) is router:
            sys.stdout = cast(TextIO, router.stream)


def _is_logging() -> bool:
    """Whether this thread is inside a logging handler: what that prints has been logged."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code is _CALL_HANDLERS:
            return True
        frame = frame.f_back
    return False


_CALL_HANDLERS = logging.Logger.callHandlers.__code__
