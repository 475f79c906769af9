"""Inside a helper process: take a call in, run it in the main thread, send its outcome home.

The process that started it writes calls to its stdin and reads frames from its stdout. Both pipes
are moved to private descriptors before anything else runs, so that nothing a body prints, in C or
in a process of its own, can get between the frames. This module imports little: each helper
process pays for it.
"""

from __future__ import annotations

import io
import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

Frame = tuple[bytes, bytearray]
"""One message in a pipe: its kind, one byte, and its payload."""

CALL: Final = b"c"
"""To the child: run this."""
NOTICE: Final = b"n"
"""To the child: a word for the call that runs, or is about to."""
BEGUN: Final = b"b"
"""The call is unpickled, and its function is about to run."""
STDOUT: Final = b"o"
"""Text that was printed, in UTF-8."""
MESSAGE: Final = b"m"
"""What `send` was given."""
RESULT: Final = b"r"
"""The bytes that the function returned."""
ERROR: Final = b"e"
"""The call could not be unpickled, or raised: a pickle of type name, text and traceback as text."""

LEAVE_SECONDS: Final = 2.0
"""How long an idle child may take to end once nobody needs it."""

_HEADER = struct.Struct(">Qc")


class Channel:
    """Frames over two pipes. One thread receives; every thread may send.

    A frame is an 8-byte length, a byte for its kind, and the payload.
    """

    def __init__(self, incoming: io.RawIOBase, outgoing: io.RawIOBase) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._sending = threading.Lock()

    def send(self, kind: bytes, payload: bytes | bytearray | memoryview = b"") -> None:
        """Send one frame.

        Raises:
            OSError: The other side is gone.
            ValueError: This side has closed the pipe.
        """
        header = _HEADER.pack(len(payload), kind)
        # One write for a small frame; no copy of a large one.
        parts = [header + payload] if len(payload) <= 4096 else [header, payload]
        with self._sending:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[self._outgoing.write(rest) :]

    def receive(self) -> Frame | None:
        """The next frame; None when the other side is gone, also in the middle of a frame."""
        header = self._read(_HEADER.size)
        if header is None:
            return None
        size, kind = _HEADER.unpack(header)
        payload = self._read(size)
        return None if payload is None else (kind, payload)

    def close_sending(self, timeout_seconds: float = 1.0) -> None:
        """Let the other side see the end, after the frame that is being sent."""
        if self._sending.acquire(timeout=timeout_seconds):
            try:
                self._outgoing.close()
            finally:
                self._sending.release()

    def close_receiving(self) -> None:
        """Close the other pipe; for the thread that receives."""
        self._incoming.close()

    def forget(self) -> None:
        """In a fork: close our copies of the pipes, which belong to the process that was forked."""
        self._sending = threading.Lock()
        for pipe in (self._incoming, self._outgoing):
            with suppress(OSError):
                pipe.close()

    def _read(self, size: int) -> bytearray | None:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self._incoming.readinto(rest)
            if not count:
                return None
            rest = rest[count:]
        return data


_home: Channel | None = None
"""The way home, in a helper process."""


def send(message: bytes) -> None:
    """Send a message to the `on_message` of the call that runs here; from any thread.

    What is sent after the call has ended goes to the next call.

    Raises:
        RuntimeError: This process is not a helper process.
        OSError: The process that started this one is gone.
    """
    if _home is None:
        raise RuntimeError(
            "send() was called outside a helper process; only a call in one has a home"
        )
    _home.send(MESSAGE, message)


_notices: list[bytes] = []
"""What the call that runs was told before it listened."""
_listener: Callable[[bytes], None] | None = None
_listening = threading.Lock()


def listen(listener: Callable[[bytes], None]) -> None:
    """From now on call a function with what the one who made the call has to say to it; in another thread.

    It is called now with what was said before.
    """
    global _listener
    with _listening:
        _listener = listener
        told, _notices[:] = list(_notices), []
    for notice in told:
        listener(notice)


def _take_notice(notice: bytes) -> None:
    with _listening:
        listener = _listener
        if listener is None:
            _notices.append(notice)
            return
    listener(notice)


def main() -> None:
    """Run calls until nobody is there to send more."""
    global _home
    home = _home = _take_pipes()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_home)
    printed = sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_PrintsHome()),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )
    calls: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
    is_busy = threading.Event()
    threading.Thread(
        target=_take_calls, args=(home, calls, is_busy), name="prefect-dask-calls", daemon=True
    ).start()
    while (call := calls.get()) is not None:
        kind, payload = _outcome_of(call, home)
        del call
        with suppress(ValueError):  # the body has closed it
            printed.flush()
        is_busy.clear()  # first: the end of calls may follow the outcome at once
        try:
            home.send(kind, payload)
        except OSError:
            _end_at_once()
        del payload


def _take_pipes() -> Channel:
    """Move stdin and stdout to private descriptors; leave an empty stdin, and stderr for stdout."""
    incoming = os.fdopen(os.dup(0), "rb", buffering=0)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no stderr, as below a Windows program without a console
        os.dup2(nothing, 1)
    if nothing > 2:
        os.close(nothing)
    return Channel(incoming, outgoing)


def _take_calls(
    home: Channel, calls: queue.SimpleQueue[bytearray | None], is_busy: threading.Event
) -> None:
    """Receive calls; when no more can come, see to it that this process ends."""
    while (frame := home.receive()) is not None:
        if frame[0] == NOTICE:
            _take_notice(bytes(frame[1]))
            continue
        is_busy.set()
        calls.put(frame[1])
    if is_busy.is_set():
        _end_at_once()
    calls.put(None)
    # A thread or an exit handler that a body left behind may keep the main thread from ending.
    time.sleep(LEAVE_SECONDS)
    _end_at_once()


def _outcome_of(call: bytearray, home: Channel) -> tuple[bytes, bytes]:
    import pickle

    try:
        _, function, args, kwargs = pickle.loads(call)
        home.send(BEGUN)
        result = function(*args, **kwargs)
        if not isinstance(result, bytes):
            raise TypeError(
                f"a call in a helper process returns bytes, and {function!r} returned "
                f"a {type(result).__qualname__}"
            )
        return RESULT, result
    except BaseException as error:  # a call must not end this process by SystemExit either
        from .failures import text_of, traceback_of

        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return ERROR, pickle.dumps((name, text_of(error), traceback_of(error)))


def _end_at_once() -> None:
    """End this process and, where there are process groups, those that its bodies have started."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        import signal

        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class _PrintsHome(io.RawIOBase):
    """Stands under `sys.stdout`: sends what is printed home."""

    name = "<stdout>"

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed says Buffer, which Python 3.10 lacks
        if _home is None:  # in a fork
            return os.write(1, data)
        _home.send(STDOUT, data)
        return len(data)

    def fileno(self) -> int:
        return 1


def _forget_home() -> None:
    """In a fork of a helper process, such as a body's own pool: the pipes are not ours."""
    global _home
    if _home is not None:
        _home.forget()
        _home = None
