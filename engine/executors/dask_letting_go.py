"""Letting go of many futures without keeping the scheduler's event loop: a portion at a time."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any

import distributed

#: How many are let go of at a time, and the seconds from one time to the next. A scheduler takes 12 µs for each: in
#: one message, 20,000 of them keep it from answering anybody for 240 ms.
PORTION = 1_000
PAUSE_SECONDS = 0.02


class LettingGo:
    """Holds the futures of one client's runs until nobody needs them any more; may be called from any thread.

    It has to be the one who holds them: what ends in a cycle, Python's collector lets go of all at once. What is
    left when the client closes is let go of by that.

    Args:
        client: Whose they are.
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client = weakref.ref(client)
        self._held: dict[Any, distributed.Future[Any]] = {}
        self._unneeded: deque[distributed.Future[Any]] = deque()
        self._is_at_it = False

    @staticmethod
    def of(client: distributed.Client) -> LettingGo:
        """The one of a client, made when it is first asked for."""
        with _lock:
            return _by_client.setdefault(client, LettingGo(client))

    def hold(self, future: distributed.Future[Any]) -> None:
        """Hold a future until it is let go of."""
        self._held[future.key] = future

    def let_go(self, future: distributed.Future[Any]) -> None:
        """Let go of a future; whoever calls holds it no more either."""
        self._unneeded.append(self._held.pop(future.key))
        client = self._client()
        if client is None or client.loop is None or client.status != "running":
            self._unneeded.clear()
        elif not self._is_at_it:
            # Two threads may both come here: then portions come twice as often.
            self._is_at_it = True
            client.loop.add_callback(self._let_go_of_portion)

    def _let_go_of_portion(self) -> None:
        """On the client's loop."""
        client, futures = self._client(), self._unneeded
        if client is None or client.loop is None:
            return
        # What the scheduler is too busy to read would become one message with what comes after it.
        if client.scheduler_comm is None or not client.scheduler_comm.buffer:
            for _ in range(min(PORTION, len(futures))):
                futures.popleft()  # the last reference to it: with that goes its key
        # First this: what comes after the look at what is left calls again.
        self._is_at_it = False
        if futures:
            self._is_at_it = True
            client.loop.call_later(PAUSE_SECONDS, self._let_go_of_portion)


_by_client: weakref.WeakKeyDictionary[distributed.Client, LettingGo] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
