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
from typing import TYPE_CHECKING, Any, Final

from prefect_dask.engine import clock
from prefect_dask.engine.timeouts import unstopped

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
    """A command, as a context manager that ends it and what it started. It starts with `lines()`.

    A thread of its own starts it and reads from it: a stop from another thread, or Ctrl-C, can come
    at any moment in the caller's thread, and a process that is just being started would be lost.

    Args:
        command: The program and its arguments.
        env: Its environment, whole.
        own_group: Whether it gets a process group; without one, only the command itself is ended.
        pass_fds: Descriptors that it needs beside the standard ones.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        own_group: bool = True,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._command, self._env, self._pass_fds = list(command), dict(env), tuple(pass_fds)
        self._has_group = own_group
        self._lines: queue.Queue[str | None] = queue.Queue(LINES_AHEAD)
        self._popen: subprocess.Popen[bytes] | None = None
        self._error: Exception | None = None
        #: Held while the command is started, and to say that it must not be any more.
        self._starting = threading.Lock()
        self._is_ending = False
        self._is_over = threading.Event()

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
        """Start it; what it prints, line by line, without line ends, until nobody is left to print.

        Raises:
            OSError: It cannot be started.
        """
        starter = threading.Thread(target=self._run, name="prefect-dask-command", daemon=True)
        unstopped(starter.start)
        ended_at: float | None = None
        is_killed = False
        while True:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=SLICE_SECONDS)
                if line is None:
                    break
                yield line
            # What it left in the background may hold the pipe open.
            if ended_at is None:
                ended_at = clock.monotonic() if self._exit_code() is not None else None
            elif clock.monotonic() > ended_at + BACKGROUND_SECONDS:
                if is_killed:
                    break  # held by one that has left the group
                self._signal_group(kill=True)
                ended_at, is_killed = clock.monotonic(), True
        if self._error is not None:
            raise self._error

    def wait(self) -> int:
        """Wait for the command; its exit code, negative for the signal that killed it."""
        while True:
            assert self._popen is not None
            with suppress(subprocess.TimeoutExpired):
                return self._popen.wait(SLICE_SECONDS)

    def end(self, grace_seconds: float = 0.0) -> None:
        """End what still runs: ask, and kill what is there after `grace_seconds`."""
        with self._starting:
            self._is_ending = True
        if self._popen is None:
            return
        try:
            if grace_seconds and self._exit_code() is None:
                self._signal_group(kill=False)
                with suppress(subprocess.TimeoutExpired):
                    self._popen.wait(grace_seconds)
        finally:
            self._signal_group(kill=True)
            self._popen.wait()
            self._is_over.set()
            _running.discard(self)

    def _run(self) -> None:
        """In a thread of its own: start the command, and take lines in until the pipe ends."""
        with self._starting:
            if self._is_ending:
                return
            try:
                self._popen = self._start()
            except Exception as error:
                self._error = error
            else:
                _running.add(self)
        if self._popen is not None:
            assert self._popen.stdout is not None
            with suppress(OSError, ValueError), self._popen.stdout as pipe:
                while line := pipe.readline(LINE_LIMIT_BYTES):
                    if not self._put(line.decode("utf-8", "replace").rstrip("\r\n")):
                        return
        self._put(None)

    def _put(self, line: str | None) -> bool:
        """Whether somebody will take it."""
        while not self._is_over.is_set():
            with suppress(queue.Full):
                self._lines.put(line, timeout=SLICE_SECONDS)
                return True
        return False

    def _start(self) -> subprocess.Popen[bytes]:
        alone: dict[str, Any] = {}
        if sys.platform == "win32":
            alone["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
        elif self._has_group:
            alone["start_new_session"] = True
        return subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self._pass_fds,
            **alone,
        )

    def _exit_code(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    def _signal_group(self, *, kill: bool) -> None:
        assert self._popen is not None
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
