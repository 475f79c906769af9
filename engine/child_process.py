"""One life of a helper process: start it, talk with it, end it and all that it started."""

from __future__ import annotations

import codecs
import io
import os
import queue
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any, Final, cast

from . import clock
from .child_main import CALL, NOTICE, STDOUT, Channel, Frame
from .timeouts import unstopped

KILL_SECONDS: Final = 10.0
"""How long a killed process may take to be gone; only one that hangs in the kernel needs it."""

SLICE_SECONDS: Final = 0.2
"""The longest wait at a stretch: on Windows, Ctrl-C is not seen before a wait is over."""

LAST_FRAME_SECONDS: Final = 1.0
"""How long the last frames of a dead process may be on their way."""

FRAMES_AHEAD: Final = 1000
"""How many frames are read before they are asked for; then a child that prints has to wait."""

SMALL_BYTES: Final = 4000
"""What an empty pipe takes without a reader on every system, in bytes."""


class OutOfTime(Exception):
    """A frame did not come in time."""


class ChildProcess:
    """A running helper process. One thread talks with it; every thread may kill it.

    Args:
        name: Stands in the name of the thread that reads from it.

    Raises:
        OSError: The system cannot start a process.
    """

    def __init__(self, name: str) -> None:
        import subprocess

        self._name = name
        self._ending = threading.Lock()
        self._is_leaving = False
        self._is_gone = threading.Event()
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._popen = subprocess.Popen(
            python_command("prefect_dask.engine.child_main"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            **_alone(),
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._channel = Channel(
            cast("io.RawIOBase", self._popen.stdout),  # raw, for bufsize=0
            cast("io.RawIOBase", self._popen.stdin),
        )
        self._reader = threading.Thread(
            target=_read,
            args=(self._channel, self._frames, self._is_gone),
            name=f"prefect-dask-child-{name}",
            daemon=True,
        )
        _all_here.add(self)
        try:
            unstopped(self._reader.start)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send_call(self, payload: bytes) -> None:
        """Send a call; a large one from a thread, for the process may not be reading."""
        if len(payload) <= SMALL_BYTES:
            self._send(payload)
        else:
            name = f"prefect-dask-call-{self._name}"
            threading.Thread(target=self._send, args=(payload,), name=name, daemon=True).start()

    def send_notice(self, notice: bytes) -> None:
        """Send a short word to the call that runs; not where it is dead."""
        with suppress(OSError, ValueError):
            self._channel.send(NOTICE, notice)

    def _send(self, payload: bytes) -> None:
        try:
            self._channel.send(CALL, payload)
        except (OSError, ValueError):  # it is dead; whoever waits for its answer will see
            self.kill()

    def next_frame(self, until: float | None) -> Frame | None:
        """The next frame that it sends; None once it is dead and all has been read.

        Args:
            until: A time of `clock.monotonic()`.

        Raises:
            OutOfTime: None came until then.
        """
        while True:
            wait = SLICE_SECONDS if until is None else min(SLICE_SECONDS, until - clock.monotonic())
            if wait <= 0:
                raise OutOfTime
            with suppress(queue.Empty):
                return self._frames.get(timeout=wait)
            # What the dead one started may hold the pipe open, so that its end is not seen.
            if self.exit_code() is not None:
                with suppress(queue.Empty):
                    return self._frames.get(timeout=LAST_FRAME_SECONDS)
                return None

    def print_here(self, printed: bytes | bytearray) -> None:
        """Print to this process's stdout of the moment what was printed there."""
        out, text = sys.stdout, self._decoder.decode(printed)
        if out is None:  # a Windows program without a console
            return
        with suppress(OSError, ValueError):  # closed here; a print must not fail a call
            try:
                out.write(text)
            except UnicodeEncodeError:
                encoding = out.encoding or "ascii"
                out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def exit_code(self) -> int | None:
        """Its exit code; None while it runs. Negative: the signal that killed it."""
        with self._ending:
            if self._popen.returncode is None and self._popen.poll() is not None:
                self._end_its_group()
            return self._popen.returncode

    def kill(self) -> None:
        """End it and what it started, now. Nothing of it is left here. Once is enough."""
        from subprocess import TimeoutExpired

        with self._ending:
            if self._popen.returncode is None:
                self._popen.poll()
                self._end_its_group()
                self._popen.kill()
                with suppress(TimeoutExpired):
                    self._popen.wait(KILL_SECONDS)
        self._is_gone.set()
        self._channel.close_sending()
        if self._reader.is_alive() and self._reader is not threading.current_thread():
            self._reader.join(LAST_FRAME_SECONDS)

    def leave(self, grace_seconds: float) -> None:
        """Let it end by itself; by force when the time of grace is over.

        Processes that its bodies have started and left are left alone, as in any other process.
        """
        from subprocess import TimeoutExpired

        until = clock.monotonic() + grace_seconds
        if self.exit_code() is None:
            self._is_leaving = True
            self._channel.close_sending()
            with suppress(OutOfTime, TimeoutExpired):
                while (frame := self.next_frame(until)) is not None:
                    if frame[0] == STDOUT:
                        self.print_here(frame[1])
                self._popen.wait(max(0.0, until - clock.monotonic()))
        self.kill()

    def forget(self) -> None:
        """In a fork of this process: the child is not ours, nor are the pipes to it."""
        self._ending = threading.Lock()
        self._popen.returncode = -1  # neither waited for nor killed from here
        self._channel.forget()

    def _end_its_group(self) -> None:
        """Kill its process group; right after its death the number is still its own."""
        if sys.platform != "win32" and (self._popen.returncode is None or not self._is_leaving):
            import signal

            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)


def _read(
    channel: Channel, frames: queue.SimpleQueue[Frame | None], is_gone: threading.Event
) -> None:
    """Take frames in until the pipe ends; holds no `ChildProcess`, so that one can be forgotten."""
    try:
        while (frame := channel.receive()) is not None:
            frames.put(frame)
            while frames.qsize() > FRAMES_AHEAD and not is_gone.wait(0.005):
                pass
    except (OSError, ValueError):  # closed in a fork
        pass
    finally:
        frames.put(None)
        channel.close_receiving()


def python_command(module: str) -> list[str]:
    """Starts a process with this Python, its options and its import path, which calls `main` of a module."""
    import subprocess

    # As multiprocessing does; the one place that knows how options are spelt.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # not in typeshed
    path = [entry or os.getcwd() for entry in sys.path]
    code = f"import sys; sys.path[:] = {path!a}; from {module} import main; main()"
    return [sys.executable, *options, "-c", code]


def _alone() -> dict[str, Any]:
    """What keeps the terminal's Ctrl-C from a helper process."""
    if sys.platform == "win32":
        import subprocess

        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


_all_here: weakref.WeakSet[ChildProcess] = weakref.WeakSet()
"""Every helper process of this one."""


def _forget_all() -> None:
    for process in list(_all_here):
        process.forget()
    _all_here.clear()


if hasattr(os, "register_at_fork"):
    # A fork that holds these pipes would keep a helper process from seeing that this process died.
    os.register_at_fork(after_in_child=_forget_all)
