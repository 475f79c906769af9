"""The one place that reads the time, and that a test can turn.

Times are seconds since the epoch (UTC) inside the engine and aware UTC datetimes where users meet them.
"""

from __future__ import annotations

import threading
import time as _time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

UTC = timezone.utc

#: How long one waits at a time, seconds: the machine's clock may be set meanwhile, and Ctrl-C is seen that soon.
SLICE_SECONDS = 1.0


#: From how many seconds on one speaks of a clock that was set.
SET_SECONDS = 1.0


class Hands:
    """The hands of a turned clock: it shows what they say, in all threads of this process."""

    def __init__(self, seconds: float, *, is_held: bool) -> None:
        self._seconds, self._is_held = seconds, is_held
        self._waited_for: list[float] = []
        self._moved = threading.Condition()

    @property
    def seconds(self) -> float:
        """What the clock shows, in seconds since the epoch."""
        return self._seconds

    def turn_to(self, moment: datetime) -> None:
        """Let it be a moment; whoever waits for it, or for an earlier one, goes on."""
        with self._moved:
            self._seconds = to_seconds(moment)
            self._moved.notify_all()

    def turn_by(self, interval: timedelta) -> None:
        """Let an interval go by."""
        with self._moved:
            self._seconds += interval.total_seconds()
            self._moved.notify_all()

    def next_waited_for(self, timeout_seconds: float = 10.0) -> datetime:
        """The earliest moment to come that a thread is waiting for, as soon as one is.

        Raises:
            TimeoutError: None was within the time.
        """

        def to_come() -> list[float]:
            return [moment for moment in self._waited_for if moment > self._seconds]

        with self._moved:
            if not self._moved.wait_for(to_come, timeout_seconds):
                raise TimeoutError(f"nobody waited for a moment within {timeout_seconds:g} s")
            return to_datetime(min(to_come()))

    def wait_until(self, moment: float) -> None:
        """What `clock.wait_until` does while the clock is turned."""
        with self._moved:
            if not self._is_held:
                self._seconds = max(self._seconds, moment)
                return
            self._waited_for.append(moment)
            self._moved.notify_all()
            try:
                while self._seconds < moment:
                    self._moved.wait(SLICE_SECONDS)
            finally:
                self._waited_for.remove(moment)


class SetClock:
    """A clock that goes on by itself, and can be set: what it shows beside the machine's own, in this process."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    @property
    def seconds(self) -> float:
        """What the clock shows, in seconds since the epoch."""
        return _time.time() + self._ahead_seconds

    def set_by(self, interval: timedelta) -> None:
        """Set it forwards, or back: what goes by a clock that nobody sets goes on as before."""
        self._ahead_seconds += interval.total_seconds()


_hands: Hands | SetClock | None = None


@contextmanager
def turned(moment: datetime, *, is_held: bool = False) -> Iterator[Hands]:
    """Let it be another time in this process: a day of schedules and retries passes in milliseconds.

    Only the coordinating process is turned; workers in other processes keep their own time.

    Args:
        moment: What the clock shows first.
        is_held: Whether it stands still until it is turned. When not, it goes on by itself, and at once, to
            what one waits for.

    Example:
        >>> with turned(datetime(2024, 2, 29, 12, tzinfo=UTC)) as hands:
        ...     wait_until(now() + 3600)
        ...     print(utc_now())
        2024-02-29 13:00:00+00:00
    """
    global _hands
    before, _hands = _hands, Hands(to_seconds(moment), is_held=is_held)
    try:
        yield _hands
    finally:
        _hands = before


@contextmanager
def settable() -> Iterator[SetClock]:
    """Let the clock be set while it goes on, as an administrator or a time server sets a machine's."""
    global _hands
    before, _hands = _hands, SetClock()
    try:
        yield _hands
    finally:
        _hands = before


def is_turned() -> bool:
    """Whether the clock shows what `turned` says."""
    return isinstance(_hands, Hands)


def now() -> float:
    """Seconds since the epoch, UTC."""
    return _time.time() if _hands is None else _hands.seconds


def monotonic() -> float:
    """Seconds on a clock that never goes backwards; only differences mean something."""
    return _time.monotonic()


def utc_now() -> datetime:
    """The present moment as an aware UTC datetime."""
    return datetime.fromtimestamp(now(), UTC)


def to_datetime(seconds: float) -> datetime:
    """The aware UTC datetime of a number of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def to_seconds(moment: datetime) -> float:
    """Seconds since the epoch of an aware datetime; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def wait_until(moment: float) -> None:
    """Hold this thread until `moment`, seconds since the epoch."""
    if isinstance(_hands, Hands):
        _hands.wait_until(moment)
        return
    while (left := moment - now()) > 0:
        _time.sleep(min(left, SLICE_SECONDS))


def wait_for(seconds: float) -> None:
    """Hold this thread for a while, whatever the clock is set to meanwhile."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        _time.sleep(min(left, SLICE_SECONDS))
