"""What comes for a run on a Dask cluster in the client's thread, until the coordinating thread takes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..stream import ClusterChanged, NodeId, Told, decode_batch


class Loss(NamedTuple):
    """What a worker that is gone had for a client.

    Attributes:
        worker: Its address.
        running: The keys that it was to run.
        computed: The keys whose values it alone had.
        is_expected: Whether it left in good order.
        threads: In how many threads it ran them; 0 where it was to run none.
    """

    worker: str
    running: Sequence[Sequence[Any]]
    computed: Sequence[Sequence[Any]]
    is_expected: bool
    threads: int


class AtWork(NamedTuple):
    """Of the task runs that are announced, these are at work on a worker, and no others."""

    worker: str
    nodes: tuple[NodeId, ...]


#: What a run hears of its cluster.
News: TypeAlias = Told | Loss | AtWork | ClusterChanged


class Inbox:
    """The news of one run, in the order in which they came.

    Args:
        is_ours: Whether a key of Dask's is one of the run's.
    """

    def __init__(self, is_ours: Callable[[Sequence[Any]], bool]) -> None:
        self._is_ours = is_ours
        self._news: deque[News] = deque()
        self._arrived = threading.Condition()
        self._is_woken = False

    # ---- for the client's thread

    def put_batch(self, batch: bytes, worker: str) -> None:
        """Take the records of a worker."""
        self._news.extend(decode_batch(batch, worker))
        self._notify()

    def put_change(self, change: ClusterChanged) -> None:
        """Take the word of what happened to the cluster."""
        self._news.append(change)
        self._notify()

    def put_at_work(self, worker: str, nodes: Sequence[NodeId]) -> None:
        """Take the word of what is at work on a worker; nobody waits for that."""
        self._news.append(AtWork(worker, tuple(nodes)))

    def put_loss(self, loss: Loss) -> None:
        """Take of what is gone with a worker that which was the run's."""
        running, computed = (
            tuple([tuple(key) for key in keys if self._is_ours(key)])
            for keys in (loss.running, loss.computed)
        )
        if running or computed:
            self._news.append(loss._replace(running=running, computed=computed))
        self._notify()

    def _notify(self) -> None:
        with self._arrived:
            self._arrived.notify()

    # ---- for the coordinating thread

    def wake(self) -> None:
        """Have `wait` return without any news. For any thread."""
        with self._arrived:
            self._is_woken = True
            self._arrived.notify()

    def wait(self, timeout_seconds: float) -> None:
        """Return as soon as there is something to take, or nothing came within the time."""
        with self._arrived:
            if not self._news and not self._is_woken:
                self._arrived.wait(timeout_seconds)
            self._is_woken = False

    def take(self) -> Iterator[News]:
        """All that is there, also what comes meanwhile."""
        while self._news:
            yield self._news.popleft()
