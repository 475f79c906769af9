"""The one place that reads the time.

Times are seconds since the epoch (UTC) inside the engine and aware UTC datetimes where users meet them.
"""

from __future__ import annotations

import time as _time
from datetime import datetime, timezone

UTC = timezone.utc


def now() -> float:
    """Seconds since the epoch, UTC."""
    return _time.time()


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
    while (left := moment - now()) > 0:
        _time.sleep(min(left, 1.0))  # in slices: the machine's clock may be set meanwhile
