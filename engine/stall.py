"""What to say when nothing happens in a flow run for long: who waits for what.

Pure: the caller says what time it is, and what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import clock

#: So many of a kind are named; the rest is counted.
NAMED_AT_MOST = 5

#: How much longer than before it is until the same is said again.
GROWTH = 2.0


class AtWork(NamedTuple):
    """A task run whose body runs: what it is called, since when (seconds since the epoch), and where ("": here)."""

    name: str
    since: float
    where: str


class WaitsForSlot(NamedTuple):
    """So many runs of a task that wait for a slot, under which limits, and what is known of who has them."""

    name: str
    waiting: int
    limits: Sequence[str]
    why: str


class Stalled(NamedTuple):
    """What is known of a flow run in which nothing happens.

    Attributes:
        flow_run: What the run is called.
        quiet_seconds: For how long no task run has come to a state.
        at_work: Bodies that run.
        slots: What waits for slots.
        workers: What waits for workers, as the executor says it.
        next_due: The task run that goes on next at a time, and when, seconds since the epoch; None where none does.
        waits_for_word: How many task runs are paused.
    """

    flow_run: str
    quiet_seconds: float
    at_work: Sequence[AtWork] = ()
    slots: Sequence[WaitsForSlot] = ()
    workers: Sequence[str] = ()
    next_due: tuple[str, float] | None = None
    waits_for_word: int = 0


def stall_text(stalled: Stalled, now: float) -> str:
    """Who waits for what, a line each.

    Args:
        stalled: What is known.
        now: Seconds since the epoch.

    >>> print(stall_text(Stalled("etl-1", 300, [AtWork("load[3]", 100.0, "tcp://a:1")]), now=412.0))
    flow run 'etl-1': nothing has happened for 300 s
      at work: 'load[3]' for 312 s on tcp://a:1
    """
    lines = [
        f"flow run {stalled.flow_run!r}: nothing has happened for {stalled.quiet_seconds:.0f} s"
    ]
    longest_first = sorted(stalled.at_work, key=lambda each: each.since)
    lines += [
        f"at work: {each.name!r} for {now - each.since:.0f} s{f' on {each.where}' * bool(each.where)}"
        for each in longest_first[:NAMED_AT_MOST]
    ]
    if len(longest_first) > NAMED_AT_MOST:
        lines.append(f"at work: {len(longest_first) - NAMED_AT_MOST} more")
    for wait in stalled.slots:
        under = ", ".join(map(repr, wait.limits))
        what = f"{wait.waiting} runs of {wait.name!r}" if wait.waiting > 1 else repr(wait.name)
        lines.append(f"waits for a slot: {what} under {under}{f': {wait.why}' * bool(wait.why)}")
    lines += [f"waits for a worker: {text}" for text in stalled.workers]
    if stalled.next_due is not None:
        name, moment = stalled.next_due
        at = clock.to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(
            f"waits for a time: {name!r} goes on at {at}, in {max(0.0, moment - now):.0f} s"
        )
    if stalled.waits_for_word:
        lines.append(f"waits for somebody's word: {stalled.waits_for_word} paused")
    if len(lines) == 1:
        lines.append("nothing is at work, and nothing is known that anything waits for")
    return "\n  ".join(lines)


class StallWatch:
    """When to say that nothing happens: after a while, and then ever less often.

    Args:
        after_seconds: After how long without progress; 0: never.
    """

    def __init__(self, after_seconds: float) -> None:
        self._after = after_seconds
        self._since: float | None = None
        self._say_at = self._pause = 0.0

    def note_progress(self) -> None:
        """Something happened."""
        self._since = None

    def look(self, now: float) -> float | None:
        """For how long nothing has happened, where that is to be said now.

        Args:
            now: Seconds on a clock that does not go back. Looked at often, the first time soon after the progress.

        >>> watch = StallWatch(10)
        >>> [watch.look(now) for now in (0, 9, 10, 29, 30, 69, 70)]
        [None, None, 10, None, 30, None, 70]
        """
        if not self._after:
            return None
        if self._since is None:
            self._since, self._pause = now, self._after
            self._say_at = now + self._pause
            return None
        if now < self._say_at:
            return None
        quiet = now - self._since
        self._pause *= GROWTH
        self._say_at = now + self._pause
        return quiet
