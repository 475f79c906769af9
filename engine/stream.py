"""States and log lines on their way from where tasks run to whoever listens.

Where tasks run, a `StateChange` holds the State itself. Between processes it travels as a short msgpack list,
without the result; many of them make a batch, numbered so that a lost one is noticed.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import clock
from .artifacts import Artifact
from .logs import LogLine
from .state import STATES, Cached, Mapped, Running, State, state_at

if TYPE_CHECKING:
    from .context import RunInfo
    from .durable import Stored
    from .graph import FlowGraph

#: One execution of one task run: index of the task, map index (-1: not mapped), how often it was handed over.
NodeId: TypeAlias = tuple[int, int, int]

#: How long records may wait for company before they are sent, seconds, while their Dask node goes on: people do not
#: see that, and nobody else can wait for them.
FLUSH_SECONDS = 0.1

#: How far apart batches leave at least when Dask nodes end, seconds: what came of them may be waited for. Of nodes
#: that do nothing, a batch each costs all processes together 5 % more; 25 ms apart, no less.
APART_SECONDS = 0.008

#: How long a body runs before that is told by itself, seconds: what is over before that tells it with its end. A
#: record alone costs the processes on its way some 2 ms between them, which is 2 % of so long a body.
RUNNING_SECONDS = 0.1

#: How often the listeners' thread looks for what the calling thread cannot tell while it runs a body, seconds.
LOOK_SECONDS = 0.05

#: Records that make a batch leave at once; some 100 KB.
FLUSH_RECORDS = 1_000

#: In the context of a state whose result was written: where.
LOCATION = "result_location"


class StateChange(NamedTuple):
    """A task run came to a state.

    Attributes:
        node: The execution.
        attempt: 1 for the first attempt.
        state: With its result, where nothing lies between.
        is_over: Whether the node has returned, so that no more changes of it follow.
        worker: Where that was.
        began: Since when it had been Running, seconds since the epoch, where that was not told by itself.
        stored: What is kept of its result so that the run can be taken up again.
    """

    node: NodeId
    attempt: int
    state: State
    is_over: bool
    worker: str
    began: float | None = None
    stored: Stored = None


#: A change from its values in order, in half the time.
change_of: Callable[[tuple[Any, ...]], StateChange] = partial(tuple.__new__, StateChange)


class LineLogged(NamedTuple):
    """A task logged a line."""

    line: LogLine
    worker: str


class ArtifactMade(NamedTuple):
    """A task made something for people to look at; with -1 for the task, it was made of the run as a whole."""

    task: int
    map_index: int
    artifact: Artifact


class NotBegun(NamedTuple):
    """A node of the Dask graph was cut: these of its task runs have not begun, and another one has to run them.

    `number` is that of the Dask node; `is_held` says that a slow task run keeps its worker busy.
    """

    number: int
    nodes: tuple[NodeId, ...]
    worker: str
    is_held: bool


class StillAtWork(NamedTuple):
    """No other body of the run begins on a worker: these task runs are at work there still, or were just now.

    What they and all others there came to before was told before this.
    """

    nodes: tuple[NodeId, ...]
    worker: str


class AttemptLost(NamedTuple):
    """A worker died that held this node; it is handed to another one."""

    node: NodeId
    worker: str
    cause: str


class HandedBack(NamedTuple):
    """A node was not run to its end as far as is known, and nobody takes it up; it has to be handed over again.

    `had_value` says that it had come to its end, and what looks at it may have begun; only the word of it is lost.
    """

    node: NodeId
    worker: str
    cause: str
    had_value: bool = False


class ValueLost(NamedTuple):
    """What a node that is over came to is gone with the worker where it lay."""

    node: NodeId
    worker: str
    cause: str


class NodeCrashed(NamedTuple):
    """A node can not be run: its worker died too often, or it could not be brought there."""

    node: NodeId
    error: BaseException
    worker: str


class ClusterChanged(NamedTuple):
    """A worker came or went; `time` in seconds since the epoch."""

    kind: str
    worker: str
    time: float
    details: dict[str, Any]


Event: TypeAlias = (
    StateChange
    | LineLogged
    | ArtifactMade
    | AttemptLost
    | HandedBack
    | ValueLost
    | NodeCrashed
    | ClusterChanged
)


#: What is told where task runs run.
Told: TypeAlias = StateChange | LineLogged | ArtifactMade | NotBegun | StillAtWork


class Report:
    """Takes what task runs tell, in the process where they run.

    Most bodies are over in a blink. That one is running is therefore told together with what it came to, and by
    itself only where somebody would wait for that: whoever passes on what is told here looks in now and then.

    Args:
        tell: Is given what is told, in the thread that tells it.
        worker: Where this is, for what `look` finds.
    """

    def __init__(
        self, tell: Callable[[StateChange | LineLogged | ArtifactMade], None], worker: str = ""
    ) -> None:
        #: Called with what a task run tells.
        self.tell = tell
        self._worker = worker
        #: Which attempts are at work since the last look, and since when, where that is to be told.
        self._at_work: dict[NodeId, tuple[int, float | None]] = {}
        self._looking = threading.Lock()

    def begin(self, node: NodeId, attempt: int, moment: float | None) -> None:
        """Note that a body begins, at a moment in seconds since the epoch; None where that is told already."""
        self._at_work[node] = (attempt, moment)

    def end(self, node: NodeId) -> float | None:
        """Note that a body is over.

        Returns:
            When it began, where that was not told yet; the next change of state has to tell it.
        """
        noted = self._at_work.pop(node, None)
        if noted is not None:
            return noted[1]
        # Somebody looked: what it comes to is told after that he has told that it runs.
        with self._looking:
            return None

    def look(
        self,
        take: Callable[[list[StateChange]], object],
        among: Collection[NodeId] | None = None,
    ) -> None:
        """Tell that what is at work is. For any thread.

        Args:
            take: Called where something has begun since the last look, with what was not told of that. Until it
                returns, none of these goes on when its body is over.
            among: What else is at work is left for another look; None: nothing is.
        """
        with self._looking:
            changes = []
            has_begun = False
            for node in list(self._at_work) if among is None else among:
                noted = self._at_work.pop(node, None)
                if noted is None:
                    continue  # it is over
                has_begun = True
                attempt, moment = noted
                if moment is not None:
                    running = state_at(Running, moment)
                    changes.append(StateChange(node, attempt, running, False, self._worker))
            if has_begun:
                take(changes)


# ---- between processes

_STATE, _LINE, _NOT_BEGUN, _STILL_AT_WORK, _ARTIFACT = 0, 1, 2, 3, 4


def encode_batch(records: Iterable[Told]) -> bytes:
    """Records as one msgpack list, results left out."""
    import msgpack

    rows: list[list[Any]] = []
    for record in records:
        if isinstance(record, StateChange):
            state = record.state
            row = [
                _STATE,
                record.node,
                record.attempt,
                record.is_over,
                known_kind(state),
                state._time,
                state.message,
            ]
            details = details_of(state)
            if record.stored is not None:
                row += (details, record.began, record.stored)
            elif record.began is not None:
                row += (details, record.began)
            elif details:
                row.append(details)
            rows.append(row)
        elif isinstance(record, NotBegun):
            rows.append([_NOT_BEGUN, record.number, record.nodes, record.is_held])
        elif isinstance(record, StillAtWork):
            rows.append([_STILL_AT_WORK, record.nodes])
        elif isinstance(record, ArtifactMade):
            rows.append([_ARTIFACT, record.task, record.map_index, record.artifact])
        else:
            rows.append([_LINE, record.line.to_list()])
    data: bytes = msgpack.packb(rows, unicode_errors="surrogatepass")
    return data


def decode_batch(batch: bytes, worker: str) -> list[Told]:
    """What `encode_batch` made; the states have no result yet."""
    import msgpack

    records: list[Told] = []
    for row in msgpack.unpackb(
        batch, use_list=False, strict_map_key=False, unicode_errors="surrogatepass"
    ):
        if row[0] == _STATE:
            _, node, attempt, is_over, kind, time, message, *rest = row
            state = bare_state(kind, message, time, rest[0] if rest else {})
            records.append(StateChange(node, attempt, state, is_over, worker, *rest[1:]))
        elif row[0] == _NOT_BEGUN:
            records.append(NotBegun(row[1], row[2], worker, row[3]))
        elif row[0] == _STILL_AT_WORK:
            records.append(StillAtWork(row[1], worker))
        elif row[0] == _ARTIFACT:
            records.append(ArtifactMade(row[1], row[2], Artifact(*row[3])))
        else:
            records.append(LineLogged(LogLine.from_list(row[1]), worker))
    return records


def without_result(state: State) -> State:
    """A copy that holds what a record holds: everything but the result and the inputs."""
    return bare_state(known_kind(state), state.message, state._time, details_of(state))


def known_kind(state: State) -> str:
    """The name of a state's class, or of the nearest one above it that every process knows."""
    name = type(state).__name__
    if STATES.get(name) is type(state):
        return name
    return next(c.__name__ for c in type(state).__mro__ if STATES.get(c.__name__) is c)


def details_of(state: State) -> dict[str, Any]:
    """The plain facts of a state beyond its message: its own fields, times as seconds."""
    if not state.fields and type(state._context) is not dict:
        return NO_DETAILS
    details: dict[str, Any] = {}
    if isinstance(state, Mapped):
        details["width"] = state.width
        if state.lengths:
            details["lengths"] = state.lengths
    elif state.fields:
        for name, value in state.data().items():
            if isinstance(value, datetime):
                details[name] = clock.to_seconds(value)
            elif isinstance(value, int):
                details[name] = value
    if type(state._context) is dict and LOCATION in state._context:
        details[LOCATION] = state._context[LOCATION]
    return details


def bare_state(kind: str, message: str | None, time: float, details: dict[str, Any]) -> State:
    """A state without its result, from what a record holds; `details` as from `details_of`."""
    # Most runs of a map have one message between them.
    state = state_at(STATES[kind], time, message and sys.intern(message))
    if not state.fields and not details:
        return state
    for name in state.fields:
        value = details.get(name)
        if name in ("start_time", "cached_result_expiration") and value is not None:
            value = clock.to_datetime(value)
        setattr(state, name, [] if name == "map_states" else value)
    if LOCATION in details:
        state.context[LOCATION] = details[LOCATION]
    if isinstance(state, Cached):
        state.cached_parameters = None
    if isinstance(state, Mapped):
        state.width = details.get("width", 0)
        state.lengths = details.get("lengths", {})
    return state


class Batcher(Report):
    """Collects the records of one process and sends them in numbered batches.

    Args:
        send: Takes (number of the batch, counted from 0; its bytes; whether whoever passes it on has to be woken
            for that, or is about to wake anyway). Called by one thread at a time.
        call_later: Calls a function once after so many seconds, in any thread.
        apart_seconds: How far apart batches leave at least; see `leave`.
    """

    def __init__(
        self,
        send: Callable[[int, bytes, bool], None],
        call_later: Callable[[float, Callable[[], None]], None],
        apart_seconds: float = APART_SECONDS,
    ) -> None:
        super().__init__(self.collect)
        self._apart_seconds = apart_seconds
        self._send, self._call_later = send, call_later
        self._records: list[Told] = []
        self._number = 0
        self._last_sent = 0.0
        self._is_flush_due = self._is_flush_near = self._is_look_due = False
        #: What is at work as the last of its Dask node, and is about to `leave`.
        self._last: set[NodeId] = set()
        #: What was at work already when somebody looked.
        self._seen: Collection[NodeId] = ()
        self._lock = threading.Lock()
        # Held while a batch is numbered and sent, so that batches leave in the order of their numbers.
        self._send_lock = threading.Lock()

    def begin(self, node: NodeId, attempt: int, moment: float | None) -> None:
        """Note that a body begins; that is told when it has run for `RUNNING_SECONDS`, or for twice as long."""
        super().begin(node, attempt, moment)
        if not self._is_look_due:
            self._ask_for_look()

    def _look_again(self) -> None:
        """Tell what was at work the last time already, and look again as long as anything is."""
        # First, so that what begins from now on asks for another look.
        self._is_look_due = False
        self._send_all(self._seen)
        self._seen = list(self._at_work)
        if self._seen:
            self._ask_for_look()

    def _ask_for_look(self) -> None:
        with self._lock:
            must_schedule = not self._is_look_due
            self._is_look_due = True
        if must_schedule:
            self._call_later(RUNNING_SECONDS, self._look_again)

    def collect(self, record: Told) -> None:
        """Take what is told."""
        with self._lock:
            self._records.append(record)
            must_schedule = not self._is_flush_due
            if must_schedule and self._last and type(record) is StateChange and record.is_over:
                must_schedule = record.node not in self._last
            self._is_flush_due |= must_schedule
            count = len(self._records)
        if count >= FLUSH_RECORDS:
            self.flush()
        elif must_schedule:
            self._call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what is there now."""
        self._send_all()

    def enter_last(self, node: NodeId) -> None:
        """Note that a task run begins after which this thread will `leave`: its end does not have to be timed."""
        with self._lock:
            self._last.add(node)

    def leave(self, node: NodeId) -> None:
        """At the end of a Dask node, of which this was the last task run: send what is there.

        At once, in one message with the word that the node is over, unless there was a batch just before.
        """
        wait = self._last_sent + self._apart_seconds - clock.monotonic()
        with self._lock:
            self._last.discard(node)
            must_schedule = wait > 0 and bool(self._records) and not self._is_flush_near
            self._is_flush_near |= must_schedule
        if wait <= 0:
            self._send_all(wakes=False)
        elif must_schedule:
            self._call_later(wait, self.flush)

    def _send_all(self, at_work: Collection[NodeId] = (), *, wakes: bool = True) -> None:
        """Send what is there now, and that these are at work, where they still are."""
        with self._send_lock:
            with self._lock:
                self._is_flush_due = self._is_flush_near = False
                records, self._records = self._records, []
                self.look(records.extend, at_work)
            if records:
                self._send(self._number, encode_batch(records), wakes)
                self._number += 1
                self._last_sent = clock.monotonic()


# ---- to listeners


class StateRecord(NamedTuple):
    """One change of state, as listeners get it.

    Attributes:
        flow_run_id: The run.
        task_name: The task's name.
        task_slug: Its unique name in the flow.
        task_index: Its place in the flow's topological order.
        map_index: Which child of a mapped task; -1 otherwise.
        attempt: 1 for the first attempt.
        state: Name of the state class, such as "Running".
        message: The state's message.
        timestamp: Seconds since the epoch, on the clock of the machine that ran the task.
        worker: Name or address of the worker; "" when the coordinating process decided.
        details: Plain facts of the state, such as `start_time` (seconds) and `run_count`. Not to be changed:
            those who have none share one.
    """

    flow_run_id: str
    task_name: str
    task_slug: str
    task_index: int
    map_index: int
    attempt: int
    state: str
    message: str | None
    timestamp: float
    worker: str
    details: dict[str, Any]


#: Of a state without details.
NO_DETAILS: dict[str, Any] = {}

#: A record from its values in order: a fourth of the time that it takes to pass them one by one.
record_of: Callable[[tuple[Any, ...]], StateRecord] = partial(tuple.__new__, StateRecord)

Listener: TypeAlias = Callable[[Sequence[StateRecord]], None]


class Observer:
    """Sees a whole flow run, in its order, to keep it; this one does nothing.

    Unlike a listener it is asked for nothing but speed: who calls it waits. That is the coordinating thread, and
    another one for what that has no time to announce; never both at once.
    """

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        """The run begins; nothing was told before."""

    def take_flow_state(self, state: State) -> None:
        """The flow run came to a state."""

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        """Task runs came to states; of each change `began` and `attempt` are as they count.

        Called with a list that is nobody else's, and often: what is done with it is done elsewhere.
        """

    def take_cluster_event(self, event: ClusterChanged) -> None:
        """Something happened to the cluster on which the run is."""

    def take_artifact(self, made: ArtifactMade) -> None:
        """A task made something for people to look at."""

    def check(self) -> None:
        """Asked now and then.

        Raises:
            Exception: What was told cannot be kept; the run is ended and becomes Failed.
        """

    def check_right(self) -> float:
        """Asked, in any thread of this process, before a result of the run gets a name that others know.

        Returns:
            For how long no other process can have the run, seconds.

        Raises:
            Exception: Another process has the run now, and what is made of it here does not count.
        """
        return math.inf

    def end(self) -> None:
        """The run is over; returns when all that was told is kept.

        Raises:
            Exception: It cannot be; the run becomes Failed.
        """


class Observers(Observer):
    """Several observers as one; each is asked in turn.

    Args:
        observers: None of them may change what it is given.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        for observer in self._observers:
            observer.begin(info, graph)

    def take_flow_state(self, state: State) -> None:
        for observer in self._observers:
            observer.take_flow_state(state)

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        for observer in self._observers:
            observer.take_changes(changes)

    def take_cluster_event(self, event: ClusterChanged) -> None:
        for observer in self._observers:
            observer.take_cluster_event(event)

    def take_artifact(self, made: ArtifactMade) -> None:
        for observer in self._observers:
            observer.take_artifact(made)

    def check(self) -> None:
        for observer in self._observers:
            observer.check()

    def check_right(self) -> float:
        return min((each.check_right() for each in self._observers), default=math.inf)

    def end(self) -> None:
        for observer in self._observers:
            observer.end()


class Announcer:
    """Gives state records to listeners, in batches, in a thread of its own, so that none slows the run.

    While a listener is busy, records collect into its next batch. A listener that raises is logged and dropped.
    """

    def __init__(self, listeners: Sequence[Listener], logger: logging.Logger) -> None:
        self._listeners = list(listeners)
        self._logger = logger
        self._records: list[StateRecord] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._look: Callable[[], None] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens; records need not be made when not."""
        return bool(self._listeners)

    def watch(self, look: Callable[[], None]) -> None:
        """Call a function several times a second until `close`.

        Args:
            look: Announces what nobody else has the time to announce. Called in the listeners' thread.
        """
        with self._changed:
            self._look = look
            self._start()

    def announce(self, records: Sequence[StateRecord]) -> None:
        """Pass records on soon; returns at once."""
        if not records or not self._listeners:
            return
        with self._changed:
            self._records.extend(records)
            self._start()
            self._changed.notify()

    def close(self, grace_seconds: float = 10.0) -> None:
        """Let the listeners see what is left, for at most `grace_seconds`."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(grace_seconds)
            if thread.is_alive():
                self._logger.warning(
                    "a state listener is still busy %g s after the run; its last records may come late",
                    grace_seconds,
                )

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="prefect-dask-listeners", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._records and not self._is_closing:
                    self._changed.wait(LOOK_SECONDS if self._look is not None else None)
                records, self._records = self._records, []
                is_over = self._is_closing and not records
            if is_over:
                return
            self._tell(records)
            if self._look is not None and not self._is_closing:
                self._look()

    def _tell(self, records: Sequence[StateRecord]) -> None:
        for listener in list(self._listeners) if records else ():
            try:
                listener(records)
            except Exception:
                self._logger.exception(
                    "the state listener %r raised and is not called again in this run", listener
                )
                self._listeners.remove(listener)
