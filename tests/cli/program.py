"""The command line as a person has it: a program of its own, with pipes or on a terminal."""

import codecs
import errno
import html
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
import pytest

#: As `prefect-dask`, of this Python.
PROGRAM = [sys.executable, "-m", "prefect_dask.cli"]

DEADLINE_SECONDS = 50.0


class Program:
    """Runs `prefect-dask` with a home folder of its own, in a folder of its own.

    Args:
        folder: The current folder; the home folder is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.environment: dict[str, str] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "COLUMNS"))
        }
        inherited.pop("NO_COLOR", None)
        own = {"PREFECT_HOME": str(self.home), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}
        return {**inherited, **own, **self.environment, **more}

    def __call__(
        self, *arguments: str, stdin: str | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.variables(variables),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.variables(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextmanager
    def on_terminal(
        self,
        *arguments: str,
        columns: int = 100,
        lines: int = 30,
        as_script: bool = False,
        **variables: str,
    ) -> Iterator["Terminal"]:
        """The program on a terminal of its own; killed at the end of the block, where it is still there.

        Args:
            as_script: Whether the arguments are a script and its arguments, run in the program's place.
        """
        command = [sys.executable, *arguments] if as_script else [*PROGRAM, *arguments]
        with terminal_of(command, self.folder, self.variables(variables), columns, lines) as made:
            yield made


@contextmanager
def terminal_of(
    command: list[str], folder: Path, environment: Mapping[str, str], columns: int, lines: int
) -> Iterator["Terminal"]:
    """A terminal of its own for a program, which is killed at the end of the block, where it is still there."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo terminals")
    pid, descriptor = pty.fork()
    if pid == 0:
        try:
            os.chdir(folder)
            os.execve(command[0], command, {**environment, "TERM": "xterm-256color"})
        finally:
            os._exit(127)
    terminal = Terminal(pid, descriptor, columns, lines)
    try:
        yield terminal
    finally:
        terminal.close()


PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0; background:#1e1e2e"><pre style="
display:inline-block; margin:0; padding:14px 18px; color:#cdd6f4; background:#1e1e2e;
font:14px/1.3 'DejaVu Sans Mono',monospace">{}</pre>"""

#: What terminals show for the names of colours.
COLOURS = {
    "black": "#45475a",
    "red": "#f38ba8",
    "green": "#a6e3a1",
    "brown": "#f9e2af",
    "blue": "#89b4fa",
    "magenta": "#f5c2e7",
    "cyan": "#94e2d5",
    "white": "#bac2de",
}


def style_of(cell: Any) -> str:
    """How a cell of the screen looks, as CSS."""
    said = []
    for what, colour in (("color", cell.fg), ("background", cell.bg)):
        if colour != "default":
            shown = COLOURS.get(colour.removeprefix("bright"))
            said.append(f"{what}:{shown or '#' + colour}")
    if cell.bold:
        said.append("font-weight:bold")
    return ";".join(said)


def row_as_html(cells: list[Any]) -> str:
    parts = []
    for style, alike in groupby(cells, style_of):
        text = html.escape("".join(cell.data for cell in alike))
        parts.append(f'<span style="{style}">{text}</span>' if style else text)
    return "".join(parts)


class Terminal:
    """What a program shows on a terminal."""

    def __init__(self, pid: int, descriptor: int, columns: int, lines: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        import fcntl
        import termios

        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._code: int | None = None
        #: All that was written, with its escape sequences.
        self.written = ""

    @property
    def lines(self) -> list[str]:
        """The lines on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def all_lines(self) -> list[str]:
        """The same, and what was scrolled away before."""
        gone = [
            "".join(row[at].data for at in range(self._screen.columns)).rstrip()
            for row in self._screen.history.top
        ]
        return [*gone, *self.lines]

    def as_html(self) -> str:
        """What is on the screen, as a page."""
        screen = self._screen
        last = max((n for n, line in enumerate(self.lines) if line), default=0)
        rows = [[screen.buffer[row][at] for at in range(screen.columns)] for row in range(last + 1)]
        return PAGE.format("\n".join(map(row_as_html, rows)))

    def wait_for(
        self,
        is_so: Callable[["Terminal"], object],
        what: str = "",
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """Read until something is so."""
        until = time.monotonic() + seconds
        while not is_so(self):
            if not self._read(until):
                raise AssertionError(
                    f"{what or is_so}: not so at the end:\n" + "\n".join(self.lines)
                )

    def exit_code(self) -> int:
        """Read to the end, and wait for the program's."""
        until = time.monotonic() + DEADLINE_SECONDS
        while self._read(until):
            pass
        return self._wait()

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.type("\x03")

    def close(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()
        os.close(self._descriptor)

    def _wait(self) -> int:
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def _read(self, until: float) -> bool:
        """Read something; whether there was something."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError("the program wrote nothing more:\n" + "\n".join(self.lines))
        try:
            data = os.read(self._descriptor, 65_536)
        except OSError as error:  # so Linux tells the end
            if error.errno != errno.EIO:
                raise
            data = b""
        text = self._decoder.decode(data, final=not data)
        self.written += text
        self._stream.feed(text)
        return bool(data)
