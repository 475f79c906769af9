"""Calls that end in time: a body in a thread of its own, and ways to end what runs in a thread.

Python cannot end a thread from outside. It can raise an exception in it, which comes through when
the thread next runs Python code: at once in a loop, but only after `time.sleep(60)` or a long call
into C has returned. A body that has to be stopped there needs a process of its own
(`engine/child.py`).
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from . import clock

T = TypeVar("T")

SLICE_SECONDS: Final = 0.2
"""The longest wait at a stretch: on Windows, Ctrl-C is not seen before a wait is over."""


class BodyTimeout(Exception):
    """A body did not end within its time limit; `TaskTimeout` tells it to the user.

    Attributes:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"timed out after {seconds:g} s")
        self.seconds = seconds

    def __reduce__(self) -> tuple[type, tuple[float]]:
        return type(self), (self.seconds,)


class BodyStopped(BaseException):
    """Is raised in a thread from another one, to end what it runs; passes `except Exception`."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a call ended: with a value, or with an error."""

    value: T | None
    error: BaseException | None
    seconds: float
    """How long it ran."""


def stop_thread(ident: int, exc_type: type[BaseException] = BodyStopped) -> bool:
    """Raise an exception in another thread, as soon as that runs Python code.

    By then the thread may be at something else than was meant; `Stoppable` guards against that.

    Args:
        ident: Which thread, as from `threading.get_ident()`.
        exc_type: The exception's type; it is raised without arguments.

    Returns:
        Whether it is on its way. Not when the thread has ended, nor on another Python than CPython.
    """
    return _set_async_exception(ident, exc_type)


class Stoppable(Generic[T]):
    """A call that another thread may stop. The stop hits that call or nothing, whatever comes next.

    Example:
        >>> call = Stoppable(lambda: 6 * 7)
        >>> call.run()
        42
        >>> call.stop()
        False
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._guard = threading.Lock()
        self._ident: int | None = None
        self._is_stopped = self._is_over = self._is_raised = False

    @property
    def has_begun(self) -> bool:
        """Whether the function was called, or is about to be."""
        return self._ident is not None

    def run(self) -> T:
        """Make the call, once, in this thread.

        Raises:
            BodyStopped: It was stopped, or was so before it began.
        """
        try:
            try:
                self._begin()
                return self._function()
            finally:
                self._end()
        except BodyStopped:
            # It may have come in the middle of `_end`. It comes only once, so not again here.
            self._end()
            raise

    def stop(self) -> bool:
        """End the call, as far as a thread can be ended from outside; from any other thread.

        Returns:
            Whether it was running or had not begun.
        """
        with self._guard:
            if self._is_over:
                return False
            if self._ident is not None and not self._is_stopped:
                self._is_raised = stop_thread(self._ident)
            self._is_stopped = True
            return True

    def _begin(self) -> None:
        with self._guard:
            if self._is_stopped:
                raise BodyStopped
            self._ident = threading.get_ident()
            _calls_here().append(self)

    def _end(self) -> None:
        with self._guard:
            self._is_over = True
            if self in _calls_here():  # not when it was stopped before it began, nor a second time
                _calls_here().remove(self)
            if self._is_raised:  # and has perhaps not come through
                _withdraw_here()


def unstopped(fn: Callable[[], T]) -> T:
    """Call `fn`, which is short, while no stop comes into this thread; one asked for comes after it.

    For what would be lost half-way, and for the start of a thread: up to Python 3.11, a thread that is
    just being made has the number of its maker, so that a stop can hit it instead, and
    `Thread.start` then waits for ever. Ctrl-C is not kept out.

    Example:
        >>> unstopped(lambda: 6 * 7)
        42
    """
    return _holding(_calls_here(), fn)


def _holding(calls: list[Stoppable[Any]], fn: Callable[[], T]) -> T:
    if not calls:
        return fn()
    with calls[0]._guard:  # Python lets nothing come between taking a lock and its `with` block
        return _holding(calls[1:], fn)


_here = threading.local()


def _calls_here() -> list[Stoppable[Any]]:
    """The calls that this thread is in the middle of, the outermost first."""
    calls: list[Stoppable[Any]] = _here.__dict__.setdefault("calls", [])
    return calls


#: Asked in a thread that has its body called in another one: gives a block for that one.
_known: list[Callable[[], AbstractContextManager[None]]] = []


def make_threads_known(to: Callable[[], AbstractContextManager[None]]) -> None:
    """Have whoever looks at what the threads of this process do know of those that bodies with a time limit have.

    Args:
        to: Asked in the thread that will wait for the body; gives the block within which another thread runs that.
            No stop comes into its beginning and end.
    """
    _known[:] = [to]


def call_with_timeout(
    fn: Callable[[], T],
    seconds: float,
    *,
    on_late: Callable[[Outcome[T]], None] | None = None,
) -> T:
    """Call `fn` in a thread of its own, and wait for it up to `seconds`.

    The thread has a copy of the present contextvars. When it is late, or the wait is interrupted,
    it is stopped as far as a thread can be; what it still returns is discarded.

    Args:
        fn: The body.
        seconds: How long it may run.
        on_late: Is told how a body that was given up ended, in the body's thread and with its
            contextvars. One that never began is not told.

    Returns:
        What `fn` returned; raises what it raised, with its traceback.

    Raises:
        BodyTimeout: It did not end in time.

    Example:
        >>> call_with_timeout(lambda: 6 * 7, 5)
        42
    """
    body = _Body(fn, on_late)
    try:
        body.start()
        outcome = body.wait(seconds)
    except BaseException:  # KeyboardInterrupt, or this thread is itself stopped
        body.give_up()
        raise
    if outcome is None:
        raise BodyTimeout(seconds)
    try:
        if outcome.error is not None:
            raise outcome.error
        return outcome.value  # type: ignore[return-value]  # None stands here only when T has it
    finally:
        del outcome  # it holds the error, whose traceback holds this frame


class _Body(Generic[T]):
    """A call in a thread of its own that somebody waits for, or has given up."""

    def __init__(self, fn: Callable[[], T], on_late: Callable[[Outcome[T]], None] | None) -> None:
        context = self._context = contextvars.copy_context()
        self._call = Stoppable(lambda: context.run(fn))
        self._on_late = on_late
        self._outcomes: queue.SimpleQueue[Outcome[T]] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._is_given_up = False
        self._known = _known[0]() if _known else nullcontext()

    def start(self) -> None:
        name = f"prefect-dask-body-{threading.current_thread().name}"
        unstopped(threading.Thread(target=self._run, name=name, daemon=True).start)

    def wait(self, seconds: float) -> Outcome[T] | None:
        """How it ended; None when it did not end in time, and was given up."""
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            try:
                return self._outcomes.get(timeout=min(left, SLICE_SECONDS))
            except queue.Empty:
                pass
        return self.give_up()

    def give_up(self) -> Outcome[T] | None:
        """Wait no longer; how it ended, if it has in this moment."""
        with self._guard:
            self._is_given_up = True
            if not self._outcomes.empty():
                return self._outcomes.get()
        self._call.stop()
        return None

    def _run(self) -> None:
        # An error's traceback holds the frames of `_run` and `_outcome`; neither may hold the error.
        with self._known:
            self._hand_over(self._outcome())

    def _outcome(self) -> Outcome[T]:
        began = clock.monotonic()
        try:
            return Outcome(self._call.run(), None, clock.monotonic() - began)
        except BaseException as error:
            return Outcome(None, error, clock.monotonic() - began)

    def _hand_over(self, outcome: Outcome[T]) -> None:
        with self._guard:
            if not self._is_given_up:
                self._outcomes.put(outcome)
                return
        if self._on_late is not None and self._call.has_begun:
            self._context.run(self._on_late, outcome)


class _Withdrawn(BaseException):
    """Takes the place of an exception that was on its way to this thread."""


def _withdraw_here() -> None:
    """Take back what is on its way to this thread, whether it has come or not.

    By another one that is caught here: with None for it, CPython 3.11 would for ever take something to be on its
    way, and a thread that is traced, by a debugger or for coverage, would wait for that without end.
    """
    try:
        if _set_async_exception(threading.get_ident(), _Withdrawn):
            while True:
                pass
    except _Withdrawn:
        pass


def _set_async_exception(ident: int, exc_type: type[BaseException]) -> bool:
    """Put an exception on its way to a thread, in the place of the one that is."""
    try:
        import ctypes

        set_async = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):  # not CPython
        return False
    return bool(set_async(ctypes.c_ulong(ident), ctypes.py_object(exc_type)))
