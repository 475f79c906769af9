"""When a failed attempt is followed by the next."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta


def retry_delay_seconds(
    delay: timedelta | Sequence[timedelta] | Callable[[int], timedelta] | None,
    jitter: float,
    attempt: int,
    draw: Callable[[], float] = random.random,
) -> float:
    """How long to wait after a failed attempt.

    Args:
        delay: The same each time, one an attempt (the last one repeats), or a function of the attempt.
        jitter: At most this share of the delay is added, 0 to 1.
        attempt: The attempt that failed, from 1.
        draw: A random number, 0 to 1.

    Returns:
        Seconds, not below 0.

    >>> retry_delay_seconds([timedelta(seconds=1), timedelta(seconds=5)], 0, 3)
    5.0
    """
    if callable(delay):
        delay = delay(attempt)
    elif isinstance(delay, Sequence):
        delay = delay[min(attempt, len(delay)) - 1]
    if delay is None:
        return 0.0
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    return max(0.0, seconds * (1 + jitter * draw()))
