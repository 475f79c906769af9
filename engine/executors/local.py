"""Running nodes on this machine without a cluster: in this thread, in threads, in processes.

All three share one board of what waits for what. It takes hand-overs while it runs, which Dask's local schedulers
do not (docs/decisions/0002-own-local-scheduler.md).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .. import clock
from ..errors import NodeFailed, ProcessDied
from ..failures import type_and_text_of
from ..hand_over import Given, HandOver, Source, Whole
from ..node import HostedRun, RunPackage, whole_state
from ..parcels import Parcels, pack
from ..state import State, Success
from ..stream import (
    ArtifactMade,
    AttemptLost,
    Event,
    LineLogged,
    NodeCrashed,
    NodeId,
    Report,
    StateChange,
)
from ..timeouts import BodyStopped, Stoppable, unstopped
from .base import Executor, GraphRun, call_in_context, map_nested
from .processes import ProcessLane, Stock, call_in_child

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: How long the calling thread runs nodes before it looks at what they reported, seconds.
SLICE_SECONDS = 0.02

#: As many events of nodes in the calling thread are not held back until it has time; some 500 kB.
EARLY_EVENTS = 1_000

#: How often the coordinating thread looks at what the threads of a pool reported, seconds. Nobody sees so short a
#: wait, and one wake-up a node would cost more than the node.
LOOK_SECONDS = 0.02

#: So many hand-overs a board takes at a time: where so few nodes are ready that threads might be idle, or else
#: after so many seconds. To have all of a large flow there at once would make a short task dearer by a fifth: all
#: are made before, and each is looked up in memory that is far. The seconds count where results are large: what is
#: not there yet cannot go before the next branch is begun.
TAKEN_AT_ONCE = 1_000
ENOUGH_READY = 500
TAKEN_EVERY_SECONDS = 0.02

#: How long a cancelled body may take to end before its thread is left behind, seconds.
STOP_GRACE_SECONDS = 3.0


class Board:
    """Which nodes are ready, which wait for how many others, and the values that are there."""

    def __init__(self) -> None:
        self.values: dict[NodeId, State] = {}
        #: Taken from the right: what became ready last goes first, so that a branch is finished before
        #: the next one is begun, and intermediate results are few.
        self.ready: deque[HandOver] = deque()
        #: Released before they were there.
        self._unwanted: set[NodeId] = set()
        self._missing: dict[NodeId, int] = {}
        self._waiting: dict[NodeId, list[HandOver]] = {}
        self._taken_at = clock.monotonic()

    def room(self) -> int:
        """For how many hand-overs there is room."""
        is_time = clock.monotonic() - self._taken_at >= TAKEN_EVERY_SECONDS
        return TAKEN_AT_ONCE if is_time or len(self.ready) < ENOUGH_READY else 0

    def extend(self, plan: Sequence[HandOver]) -> None:
        """Take hand-overs; those in a plan that are ready are run in its order."""
        self._taken_at = clock.monotonic()
        ready = []
        for item in plan:
            if not item.upstream and item.start is None:
                ready.append(item)
                continue
            missing = [node for node in item.needs() if node not in self.values]
            if len(missing) > 1:
                missing = list(set(missing))
            if not missing:
                ready.append(item)
                continue
            self._missing[item.node] = len(missing)
            for node in missing:
                self._waiting.setdefault(node, []).append(item)
        # To the left: what is under way goes before what comes new.
        self.ready.extendleft(ready)

    def upstream_of(self, item: HandOver) -> list[State]:
        """The states that a ready node takes."""
        if not item.upstream:
            return []
        values: dict[Any, State] = self.values
        return [
            values[source] if type(source) is tuple else self._state_of(source)
            for source in item.upstream
        ]

    def _state_of(self, source: Source | Whole) -> State:
        if isinstance(source, Whole):
            children = [self._value(child) for child in source.children]
            return whole_state(self._value(source.parent), children)
        return self._value(source)

    def start_of(self, item: HandOver) -> State | None:
        """The state from which a ready node goes on."""
        return None if item.start is None else self._value(item.start)

    def _value(self, source: Source) -> State:
        return source.state if isinstance(source, Given) else self.values[source]

    def finish(self, node: NodeId, state: State) -> int:
        """Note a node's value; returns how many nodes became ready."""
        if self._unwanted and node in self._unwanted:
            self._unwanted.discard(node)
        else:
            self.values[node] = state
        waiting = self._waiting.pop(node, None)
        if waiting is None:
            return 0
        before = len(self.ready)
        for item in reversed(waiting):
            missing = self._missing[item.node] - 1
            if missing:
                self._missing[item.node] = missing
            else:
                del self._missing[item.node]
                self.ready.append(item)
        return len(self.ready) - before

    def release(self, nodes: Iterable[NodeId]) -> None:
        """Drop values."""
        for node in nodes:
            if self.values.pop(node, None) is None:
                self._unwanted.add(node)


class InlineRun:
    """A flow run whose nodes run in the thread that waits for them.

    Attributes:
        take_early: Is given what nodes report while `wait` is running: in its thread when that is much, since
            all of a long loop would be held until `wait` returns; and in the thread that calls `look`.
    """

    def __init__(self, package: RunPackage) -> None:
        self._board = Board()
        self._events: list[Event] = []
        self._report = Report(self._take)
        self._hosted = HostedRun(package.runners, self._report, check_counted=package.check_here)
        self._thread = threading.get_ident()
        self._is_ending = False
        self._woken = threading.Event()
        #: The nodes that are being run, for the one who stops them.
        self._at_work: Stoppable[None] | None = None
        self._timers: list[threading.Timer] = []
        self.take_early: Callable[[list[Event]], None] | None = None

    def room(self) -> int:
        return self._board.room()

    def at_once(self) -> int:
        return 1

    def extend(self, plan: Sequence[HandOver]) -> None:
        self._board.extend(plan)

    def wait(self, timeout_seconds: float) -> list[Event]:
        if not self._board.ready and timeout_seconds > 0:
            # Nothing to do before a retry is due: Ctrl-C ends this at once.
            self._woken.wait(timeout_seconds)
        if self._board.ready:
            nodes = self._at_work = Stoppable(self._run_nodes)
            try:
                nodes.run()
            except BodyStopped:
                # Whoever looks at what was at work is through then.
                self._report.look(self._events.extend)
        return self._take_events()

    def _run_nodes(self) -> None:
        board, until = self._board, clock.monotonic() + SLICE_SECONDS
        while board.ready and not self._is_ending:
            item = board.ready.pop()
            start = None if item.start is None else board.start_of(item)
            upstream = board.upstream_of(item)
            state = self._hosted.run(item.node, start, item.as_of, upstream, item.picks)
            board.finish(item.node, state)
            if clock.monotonic() > until:
                break

    def let_end(self, grace_seconds: float) -> None:
        self._is_ending = True
        self._hosted.let_end()
        self._woken.set()
        # The thread that coordinates the run is the one that is in the body.
        timer = threading.Timer(grace_seconds, self._stop)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _stop(self) -> None:
        nodes = self._at_work
        if nodes is not None:
            nodes.stop()

    def is_at_work(self) -> bool:
        return False

    def release(self, nodes: Iterable[NodeId]) -> None:
        self._board.release(nodes)

    def close(self, *, is_cancelled: bool) -> list[Event]:
        for timer in self._timers:
            timer.cancel()
        self._board = Board()
        self._report.look(self._events.extend)
        return self._take_events()

    def look(self) -> None:
        """Hand in what there is, where the calling thread is in a body now; it stays there until then."""
        self._report.look(self._hand_in)

    def _hand_in(self, at_work: list[StateChange]) -> None:
        if self.take_early is not None:
            self.take_early([*self._take_events(), *at_work])

    def _take(self, event: StateChange | LineLogged | ArtifactMade) -> None:
        self._events.append(event)
        if len(self._events) < EARLY_EVENTS or self.take_early is None:
            return
        # What a task reports from a thread of its own waits for this one.
        if threading.get_ident() == self._thread:
            # A stop is for a body, not for those who listen.
            unstopped(partial(self.take_early, self._take_events()))

    def _take_events(self) -> list[Event]:
        events = self._events.copy()
        self._events.clear()
        return events


class Lane(Protocol):
    """What one thread of a pool runs its nodes with."""

    name: str

    def work(self, run_nodes: Callable[[], None]) -> None:
        """Call a function that runs nodes; raises BodyStopped where `interrupt` ended it."""
        ...

    def run(self, item: HandOver, start: State | None, upstream: Sequence[State]) -> State:
        """Run a node, from within `work`; raises ProcessDied when the process it ran in died."""
        ...

    def look(self, take: Callable[[list[StateChange]], object]) -> None:
        """As `Report.look`. Called from another thread."""
        ...

    def let_end(self) -> None:
        """As `HostedRun.let_end`. Called from another thread."""
        ...

    def interrupt(self) -> None:
        """End what the lane is running, as far as that can be done. Called from another thread."""
        ...

    def close(self) -> None:
        """Leave nothing behind. Called by the lane's own thread."""
        ...


class ThreadLane:
    """Runs nodes in the thread itself."""

    def __init__(self, package: RunPackage, report: Report, name: str) -> None:
        self._report, self.name = report, name
        self._hosted = HostedRun(
            package.runners, report, worker=name, check_counted=package.check_here
        )
        self._work: Stoppable[None] | None = None
        self._is_stopped = False

    def work(self, run_nodes: Callable[[], None]) -> None:
        work = self._work = Stoppable(run_nodes)
        if self._is_stopped:
            work.stop()
        work.run()

    def run(self, item: HandOver, start: State | None, upstream: Sequence[State]) -> State:
        return self._hosted.run(item.node, start, item.as_of, upstream, item.picks)

    def look(self, take: Callable[[list[StateChange]], object]) -> None:
        self._report.look(take)

    def let_end(self) -> None:
        self._hosted.let_end()

    def interrupt(self) -> None:
        self._is_stopped = True
        if self._work is not None:
            self._work.stop()

    def close(self) -> None:
        pass


class PooledRun:
    """A flow run whose nodes run in a pool of threads, each with a lane of its own."""

    def __init__(
        self,
        package: RunPackage,
        num_workers: int,
        make_lane: Callable[[PooledRun, str], Lane],
    ) -> None:
        self._nodes = package.graph.nodes
        self._board = Board()
        self._events: deque[Event] = deque()
        #: Held by who changes the board. A thread that runs nodes does not wait for it: it would be given it while
        #: another one runs, which then waits for it in turn, so that threads change at each node. One that is
        #: stopped there may keep it; then the run is closing, and nobody comes to the board any more.
        self._at_board = threading.Lock()
        #: What ended while somebody else was at the board, who takes it up there when he leaves.
        self._finished: deque[tuple[NodeId, State]] = deque()
        self._lock = threading.Lock()
        #: Signalled to idle threads when there are nodes for them.
        self._has_nodes = threading.Condition(self._lock)
        #: Set where the coordinating thread should look at the events now, and not when it next does anyway.
        self._is_urgent = threading.Event()
        self._is_closing = self._is_cancelled = False
        self._idle = 0
        self._lanes: list[Lane] = []
        self._deaths: dict[NodeId, int] = {}
        self._deaths_allowed = package.tolerance.worker_deaths
        self._make_lane = make_lane
        self._num_workers = num_workers
        self._threads: list[threading.Thread] = []

    def room(self) -> int:
        return self._board.room()

    def at_once(self) -> int:
        return self._num_workers

    def extend(self, plan: Sequence[HandOver]) -> None:
        if self._is_closing:
            return
        with self._at_board:
            self._board.extend(plan)
        self._settle()
        self._call_for(len(self._board.ready))

    def _start_threads(self, node_count: int) -> None:
        """Start threads for so many ready nodes, as far as idle ones are too few; with the lock."""
        wanted = min(self._num_workers, len(self._threads) + node_count - self._idle)
        for number in range(len(self._threads), wanted):
            thread = threading.Thread(
                target=self._work, args=(number,), name=f"prefect-dask-{number}", daemon=True
            )
            self._threads.append(thread)
            unstopped(thread.start)

    def wait(self, timeout_seconds: float) -> list[Event]:
        self._is_urgent.wait(min(timeout_seconds, LOOK_SECONDS))
        self._is_urgent.clear()
        return self._take_events()

    def let_end(self, grace_seconds: float) -> None:
        with self._lock:
            self._is_closing = True
            self._board.ready.clear()
            lanes = list(self._lanes)
            self._has_nodes.notify_all()
        for lane in lanes:
            lane.let_end()
        self._is_urgent.set()

    def is_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def release(self, nodes: Iterable[NodeId]) -> None:
        if self._is_closing:
            return
        with self._at_board:
            self._board.release(nodes)
        self._settle()

    def close(self, *, is_cancelled: bool) -> list[Event]:
        with self._lock:
            self._is_closing, self._is_cancelled = True, is_cancelled
            self._board.ready.clear()
            if is_cancelled:
                for lane in self._lanes:
                    lane.interrupt()
            self._has_nodes.notify_all()
        until = clock.monotonic() + STOP_GRACE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - clock.monotonic()))
        self._threads.clear()
        return self._take_events()

    def _take_events(self) -> list[Event]:
        for lane in list(self._lanes):
            lane.look(self._events.extend)
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def _task_name(self, node: NodeId) -> str:
        return self._nodes[node[0]].label.run_name(node[1])

    def report(self, event: Event) -> None:
        """Take an event from a lane; called by its thread."""
        self._events.append(event)
        if isinstance(event, StateChange):
            # The lanes go on by themselves after a success, and after what is not the node's last word.
            if type(event.state) is Success or not event.is_over:
                return
        elif isinstance(event, (LineLogged, ArtifactMade)):
            return
        self._is_urgent.set()

    # ---- the threads

    def _work(self, number: int) -> None:
        lane = self._make_lane(self, f"worker-{number}")
        self._lanes.append(lane)
        try:
            while self._wait_for_nodes():
                lane.work(partial(self._run_nodes, lane))
        except BodyStopped:
            pass
        finally:
            lane.close()

    def _wait_for_nodes(self) -> bool:
        """Wait until there are ready nodes; False when there will be no more."""
        with self._lock:
            # First this: who makes one ready looks then whether anybody is idle.
            self._idle += 1
            while not self._is_closing and not self._board.ready:
                # Perhaps there would be some if what happened until now were looked at.
                self._is_urgent.set()
                self._has_nodes.wait()
            self._idle -= 1
            return not self._is_closing

    def _run_nodes(self, lane: Lane) -> None:
        """Run nodes until none is ready."""
        board = self._board
        while not self._is_closing:
            try:
                item = board.ready.pop()
            except IndexError:
                return
            start, upstream = board.start_of(item), board.upstream_of(item)
            try:
                state = lane.run(item, start, upstream)
            except ProcessDied as death:
                self._take_back(lane, item, death)
            except Exception as error:  # not the task's: what it needs does not reach its place
                cause = type_and_text_of(error)
                failed = NodeFailed(self._task_name(item.node), cause)
                self.report(NodeCrashed(item.node, failed, lane.name))
            else:
                if self._at_board.acquire(blocking=False):
                    try:
                        became_ready = board.finish(item.node, state)
                    finally:
                        self._at_board.release()
                    if became_ready > 1:
                        self._call_for(became_ready - 1)  # one of them is for this thread
                else:
                    self._finished.append((item.node, state))
                if self._finished:
                    self._settle()

    def _settle(self) -> None:
        """Take up at the board what is finished, unless somebody else is there, who then does it."""
        while self._finished and self._at_board.acquire(blocking=False):
            became_ready = 0
            try:
                while self._finished:
                    became_ready += self._board.finish(*self._finished.popleft())
            finally:
                self._at_board.release()
            self._call_for(became_ready)

    def _call_for(self, node_count: int) -> None:
        """Have idle threads come for so many ready nodes, and others start."""
        if node_count and (self._idle or len(self._threads) < self._num_workers):
            with self._lock:
                if not self._is_closing:
                    self._has_nodes.notify(node_count)
                    self._start_threads(node_count)

    def _take_back(self, lane: Lane, item: HandOver, death: ProcessDied) -> None:
        with self._lock:
            if self._is_closing:
                return
            deaths = self._deaths[item.node] = self._deaths.get(item.node, 0) + 1
        # Before another thread can take it up: the news must come in that order.
        self.report(AttemptLost(item.node, lane.name, str(death)))
        if deaths <= self._deaths_allowed:
            self._board.ready.append(item)
        else:
            error = ProcessDied(death.task, death.exit_code, deaths)
            self.report(NodeCrashed(item.node, error, lane.name))


class LocalExecutor(Executor):
    """Runs everything in the thread that calls, one after the other: for tests and debuggers."""

    def submit(
        self, fn: Any, *args: Any, extra_context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the function now; returns its value."""
        return call_in_context(fn, extra_context, args, kwargs)

    def wait(self, futures: Any) -> Any:
        """What `submit` returned, as it is."""
        return futures

    def open(self, package: RunPackage) -> GraphRun:
        """Begin a flow run in this thread."""
        return InlineRun(package)


class LocalDaskExecutor(Executor):
    """Runs nodes on this machine, in a pool that a run brings along: no cluster, no server.

    Within `with executor.start():` processes are kept from run to run.

    Args:
        scheduler: "threads", "processes" or "synchronous" (this thread).
        num_workers: Threads or processes, >= 1; as many as there are processor cores when not given.

    Raises:
        ValueError: `scheduler` is none of the three, or `num_workers` is below 1.
    """

    #: Of the class, so that an executor that was saved has it too.
    _pool: ThreadPoolExecutor | None = None
    _stock: Stock

    def __init__(
        self,
        scheduler: Literal["threads", "processes", "synchronous"] = "threads",
        num_workers: int | None = None,
    ) -> None:
        known = {"multiprocessing": "processes", "sync": "synchronous", "threading": "threads"}
        kind = known.get(scheduler, scheduler)
        if kind not in ("threads", "processes", "synchronous"):
            raise ValueError(
                f"LocalDaskExecutor: there is no scheduler {scheduler!r}; give 'threads', 'processes' or "
                f"'synchronous'"
            )
        if num_workers is not None and (not isinstance(num_workers, int) or num_workers < 1):
            raise ValueError(
                f"LocalDaskExecutor: num_workers must be a number, at least 1, got {num_workers!r}"
            )
        self.scheduler = kind
        self.num_workers = num_workers

    def submit(
        self, fn: Any, *args: Any, extra_context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the function in a thread, or in a process that is started for it; returns a Future."""
        if self.scheduler == "synchronous":
            return call_in_context(fn, extra_context, args, kwargs)
        if self._starts == 0:
            raise RuntimeError("LocalDaskExecutor: submit() works within `with executor.start():`")
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._width(), thread_name_prefix="prefect-dask-submit")
        call = call_in_context if self.scheduler == "threads" else call_in_child
        return self._pool.submit(call, fn, extra_context, args, kwargs)

    def wait(self, futures: Any) -> Any:
        """The values of what `submit` returned: one, or a collection of them at any depth."""
        from concurrent.futures import Future

        return map_nested(lambda it: it.result() if isinstance(it, Future) else it, futures)

    def open(self, package: RunPackage) -> GraphRun:
        """Begin a flow run in threads, in processes, or in this thread."""
        if self.scheduler == "synchronous":
            return InlineRun(package)
        if self.scheduler == "threads":
            return PooledRun(package, self._width(), partial(_thread_lane, package))
        lanes = partial(_process_lane, self._stock, package, pack(package.graph, package.info))
        return PooledRun(package, self._width(), lanes)

    def _width(self) -> int:
        return self.num_workers or os.cpu_count() or 1

    def _set_up(self) -> None:
        self._stock = Stock(most=self._width())

    def _clear_away(self) -> None:
        self._stock.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def __repr__(self) -> str:
        return f"<Executor: LocalDaskExecutor, {self.scheduler}>"


def _thread_lane(package: RunPackage, run: PooledRun, name: str) -> Lane:
    return ThreadLane(package, Report(run.report, name), name)


def _process_lane(
    stock: Stock, package: RunPackage, parcels: Parcels, run: PooledRun, name: str
) -> Lane:
    nodes = package.graph.nodes
    return ProcessLane(
        stock,
        package.token,
        parcels,
        lambda node: nodes[node[0]].label.run_name(node[1]),
        run.report,
        name,
        package.info.log_level,
        package.check_counted,
    )
