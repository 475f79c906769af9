"""A terminal on which the state of a run is drawn again and again, by rich; what is printed goes above it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from prefect_dask.engine.logs import ROOT
from prefect_dask.engine.state import STATES, State
from prefect_dask.progress.lines import Line, failure_lines, screen
from prefect_dask.progress.watch import FlowProgress

#: Lines of the terminal that are left to what is printed above.
LINES_ABOVE = 6


class Terminal:
    """Draws on a terminal.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._is_ascii = not self._console.encoding.lower().startswith("utf")
        self._above = Above()
        self._live: Live | None = None
        self._last = _Lines(())
        self._redirected = ExitStack()

    @property
    def most_tasks(self) -> int | None:
        """How many tasks there is room for."""
        return max(1, self._console.height - LINES_ABOVE)

    def open(self) -> None:
        self._live = Live(
            self._last,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()
        self._redirected.enter_context(self._above.taking())

    def close(self) -> None:
        self._redirected.close()
        if self._live is not None:
            self._print_above(is_last=True)
            self._live.stop()
            self._live = None

    @contextmanager
    def standing_aside(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()

    def draw(self, progress: FlowProgress, *, is_last: bool = False) -> None:
        if self._live is None:
            return
        for line in failure_lines(progress.failures):
            self._above.write(line + "\n")
        if not is_last:
            self._print_above()
        lines = screen(progress, self._console.width - 1, is_ascii=self._is_ascii)
        self._last = _Lines(lines)
        self._live.update(self._last, refresh=not is_last)

    def _print_above(self, *, is_last: bool = False) -> None:
        text = self._above.take(is_last=is_last)
        if text:
            self._console.print(Text.from_ansi(text), soft_wrap=True)


class _Lines:
    """Lines that fit: rich need not look where they could be wrapped, which takes as long as all the rest."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        end = Segment.line()
        for line in self._lines:
            for text, state in line:
                yield Segment(text, _style(state))
            yield end


@cache
def _style(state: str) -> Style | None:
    return Style.parse(STATES.get(state, State).color) if state else None


class Above:
    """Takes what is printed and logged while a terminal is drawn on: it is printed above, some lines at a time."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._lock = threading.Lock()
        #: Whether what is written is taken; whoever still holds a stand-in afterwards writes through it.
        self.is_taking = False

    def write(self, text: str) -> None:
        """Have a text printed above soon."""
        with self._lock:
            self._text.append(text)

    def take(self, *, is_last: bool = False) -> str:
        """The whole lines that are to be printed now; `is_last`: and what has not come to its end."""
        with self._lock:
            text = "".join(self._text)
            whole, end, rest = text.rpartition("\n")
            if is_last:
                whole, rest = whole + end + rest, ""
            self._text = [rest] if rest else []
        return whole.removesuffix("\n")

    @contextmanager
    def taking(self) -> Iterator[None]:
        """A block within which what is written to this process's terminal is taken, by loggers too."""
        with ExitStack() as stack:
            stack.callback(setattr, self, "is_taking", False)
            self.is_taking = True
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and stream.isatty():
                    written = _Written(stream, self)
                    stack.callback(setattr, sys, name, stream)
                    setattr(sys, name, written)
                    for handler in _handlers_on(stream):
                        stack.callback(handler.setStream, stream)
                        handler.setStream(cast(TextIO, written))
            yield


class _Written:
    """Stands for a stream, and has what is written to it printed above."""

    def __init__(self, stream: TextIO, above: Above) -> None:
        self._stream, self._above = stream, above

    def write(self, text: str) -> int:
        if not self._above.is_taking:
            return self._stream.write(text)
        if not isinstance(text, str):  # click, for one, tries whether a stream takes bytes
            raise TypeError(f"write() takes str, not {type(text).__name__}")
        self._above.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if not self._above.is_taking:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _handlers_on(stream: TextIO) -> list[logging.StreamHandler[TextIO]]:
    """The user's handlers that write to a stream."""
    loggers = (logging.getLogger(), logging.getLogger(ROOT))
    return [
        handler
        for logger in loggers
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream
    ]
