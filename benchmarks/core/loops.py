"""For how long an event loop is kept: its longest turn, by the time that its thread was on a processor."""

from __future__ import annotations

import asyncio
import time
from asyncio import base_events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import distributed


class Kept(NamedTuple):
    """The longest turn of an event loop, between two looks at its connections.

    Attributes:
        milliseconds: Of processor time.
        callbacks: How many there were in it.
        longest: What the longest of them was.
        longest_milliseconds: How much of the turn that took.
    """

    milliseconds: float = 0.0
    callbacks: int = 0
    longest: str = ""
    longest_milliseconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.milliseconds:.0f} ms in {self.callbacks} callbacks, of which the longest took "
            f"{self.longest_milliseconds:.0f}: {self.longest}"
        )


class _Watch:
    """The longest turn of all event loops of this process; asyncio has no hook for that."""

    def __init__(self) -> None:
        self.longest = Kept()
        self._turn = Kept()
        self._were: tuple[Callable[..., None], Callable[..., None]] | None = None

    def begin(self) -> None:
        """Watch, from now on."""
        self.longest = self._turn = Kept()
        if self._were is not None:
            return
        loop_class: Any = base_events.BaseEventLoop
        turn, run = self._were = (loop_class._run_once, asyncio.Handle._run)

        def timed_turn(loop: Any) -> None:
            self._turn = Kept()
            begun = time.thread_time()
            turn(loop)
            taken = (time.thread_time() - begun) * 1e3
            if taken > self.longest.milliseconds:
                self.longest = self._turn._replace(milliseconds=taken)

        def timed_run(handle: asyncio.Handle) -> None:
            begun = time.thread_time()
            run(handle)
            taken = (time.thread_time() - begun) * 1e3
            _, count, longest, most = self._turn
            if taken > most:
                longest, most = _name_of(handle), taken
            self._turn = Kept(0.0, count + 1, longest, most)

        loop_class._run_once, asyncio.Handle._run = timed_turn, timed_run  # type: ignore[method-assign]  # meant

    def end(self) -> Kept:
        """Watch no more; the longest turn."""
        if self._were is not None:
            loop_class: Any = base_events.BaseEventLoop
            loop_class._run_once, asyncio.Handle._run = self._were  # type: ignore[method-assign]  # as it was
            self._were = None
        return self.longest


_watch = _Watch()


def _name_of(handle: Any) -> str:
    """What a callback calls: the coroutine, where it is a step of one."""
    function = handle._callback
    owner = getattr(function, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", repr(owner))
    while hasattr(function, "func"):
        inner = function.args[0] if function.args and callable(function.args[0]) else None
        function = inner or function.func
    return getattr(function, "__qualname__", repr(function))


@contextmanager
def longest_turns(client: distributed.Client) -> Iterator[dict[str, Kept]]:
    """The longest turns within the block; filled in at its end.

    Args:
        client: Of a scheduler in another process.

    Yields:
        Those of the loops of "client" and "scheduler".
    """
    kept: dict[str, Kept] = {}
    client.run_on_scheduler(_begin)
    _begin()
    try:
        yield kept
    finally:
        kept["client"] = _end()
        kept["scheduler"] = client.run_on_scheduler(_end)


def _begin() -> None:
    _watch.begin()


def _end() -> Kept:
    return _watch.end()
