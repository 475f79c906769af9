"""On the scheduler of a Dask cluster: tells our clients what happens to it, and has nothing run again unasked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeGuard

import distributed
from dask._task_spec import Task
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.ioloop import PeriodicCallback

from .. import clock
from ..group_run import repeat_refused, run_group, run_once, undo_group
from .dask_exits import EXIT_TOPIC
from .dask_right import Rights

#: Topics of ours begin so.
TOPIC = "prefect-dask-"

#: How often it is looked whether workers wrote results to their disks, seconds; they tell that twice a second.
SPILL_SECONDS = 1.0

#: Where Dask's nannies tell of workers that took too much memory.
MEMORY_TOPIC = "worker-restart-memory"


#: What a client sends when a run is over.
OVER = "prefect-dask-over"


def topic_of(client: str) -> str:
    """The topic to which the client with an id listens, and no other."""
    return f"{TOPIC}{client}"


def have_forgotten(client: distributed.Client, name: str) -> None:
    """Have each worker forget a run of which nothing is at work any more, and do not wait for it.

    Args:
        client: The run's, to which a `ClusterWatch` tells what happens.
        name: That of the run's plugin.
    """
    client._send_to_scheduler({"op": OVER, "name": name})


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
        scheduler.stream_handlers[OVER] = self._take_over
        look = PeriodicCallback(self._look_for_spills, SPILL_SECONDS * 1000)
        # Stopped by the scheduler with its own.
        scheduler.periodic_callbacks["prefect-dask-spills"] = look
        look.start()

    def _take_over(self, client: str, name: str) -> None:
        """Take the word of a client that a run is over."""
        self._end_runs([name])

    def _end_runs(self, names: Iterable[str]) -> None:
        tasks = self.scheduler._ongoing_background_tasks
        for name in names:
            if not tasks.closed:
                tasks.call_soon(_end_run, self.scheduler, name)

    def _ask(self, client: str, token: str, number: float) -> None:
        self.scheduler.log_event(topic_of(client), {"run": token, "asked": number})

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
            self.scheduler.log_event(topic_of(client_key), {"lost": lost})

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
        topic = topic_of(client)
        scheduler._broker._topics.pop(topic, None)
        self._end_runs([name for name in scheduler.worker_plugins if name.startswith(f"{topic}-")])


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
