"""How records come home from a Dask cluster: worker, scheduler, client, over the connections that Dask has open.

A worker sends its batches as events of a topic that only one client listens to (`Worker.log_event`). A scheduler
plugin keeps that topic from growing, and tells the client which nodes a lost worker held.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple, TypeGuard

import distributed
from dask._task_spec import Task
from dask.sizeof import sizeof
from distributed.diagnostics.plugin import NannyPlugin, SchedulerPlugin, WorkerPlugin
from tornado.ioloop import PeriodicCallback

from .. import clock
from ..beforehand import Beforehand
from ..failures import text_of
from ..group_run import repeat_refused, run_group, run_once, undo_group
from ..logs import get_logger
from ..node import PROCESS_ID, Cutting, HostedRun, forward_log_lines, host, hosted, unhost
from ..parcels import Parcels
from ..state import State
from ..stream import Batcher, ClusterChanged, NodeId, StateChange, StillAtWork, encode_batch
from ..timeouts import make_threads_known
from .dask_right import Right, Rights, answer

#: Topics of ours begin so.
TOPIC = "prefect-dask-"

#: How often it is looked whether workers wrote results to their disks, seconds; they tell that twice a second.
SPILL_SECONDS = 1.0

#: Where Dask's nannies tell of workers that took too much memory.
MEMORY_TOPIC = "worker-restart-memory"

#: Where our plugin in nannies tells how worker processes ended.
EXIT_TOPIC = "prefect_dask-worker-exit"

OnBatch = Callable[[bytes, str], None]
OnLoss = Callable[["Loss"], None]
OnChange = Callable[[ClusterChanged], None]
OnAtWork = Callable[[str, Sequence[NodeId]], None]

#: How long a task run that has to be announced waits for that, seconds.
ANNOUNCE_SECONDS = 5.0


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
        client.subscribe_topic(self.topic(client), self._hear)

    @staticmethod
    def topic(client: distributed.Client) -> str:
        """The topic that this client alone listens to."""
        return f"{TOPIC}{client.id}"

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
        await client._register_nanny_plugin(_exit_watch(), name=EXIT_TOPIC, idempotent=True)
    except Exception as error:  # a nanny that is just gone; a cluster that is just closed
        get_logger("DaskExecutor").debug("exit codes of workers stay unknown: %s", text_of(error))


def _exit_watch() -> NannyPlugin:
    topic = EXIT_TOPIC

    # Made here, so that its code travels with it: a nanny without this package must not fail because of us.
    class ExitWatch(NannyPlugin):
        """In a nanny: tells the exit code of each worker process that ends."""

        def setup(self, nanny: Any) -> None:
            """Called by the nanny when the plugin arrives."""
            told = nanny._on_worker_exit

            async def tell_and_go_on(exit_code: int) -> None:
                try:
                    message = {"worker": nanny.worker_address, "exit_code": exit_code}
                    await nanny.scheduler.log_event(topic=topic, msg=message)
                except Exception:  # the scheduler is gone, too
                    pass
                await told(exit_code)

            nanny._on_worker_exit = tell_and_go_on

        def teardown(self, nanny: Any) -> None:
            """Called by the nanny when it ends."""
            del nanny._on_worker_exit

    return ExitWatch()


class ClusterWatch(SchedulerPlugin):
    """On the scheduler: forwards without keeping, tells which nodes and results a lost worker held, and has those
    run nothing when Dask makes them anew: the coordinating process knows better."""

    name = "prefect-dask"
    idempotent = True

    async def start(self, scheduler: distributed.Scheduler) -> None:
        """Called by the scheduler when the plugin arrives."""
        self.scheduler = scheduler
        #: How much each worker had written to its disk when that was last told, bytes.
        self._spilled: dict[str, int] = {}
        Rights(scheduler, self._ask)
        look = PeriodicCallback(self._look_for_spills, SPILL_SECONDS * 1000)
        # Stopped by the scheduler with its own.
        scheduler.periodic_callbacks["prefect-dask-spills"] = look
        look.start()

    def _ask(self, client: str, token: str, number: float) -> None:
        self.scheduler.log_event(f"{TOPIC}{client}", {"run": token, "asked": number})

    def _look_for_spills(self) -> None:
        """Tell of workers that begin to write results to their disks, and each time that it has doubled."""
        for address, worker in self.scheduler.workers.items():
            spilled_bytes = worker.memory.spilled
            if spilled_bytes > 2 * self._spilled.get(address, 0):
                self._spilled[address] = spilled_bytes
                self._tell_all("spilled", address, {"spilled_bytes": spilled_bytes})

    def log_event(self, topic: str, msg: Any) -> None:
        """Called by the scheduler for each event, after it was sent to those who listen."""
        if topic.startswith(TOPIC):
            # Else the scheduler would keep the last 100,000 batches of each client for ever.
            topics = self.scheduler._broker._topics
            if topics[topic].subscribers:
                topics[topic].truncate()
            else:
                del topics[topic]  # a late word to a client that is gone
        elif topic == "all" and isinstance(msg, dict) and msg.get("action") == "remove-worker":
            self._spilled.pop(msg["worker"], None)
            self._tell_all("left" if msg["expected"] else "died", msg["worker"], {})
            self._tell_loss(msg)
        elif topic == "all" and isinstance(msg, dict) and msg.get("action") == "add-worker":
            self._tell_all("joined", msg["worker"], {})
        elif topic == MEMORY_TOPIC and isinstance(msg, dict):
            # Told by its nanny, which ends it now.
            self._tell_all("out of memory", msg["worker"], {"rss_bytes": msg["rss"]})
        elif topic == EXIT_TOPIC and isinstance(msg, dict):
            self._tell_all("exited", msg["worker"], {"exit_code": msg["exit_code"]})

    def _tell_loss(self, msg: Any) -> None:
        """Tell each client what of its own is gone with a worker; called before Dask decides who makes it anew."""
        held: defaultdict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        threads = 0
        for number, name in enumerate(("processing-tasks", "lost-computed-tasks")):
            for key in msg.get(name, ()):
                task = self.scheduler.tasks.get(key)
                if task is None:
                    continue
                _disarm(task)
                if task.processing_on is not None:
                    threads = task.processing_on.nthreads
                for client in task.who_wants or ():
                    held[client.client_key][number].append(key)
        for client_key, keys in held.items():
            lost = [msg["worker"], *keys, bool(msg["expected"]), threads]
            self.scheduler.log_event(f"{TOPIC}{client_key}", {"lost": lost})

    def update_graph(self, scheduler: distributed.Scheduler, *, tasks: Any, **_: Any) -> None:
        """Called by the scheduler for each portion of a graph: equal annotations of ours become one dict.

        Each task has one of its own otherwise, 180 bytes for the name of the run's span alone.
        """
        shared: dict[str, Any] | None = None
        for key in tasks:
            task = scheduler.tasks.get(key)
            if task is None or not _is_ours(task.run_spec):
                continue
            if task.annotations == shared:
                task.annotations = shared
            else:
                shared = task.annotations

    def transition(self, key: Any, start: Any, finish: Any, *args: Any, **kwargs: Any) -> None:
        """Called by the scheduler for each change of a task, before the next one."""
        if finish == "released" and start in ("processing", "memory"):
            # Lost with its worker, and perhaps about to be made again.
            state = self.scheduler.tasks.get(key)
            if state is None:
                return
            made_by = state.run_spec
            if isinstance(made_by, Task) and made_by.func is run_once:
                state.run_spec = Task(key, repeat_refused, *made_by.args)

    def _tell_all(self, kind: str, worker: str, details: dict[str, Any]) -> None:
        """Tell each client of ours what happened to the cluster."""
        message = {"changed": [kind, worker, clock.now(), details]}
        for topic, held in list(self.scheduler._broker._topics.items()):
            if topic.startswith(TOPIC) and held.subscribers:
                self.scheduler.log_event(topic, message)

    def remove_client(self, scheduler: distributed.Scheduler, client: str) -> None:
        """Called by the scheduler when a client leaves; Dask itself keeps a client's topics and plugins for ever.

        One whose process died could not end its runs. What they still have on workers counts for nobody.
        """
        topic = f"{TOPIC}{client}"
        scheduler._broker._topics.pop(topic, None)
        tasks = scheduler._ongoing_background_tasks
        for name in [name for name in scheduler.worker_plugins if name.startswith(f"{topic}-")]:
            if not tasks.closed:
                tasks.call_soon(_end_run, scheduler, name)


async def _end_run(scheduler: distributed.Scheduler, name: str) -> None:
    """On the scheduler: have each worker forget a run that nobody waits for any more."""
    if scheduler.worker_plugins.pop(name, None) is not None:
        await scheduler.broadcast(msg={"op": "plugin-remove", "name": name}, on_error="ignore")


def _is_ours(made_by: object) -> TypeGuard[Task]:
    """Whether a node of ours is what a key of Dask's is made by."""
    return isinstance(made_by, Task) and made_by.func in (run_group, run_once)


def _disarm(task: Any) -> None:
    """Have a node of ours run nothing when Dask makes it anew, nor those above it whose values it let go."""
    left = [task]
    while left:
        task = left.pop()
        spec = task.run_spec
        if _is_ours(spec):
            task.run_spec = Task(task.key, undo_group, spec.args[1])
            left += [above for above in task.dependencies if above.state == "released"]


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
        self.topic = f"{TOPIC}{client}"
        self.coordinator = PROCESS_ID
        # By which the scheduler knows whose it is.
        self.name = f"{self.topic}-{token}"

    def setup(self, worker: distributed.Worker) -> None:
        """Called by the worker when the plugin arrives, before any node of the run."""
        source = uuid.uuid4().hex

        def send(number: int, batch: bytes) -> None:
            message = {
                "run": self.token,
                "source": source,
                "number": number,
                "worker": worker.address,
                "batch": batch,
            }
            # Always by way of the loop: called in its own thread, `log_event` would send at once, past
            # batches of other threads that wait there.
            worker.loop.add_callback(worker.log_event, self.topic, message)

        def call_later(seconds: float, function: Callable[[], None]) -> None:
            loop = worker.loop
            loop.add_callback(lambda: loop.call_later(seconds, function))

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
                self.batcher.flush,
                self.batcher.flush_if_quiet,
            ),
            check_counted=Right(worker, self.client, self.token, self.name).check,
            announce=announce,
        )
        host(self.token, self.run)

    def teardown(self, worker: distributed.Worker) -> None:
        """Called by the worker when the run is over, or the worker leaves."""
        self.run.stop()
        self.batcher.flush()
        unhost(self.token)


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


class EndingPlugin(WorkerPlugin):
    """On each worker, also those that join later: lets no other body of a flow run begin.

    Args:
        token: The run's token.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.name = f"prefect-dask-{token}-ending"

    def setup(self, worker: distributed.Worker) -> None:
        """Called by the worker when the plugin arrives."""
        let_end(self.token)


def let_end(token: str) -> bool:
    """On a worker: let no other body of a run begin, ask those at work to end, and tell the run which these are.

    Returns:
        Whether the run is hosted here, and told.
    """
    run = hosted(token)
    if run is None:
        return False
    assert isinstance(run.report, Batcher)
    run.report.collect(StillAtWork(tuple(run.let_end()), run.worker))
    run.report.flush()
    return True


def size_of_state(state: State) -> int:
    """About how many bytes a state takes with its result: Dask moves, spills and frees nodes' values by that."""
    return sys.getsizeof(state) + int(sizeof(state._result))


sizeof.register(State, size_of_state)


def bare_state_of(value: list[State], node: NodeId, position: int) -> tuple[bytes, str]:
    """On the worker that holds a node's value: its last record, for one that was lost on the way."""
    batch = encode_batch([StateChange(node, 1, value[position], True, "")])
    return batch, distributed.get_worker().address
