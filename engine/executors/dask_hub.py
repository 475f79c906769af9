"""How records come home from a Dask cluster, over the connections that it has open: what the client hears of it.

A worker sends its batches as events of a topic that only one client listens to (`dask_hosting.RunPlugin`, by
`Worker.log_event`). Between them, a plugin of the scheduler (`dask_watch.ClusterWatch`) keeps that topic from
growing, and tells by it which nodes a lost worker held, and what else happens to the cluster.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import distributed

from ..failures import text_of
from ..logs import get_logger
from ..stream import ClusterChanged
from .dask_exits import EXIT_TOPIC, exit_watch
from .dask_inbox import Inbox, Loss
from .dask_right import answer
from .dask_watch import ClusterWatch, topic_of


@dataclass(slots=True)
class _Listening:
    """A run that listens: where its news go, what says whether it is this process's still, and of each worker the
    number of the next batch."""

    inbox: Inbox
    check_counted: Callable[[], float]
    numbers: dict[str, int] = field(default_factory=dict)


class Hub:
    """All that the runs of one client hear from their cluster."""

    def __init__(self) -> None:
        self._runs: dict[str, _Listening] = {}
        #: The connection over which it is known to the cluster.
        self._comm: object = None
        self._client: weakref.ref[distributed.Client] | None = None

    def _attend(self, client: distributed.Client) -> None:
        """Have the cluster tell what happens; with the connection, it forgets who listens."""
        if self._comm is client.scheduler_comm:
            return
        comm = client.scheduler_comm
        self._client = weakref.ref(client)
        client.register_plugin(ClusterWatch(), name=ClusterWatch.name)
        loop: Any = client.loop
        loop.add_callback(_watch_exits, client)
        client.subscribe_topic(topic_of(client.id), self._hear)
        # Only now: where the question broke off, the next run asks it again.
        self._comm = comm

    @staticmethod
    def of(client: distributed.Client) -> Hub:
        """The hub of a client, made when it is first asked for."""
        with _hubs_lock:
            hub = _hubs.get(client)
            if hub is None:
                hub = _hubs[client] = Hub()
            hub._attend(client)
            return hub

    def listen(self, token: str, inbox: Inbox, check_counted: Callable[[], float]) -> None:
        """Begin to pass on what comes for a run.

        Args:
            token: The run's.
            inbox: Is given it in the client's thread.
            check_counted: As `Observer.check_right`; called in any thread.
        """
        self._runs[token] = _Listening(inbox, check_counted)

    def forget(self, token: str) -> None:
        """Pass nothing on for a run any more."""
        self._runs.pop(token, None)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if "lost" in message:
            loss = Loss(*message["lost"])
            for each in list(self._runs.values()):
                each.inbox.put_loss(loss)
            return
        if "changed" in message:
            change = ClusterChanged(*message["changed"])
            for each in list(self._runs.values()):
                each.inbox.put_change(change)
            return
        if "asked" in message:
            self._answer(message["run"], message["asked"])
            return
        listening = self._runs.get(message["run"])
        if listening is None:
            return  # a late word of a run that is over
        if "at_work" in message:
            at_work = [(task, index, turn) for task, index, turn in message["at_work"]]
            listening.inbox.put_at_work(message["worker"], at_work)
            return
        source, number = message["source"], message["number"]
        if number != listening.numbers.get(source, 0):
            # The states among them are told again by the futures; log lines are not.
            get_logger("DaskExecutor").warning("records of worker %s were lost", message["worker"])
        listening.numbers[source] = number + 1
        listening.inbox.put_batch(message["batch"], message["worker"])

    def _answer(self, token: str, asked: float) -> None:
        """Say whether a run is this process's still; that of a run that is over is not."""
        listening = self._runs.get(token)
        check = _raise_over if listening is None else listening.check_counted
        client = None if self._client is None else self._client()
        if client is not None:
            loop: Any = client.loop
            loop.add_callback(answer, client, token, asked, check)


def _raise_over() -> float:
    raise LookupError("the run is over here")


_hubs: weakref.WeakKeyDictionary[distributed.Client, Hub] = weakref.WeakKeyDictionary()
_hubs_lock = threading.Lock()


async def _watch_exits(client: distributed.Client) -> None:
    """Have the nannies of a cluster tell how its workers end; nobody waits for that."""
    try:
        await client._register_nanny_plugin(exit_watch(), name=EXIT_TOPIC, idempotent=True)
    except Exception as error:  # a nanny that is just gone; a cluster that is just closed
        get_logger("DaskExecutor").debug("exit codes of workers stay unknown: %s", text_of(error))
