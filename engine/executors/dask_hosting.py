"""On the workers of a Dask cluster: hosting a flow run, and sending home what is told there."""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import distributed
from dask.sizeof import sizeof
from distributed.diagnostics.plugin import WorkerPlugin

from ..beforehand import Beforehand
from ..node import PROCESS_ID, Cutting, HostedRun, forward_log_lines, host, unhost
from ..parcels import Parcels
from ..state import State
from ..stream import Batcher, NodeId
from ..timeouts import make_threads_known
from .dask_right import Right
from .dask_watch import topic_of

#: How long a task run that has to be announced waits for that, seconds.
ANNOUNCE_SECONDS = 5.0


class RunPlugin(WorkerPlugin):
    """On each worker, also those that join later: hosts one flow run.

    Args:
        token: The run's token.
        parcels: Its tasks.
        client: The id of the client that hears of it.
        log_level: Level from which the lines that its tasks log are sent home.
    """

    def __init__(self, token: str, parcels: Parcels, client: str, log_level: int) -> None:
        # The first attribute, so that it is unpickled first.
        self.beforehand = Beforehand()
        self.token, self.parcels, self.client, self.log_level = token, parcels, client, log_level
        self.topic = topic_of(client)
        self.coordinator = PROCESS_ID
        # By which the scheduler knows whose it is.
        self.name = f"{self.topic}-{token}"

    def setup(self, worker: distributed.Worker) -> None:
        """Called by the worker when the plugin arrives, before any node of the run."""
        source = uuid.uuid4().hex

        outbox = _outboxes[self.token] = Outbox(worker, self.topic)

        def send(number: int, batch: bytes, wakes: bool) -> None:
            outbox.put(
                {
                    "run": self.token,
                    "source": source,
                    "number": number,
                    "worker": worker.address,
                    "batch": batch,
                },
                wakes,
            )

        def call_later(seconds: float, function: Callable[[], None]) -> None:
            def call() -> None:
                function()
                outbox.send()  # also what waits for a word of the worker that did not come

            loop = worker.loop
            loop.add_callback(lambda: loop.call_later(seconds, call))

        def announce(nodes: Sequence[NodeId]) -> None:
            # Not by way of the stream, where it would wait for company: answered, it is out of this process.
            message = {"run": self.token, "worker": worker.address, "at_work": nodes}
            told = worker.scheduler.log_event(topic=self.topic, msg=message)
            loop: Any = worker.loop
            with suppress(Exception):  # what is not announced is not blamed either
                asyncio.run_coroutine_threadsafe(told, loop.asyncio_loop).result(ANNOUNCE_SECONDS)

        make_threads_known(thread_of_task_here)
        if self.coordinator != PROCESS_ID:
            # Where the worker is a thread of the coordinating process, lines are there already.
            forward_log_lines(self.log_level)
        self.batcher = Batcher(send, call_later)
        self.run = HostedRun(
            self.parcels,
            self.batcher,
            worker=worker.address,
            leaves_process=True,
            cutting=Cutting(
                self.batcher.collect,
                call_later,
                sizeof,
                self.batcher.enter_last,
                self.batcher.leave,
            ),
            check_counted=Right(worker, self.client, self.token, self.name).check,
            announce=announce,
        )
        host(self.token, self.run)

    def transition(self, key: Any, start: Any, finish: Any, **kwargs: Any) -> None:
        """Called by the worker, in its loop, when it moves one of its tasks on: before it tells of that itself."""
        outbox = _outboxes.get(self.token)
        if outbox is not None:
            outbox.send()

    def teardown(self, worker: distributed.Worker) -> None:
        """Called by the worker when the run is over, or the worker leaves."""
        self.run.stop()
        self.run.full_collections.let_come()
        self.batcher.flush()
        _outboxes.pop(self.token, None)
        unhost(self.token)


class Outbox:
    """Messages on their way from the threads of a worker to its loop, which sends them in the order they came in.

    Those of the end of a node do not wake the loop: the worker's own word that the node is over does, and goes home
    in one message with them.

    Args:
        worker: Whose loop it is.
        topic: Under which the coordinating process hears of them.
    """

    def __init__(self, worker: distributed.Worker, topic: str) -> None:
        self._worker, self._topic = worker, topic
        self._messages: deque[object] = deque()

    def put(self, message: object, wakes: bool) -> None:
        """Put a message in; from any thread.

        Args:
            message: What Dask can send.
            wakes: Whether the loop is woken for it; else it goes when the worker moves one of its tasks on.
        """
        self._messages.append(message)
        if wakes:
            # By way of the loop: called in its own thread, `log_event` would send at once, past what waits there.
            self._worker.loop.add_callback(self.send)

    def send(self) -> None:
        """Send what is there; in the loop."""
        while self._messages:
            self._worker.log_event(self._topic, self._messages.popleft())


#: Of the runs that this process hosts, by token; several workers of it have one between them, as they have the run.
_outboxes: dict[str, Outbox] = {}


def thread_of_task_here() -> AbstractContextManager[None]:
    """A block whose thread runs the task of this one, as far as Dask's profiler and call stacks are concerned."""
    try:
        worker = distributed.get_worker()
    except ValueError:
        return nullcontext()  # a flow run in this process that is on no cluster
    key = worker.active_threads.get(threading.get_ident())
    return nullcontext() if key is None else _thread_of_task(worker, key)


@contextmanager
def _thread_of_task(worker: distributed.Worker, key: Any) -> Iterator[None]:
    ident = threading.get_ident()
    with worker.active_threads_lock:
        worker.active_threads[ident] = key
    try:
        yield
    finally:
        with worker.active_threads_lock:
            del worker.active_threads[ident]


def size_of_state(state: State) -> int:
    """About how many bytes a state takes with its result: Dask moves, spills and frees nodes' values by that."""
    return sys.getsizeof(state) + int(sizeof(state._result))


sizeof.register(State, size_of_state)
