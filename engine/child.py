"""A process of its own for calls that may have to be stopped, or may die.

A `Child` is a helper process with a pipe to it and a pipe from it. It is not a
`multiprocessing.Process`: a daemonic process, which every Dask worker is, may not have one, and a
script would need a `__main__` guard.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from . import clock, sent_code
from .beforehand import Beforehand
from .child_main import BEGUN, ERROR, LEAVE_SECONDS, MESSAGE, RESULT, STDOUT
from .child_process import ChildProcess, OutOfTime
from .errors import PrefectDaskError

LOAD_SECONDS: Final = 300.0
"""How long a call with a time limit may take to start Python and to import what it needs.

Apart from the limit itself, which is for the function; long, since many children may start at once.
"""


class ChildTimeout(PrefectDaskError, TimeoutError):
    """A call in a helper process did not end within its time limit; the process was killed."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(
            f"{name!r} timed out after {seconds:g} s; the helper process that ran it was killed. "
            f"Give it more time, or less to do"
        )
        self.name, self.seconds = name, seconds


class ChildDied(PrefectDaskError):
    """A helper process ended before its call did."""

    def __init__(self, name: str, exit_code: int | None, *, has_begun: bool) -> None:
        when = "while it ran" if has_begun else "before it began"
        super().__init__(
            f"the helper process of {name!r} died {when}, with exit code {exit_code}; "
            f"look at its stderr, and at the memory of this machine if it was killed"
        )
        self.name, self.exit_code, self.has_begun = name, exit_code, has_begun


class ChildError(PrefectDaskError):
    """A call in a helper process could not be unpickled, or raised; the process goes on.

    Attributes:
        type_name: Full name of the exception's type.
        text: What it said.
        traceback_text: Its traceback in the helper process.
    """

    def __init__(self, name: str, type_name: str, text: str, traceback_text: str) -> None:
        super().__init__(f"a call in the helper process {name!r} failed: {type_name}: {text}")
        self.name, self.type_name = name, type_name
        self.text, self.traceback_text = text, traceback_text


def dumps_call(function: Callable[..., bytes], /, *args: Any, **kwargs: Any) -> bytes:
    """A call as `Child.call` takes it: function and arguments, pickled by cloudpickle.

    The function pickles its result itself: it returns bytes.
    """
    return sent_code.dumps((Beforehand(), function, args, kwargs))


class Child:
    """A helper process that runs one call after the other, each in its main thread.

    It starts with the first call, and again with the next one after it died or was killed. Another
    thread may kill it. It lives in a session of its own, so that Ctrl-C in a terminal reaches only
    this process, which decides. If this process dies, the helper process ends at once, in the
    middle of a call too.

    Args:
        name: Stands in errors and in the name of the thread that reads from the process.

    Example:
        >>> with Child(name="sums") as child:
        ...     child.call(dumps_call(bytes, [72, 105]))
        b'Hi'
    """

    def __init__(self, *, name: str = "") -> None:
        self.name = name
        self._changing = threading.Lock()
        self._in_call = threading.Lock()
        self._process: ChildProcess | None = None
        self._kill_if_forgotten: weakref.finalize[..., Child] | None = None
        self._is_closed = False
        #: What the call that runs was told, for one that is still being sent.
        self._notice: bytes | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.exit_code() is None else None

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self.pid is not None

    def call(
        self,
        payload: bytes,
        *,
        timeout_seconds: float | None = None,
        on_message: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Run a call in the process; what its function returned.

        What it prints is printed here, to the `sys.stdout` of the moment.

        Args:
            payload: The call, from `dumps_call`.
            timeout_seconds: How long the function may run, from the moment it is called.
            on_message: Gets what the call sends by `child_main.send`, in this thread, in order.

        Raises:
            ChildTimeout: It ran too long; its process was killed (on POSIX, what it started too).
            ChildDied: Its process ended, or was killed by another thread.
            ChildError: It could not be unpickled, raised, or did not return bytes.
            RuntimeError: Another call is running here, or the child is closed.

        Any other exception here, such as KeyboardInterrupt or one from `on_message`, kills the
        process and goes on.
        """
        if not self._in_call.acquire(blocking=False):
            raise RuntimeError(
                f"the helper process {self.name!r} runs a call already; use one a thread"
            )
        try:
            process = self._ready_process()
            try:
                return self._converse(process, payload, timeout_seconds, on_message)
            except ChildError:  # told by the process, which goes on
                raise
            except BaseException:
                process.kill()
                raise
        finally:
            self._notice = None
            self._in_call.release()

    def notify(self, notice: bytes) -> None:
        """Say something short to the call that runs, which hears it by `child_main.listen`; from any thread."""
        with self._changing:
            self._notice = notice
            process = self._process
        if process is not None:
            process.send_notice(notice)

    def kill(self) -> None:
        """End the process and what it started, now; a call in another thread raises ChildDied."""
        with self._changing:
            process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Let the process end, after 2 s by force; at once when it runs a call. Once is enough."""
        with self._changing:
            self._is_closed = True
            process, self._process = self._process, None
        if process is None:
            return
        if self._in_call.locked():
            process.kill()
        else:
            process.leave(LEAVE_SECONDS)
        if self._kill_if_forgotten is not None:
            self._kill_if_forgotten.detach()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Child: {self.name!r}, {f'pid {self.pid}' if self.is_alive else 'not running'}>"

    def _ready_process(self) -> ChildProcess:
        with self._changing:
            if self._is_closed:
                raise RuntimeError(f"the helper process {self.name!r} is closed")
            if self._process is not None and self._process.exit_code() is None:
                return self._process
            if self._process is not None:
                self._process.kill()  # it died between two calls; lets go of its pipes
            if self._kill_if_forgotten is not None:
                self._kill_if_forgotten.detach()
            self._process = ChildProcess(self.name)
            self._kill_if_forgotten = weakref.finalize(self, self._process.kill)
            return self._process

    def _converse(
        self,
        process: ChildProcess,
        payload: bytes,
        timeout_seconds: float | None,
        on_message: Callable[[bytes], None] | None,
    ) -> bytes:
        limit = None if timeout_seconds is None else LOAD_SECONDS + timeout_seconds
        until = None if limit is None else clock.monotonic() + limit
        has_begun = False
        process.send_call(payload)
        if (notice := self._notice) is not None:
            process.send_notice(notice)
        while True:
            try:
                frame = process.next_frame(until)
            except OutOfTime:
                raise ChildTimeout(self.name, limit or 0.0) from None
            if frame is None:
                process.kill()
                raise ChildDied(self.name, process.exit_code(), has_begun=has_begun)
            kind, content = frame
            if kind == BEGUN:
                has_begun, limit = True, timeout_seconds
                until = None if limit is None else clock.monotonic() + limit
            elif kind == MESSAGE and on_message is not None:
                on_message(bytes(content))
            elif kind == STDOUT:
                process.print_here(content)
            elif kind == RESULT:
                return bytes(content)
            elif kind == ERROR:
                import pickle

                # From our own child, over a pipe that nobody else holds.
                raise ChildError(self.name, *pickle.loads(content))
