"""Draws a flow run while it runs: on a terminal or below a notebook's cell again and again, else line by line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TextIO

from prefect_dask.engine.logs import get_logger
from prefect_dask.progress.lines import MOST_TOLD, Report
from prefect_dask.progress.watch import FlowProgress, Watch

#: How often is drawn, seconds: as often as an eye follows.
DRAW_SECONDS = 0.1

#: Drawing may take this share of a processor; what is drawn dearly is drawn less often, yet once a second.
MOST_LOAD = 0.003
SLOWEST_SECONDS = 1.0


class Screen(Protocol):
    """Where a run is drawn."""

    @property
    def most_tasks(self) -> int | None:
        """How many tasks there is room for; None for all."""

    def draw(self, progress: FlowProgress, *, is_last: bool = False) -> None:
        """Show what the run is at; `is_last`: it may wait for `close`, which follows at once."""

    def open(self) -> None:
        """Begin to draw."""

    def close(self) -> None:
        """Leave what was drawn last, and give the terminal back."""

    def standing_aside(self) -> AbstractContextManager[None]:
        """A block within which a person is asked something there."""


class Drawn(Watch):
    """Follows a flow run and draws it, in a thread of its own.

    Args:
        stream: Where it is drawn; standard error when not given.
        screen: What draws it; when not given what suits the stream.
    """

    def __init__(self, stream: TextIO | None = None, *, screen: Screen | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._screen: Screen = screen or PlainScreen(self._stream)
        self._has_screen = screen is not None
        self._drawing = threading.Lock()
        self._is_over = threading.Event()

    @contextmanager
    def drawing(self) -> Iterator[Drawn]:
        """A block while which is drawn."""
        thread = threading.Thread(target=self._run, name="prefect-dask-progress", daemon=True)
        with ExitStack() as stack:
            # Of several runs at once, one has the bars, and the others tell it in lines above them.
            is_terminal = not self._has_screen and self._stream.isatty()
            if is_terminal and _on_terminal.acquire(blocking=False):
                stack.callback(_on_terminal.release)
                self._screen = screen_for(self._stream)
            self._screen.open()
            try:
                thread.start()
                yield self
            finally:
                self._is_over.set()
                thread.join()
                self._draw(is_last=True)
                with _never_ending_the_run():
                    self._screen.close()

    @contextmanager
    def while_asking(self) -> Iterator[None]:
        with self._drawing, self._screen.standing_aside():
            yield

    def _run(self) -> None:
        pause = DRAW_SECONDS
        while not self._is_over.wait(pause):
            pause = min(max(DRAW_SECONDS, self._draw() / MOST_LOAD), SLOWEST_SECONDS)

    def _draw(self, *, is_last: bool = False) -> float:
        """Draw once; returns the seconds of processor that it took."""
        with self._drawing:
            begun = time.thread_time()
            progress = self.look(self._screen.most_tasks)
            if progress.run_id:
                with _never_ending_the_run():
                    self._screen.draw(progress, is_last=is_last)
            return time.thread_time() - begun


@contextmanager
def _never_ending_the_run() -> Iterator[None]:
    """A block that may fail: a run is worth more than its picture."""
    try:
        yield
    except Exception:
        get_logger("progress").debug("the progress of the run was not drawn", exc_info=True)


#: Held by who draws on this process's terminal.
_on_terminal = threading.Lock()


def screen_for(terminal: TextIO) -> Screen:
    """What draws on a terminal: it is drawn again and again where rich is installed."""
    try:
        from prefect_dask.progress.terminal import Terminal
    except ImportError:
        return PlainScreen(terminal)  # the extra is not installed
    return Terminal(terminal)


class PlainScreen:
    """Writes a line where something has come further."""

    #: One more than it tells of one by one.
    most_tasks = MOST_TOLD + 1

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._report = stream, Report()

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    @contextmanager
    def standing_aside(self) -> Iterator[None]:
        yield

    def draw(self, progress: FlowProgress, *, is_last: bool = False) -> None:
        lines = self._report.lines(progress)
        if lines:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
