"""How records come home from a Dask cluster, over the connections that it has open: what the client hears of it.

A worker sends its batches as events of a topic that only one client listens to (`dask_hosting.RunPlugin`, by
`Worker.log_event`). Between them, a plugin of the scheduler (`dask_watch.ClusterWatch`) keeps that topic from
growing, and tells by it which nodes a lost worker held, and what else happens to the cluster.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import distributed

from ..failures import text_of
from ..logs import get_logger
from ..stream import ClusterChanged, NodeId
from .dask_exits import EXIT_TOPIC, exit_watch
from .dask_right import answer
from .dask_watch import ClusterWatch, topic_of

OnBatch = Callable[[bytes, str], None]
OnLoss = Callable[["Loss"], None]
OnChange = Callable[[ClusterChanged], None]
OnAtWork = Callable[[str, Sequence[NodeId]], None]


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


class Ears(NamedTuple):
    """What a run does with what comes for it.

    Attributes:
        on_batch: With a batch of records, and whose it is.
        on_loss: With what is gone with a worker.
        on_change: With other news of the cluster.
        on_at_work: With a worker, and which of the task runs that are announced are at work there.
        check_counted: Says for how long the run is this process's for certain, seconds, and raises where it is not;
            called in any thread.
    """

    on_batch: OnBatch
    on_loss: OnLoss
    on_change: OnChange
    on_at_work: OnAtWork
    check_counted: Callable[[], float]


class Hub:
    """All that the runs of one client hear from their cluster."""

    def __init__(self) -> None:
        self._listeners: dict[str, Ears] = {}
        #: Per run, the number of the next batch of each worker.
        self._numbers: dict[str, dict[str, int]] = {}
        #: The connection over which it is known to the cluster.
        self._comm: object = None
        self._client: weakref.ref[distributed.Client] | None = None

    def _attend(self, client: distributed.Client) -> None:
        """Have the cluster tell what happens; with the connection, it forgets who listens."""
        if self._comm is client.scheduler_comm:
            return
        self._comm = client.scheduler_comm
        self._client = weakref.ref(client)
        client.register_plugin(ClusterWatch(), name=ClusterWatch.name)
        loop: Any = client.loop
        loop.add_callback(_watch_exits, client)
        client.subscribe_topic(topic_of(client.id), self._hear)

    @staticmethod
    def of(client: distributed.Client) -> Hub:
        """The hub of a client, made when it is first asked for."""
        with _hubs_lock:
            hub = _hubs.get(client)
            if hub is None:
                hub = _hubs[client] = Hub()
            hub._attend(client)
            return hub

    def listen(self, token: str, ears: Ears) -> None:
        """Begin to pass on what comes for a run; the functions are called in the client's thread."""
        self._numbers[token] = {}
        self._listeners[token] = ears

    def forget(self, token: str) -> None:
        """Pass nothing on for a run any more."""
        self._listeners.pop(token, None)
        self._numbers.pop(token, None)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if "lost" in message:
            loss = Loss(*message["lost"])
            for ears in list(self._listeners.values()):
                ears.on_loss(loss)
            return
        if "changed" in message:
            change = ClusterChanged(*message["changed"])
            for ears in list(self._listeners.values()):
                ears.on_change(change)
            return
        if "asked" in message:
            self._answer(message["run"], message["asked"])
            return
        listener, numbers = self._listeners.get(message["run"]), self._numbers.get(message["run"])
        if listener is None or numbers is None:
            return  # a late word of a run that is over
        if "at_work" in message:
            at_work = [(task, index, turn) for task, index, turn in message["at_work"]]
            listener.on_at_work(message["worker"], at_work)
            return
        source, number = message["source"], message["number"]
        if number != numbers.get(source, 0):
            # The states among them are told again by the futures; log lines are not.
            get_logger("DaskExecutor").warning("records of worker %s were lost", message["worker"])
        numbers[source] = number + 1
        listener.on_batch(message["batch"], message["worker"])

    def _answer(self, token: str, asked: float) -> None:
        """Say whether a run is this process's still; that of a run that is over is not."""
        ears = self._listeners.get(token)
        check = _raise_over if ears is None else ears.check_counted
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
