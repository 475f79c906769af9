"""A command and all that it starts, as one thing: read its lines, wait for it, end it."""

from __future__ import annotations

import atexit
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final

from prefect_dask.engine import clock

if TYPE_CHECKING:
    from typing_extensions import Self

SLICE_SECONDS: Final = 0.2
"""The longest wait at a stretch: a stop from another thread, and Ctrl-C on Windows, come between."""

BACKGROUND_SECONDS: Final = 1.0
"""How long what a command left in the background may still print before it is ended."""

TERMINATE_SECONDS: Final = 2.0
"""How long processes have to end by themselves before they are killed."""

LINE_LIMIT_BYTES: Final = 1024 * 1024
"""A longer line comes in pieces."""

LINES_AHEAD: Final = 1000
"""How many lines are read before they are asked for; then the command has to wait."""


class ProcessGroup:
    """A running command, as a context manager that ends it and what it started.

    Args:
        command: The program and its arguments.
        env: Its environment, whole.
        own_group: Whether it gets a process group; without one, only the command itself is ended.
        pass_fds: Descriptors that it needs beside the standard ones.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        own_group: bool = True,
        pass_fds: Sequence[int] = (),
    ) -> None:
        alone: dict[str, Any] = {}
        if sys.platform == "win32":
            alone["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
        elif own_group:
            alone["start_new_session"] = True
        self._has_group = own_group
        self._is_over = threading.Event()
        self._lines: queue.Queue[str | None] = queue.Queue(LINES_AHEAD)
        self._popen = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            **alone,
        )
        _running.add(self)
        assert self._popen.stdout is not None
        threading.Thread(
            target=_read,
            args=(self._popen.stdout, self._lines, self._is_over),
            name="prefect-dask-command",
            daemon=True,
        ).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(grace_seconds=TERMINATE_SECONDS if error is not None else 0.0)

    def lines(self) -> Iterator[str]:
        """What it prints, line by line, without line ends, until nobody is left who could print."""
        ended_at: float | None = None
        is_killed = False
        while True:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=SLICE_SECONDS)
                if line is None:
                    return
                yield line
            # What it left in the background may hold the pipe open.
            if ended_at is None:
                ended_at = clock.monotonic() if self._popen.poll() is not None else None
            elif clock.monotonic() > ended_at + BACKGROUND_SECONDS:
                if is_killed:
                    return  # held by one that has left the group
                self._signal_group(kill=True)
                ended_at, is_killed = clock.monotonic(), True

    def wait(self) -> int:
        """Wait for the command; its exit code, negative for the signal that killed it."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self._popen.wait(SLICE_SECONDS)

    def end(self, grace_seconds: float = 0.0) -> None:
        """End what still runs: ask, and kill what is there after `grace_seconds`."""
        try:
            if grace_seconds and self._popen.poll() is None:
                self._signal_group(kill=False)
                with suppress(subprocess.TimeoutExpired):
                    self._popen.wait(grace_seconds)
        finally:
            self._signal_group(kill=True)
            self._popen.wait()
            self._is_over.set()
            _running.discard(self)

    def _signal_group(self, *, kill: bool) -> None:
        # The number of a group whose leader has ended is not given away while it has members.
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                end_tree_on_windows(self._popen.pid)
            else:
                import signal

                number = signal.SIGKILL if kill else signal.SIGTERM
                if self._has_group:
                    os.killpg(self._popen.pid, number)
                else:
                    self._popen.send_signal(number)


def end_tree_on_windows(pid: int) -> None:
    """End a process and its descendants; there, a group cannot be killed as one."""
    subprocess.run(
        ["taskkill", "/F", "/T", "/PID", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def _read(pipe: IO[bytes], lines: queue.Queue[str | None], is_over: threading.Event) -> None:
    """Take lines in until the pipe ends, or nobody asks for them any more."""
    with suppress(OSError, ValueError), pipe:
        while line := pipe.readline(LINE_LIMIT_BYTES):
            if not _put(lines, line.decode("utf-8", "replace").rstrip("\r\n"), is_over):
                return
    _put(lines, None, is_over)


def _put(lines: queue.Queue[str | None], line: str | None, is_over: threading.Event) -> bool:
    while not is_over.is_set():
        with suppress(queue.Full):
            lines.put(line, timeout=SLICE_SECONDS)
            return True
    return False


_running: weakref.WeakSet[ProcessGroup] = weakref.WeakSet()
"""Those of this process that have not ended."""


@atexit.register
def _end_all() -> None:
    """A body that was given up may not get so far as to end its command."""
    for group in list(_running):
        group.end()


def _forget_all() -> None:
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)  # a fork must not end what its parent runs
