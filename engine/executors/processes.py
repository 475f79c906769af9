"""A lane whose nodes run in a process of their own."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .. import child_main, clock
from ..child import Child, ChildDied, ChildError, ChildTimeout, dumps_call
from ..errors import ProcessDied
from ..failures import check_portable, portable_exception, text_of
from ..hand_over import HandOver
from ..logs import get_logger
from ..node import HostedRun, forward_log_lines, host, hosted, unhost
from ..parcels import Parcels
from ..state import State
from ..stream import (
    ArtifactMade,
    Batcher,
    LineLogged,
    NodeId,
    NotBegun,
    StateChange,
    StillAtWork,
    decode_batch,
)
from ..timeouts import BodyStopped
from ..widths import Pick
from .base import call_in_context

#: With what a child's question begins, whether what it runs counts still, and the answer to it. Both go on with
#: when it was asked; then the answer says for how many seconds it does, less than none where it does not. No batch
#: of records and no token begins so.
ASK = b"? "
COUNTS = b"counts "

#: How often a thread that waits for an answer looks whether the run is here still, seconds.
LOOK_SECONDS = 1.0

#: How long a child may take to forget a run before it is ended, seconds.
STOP_SECONDS = 5.0


class Stock:
    """Child processes that no run uses now, kept for the next one: starting one takes longer than many a flow.

    Args:
        most: How many are kept, >= 0.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._children: list[Child] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def take(self, name: str) -> Child:
        """A child that nobody uses, or a new one."""
        with self._lock:
            return self._children.pop() if self._children else Child(name=name)

    def give_back(self, child: Child) -> None:
        """Take a child that hosts no run any more."""
        with self._lock:
            if not self._is_closed and len(self._children) < self._most:
                self._children.append(child)
                return
        child.close()

    def close(self) -> None:
        """End those that are here, and those that are still to be given back."""
        with self._lock:
            self._is_closed = True
            children, self._children = self._children, []
        for child in children:
            child.close()


class ProcessLane:
    """Runs nodes in one child process, which is taken when first needed, and replaced after it died."""

    def __init__(
        self,
        stock: Stock,
        token: str,
        parcels: Parcels,
        task_name: Callable[[NodeId], str],
        report: Callable[[StateChange | LineLogged | ArtifactMade], None],
        name: str,
        log_level: int,
        check_counted: Callable[[], float],
    ) -> None:
        self._check_counted = check_counted
        self._stock = stock
        self._token, self._parcels, self._task_name = token, parcels, task_name
        self._report, self.name, self._log_level = report, name, log_level
        self._child: Child | None = None
        self._is_ending = False
        self._last: StateChange | None = None

    def work(self, run_nodes: Callable[[], None]) -> None:
        run_nodes()

    def look(self, take: Callable[[list[StateChange]], object]) -> None:
        pass  # the child tells by itself what it does

    def run(self, item: HandOver, start: State | None, upstream: Sequence[State]) -> State:
        try:
            child = self._ready_child()
            if self._is_ending:
                raise BodyStopped
            payload = dumps_call(
                run_in_child, self._token, item.node, start, item.as_of, list(upstream), item.picks
            )
            outcome = child.call(payload, timeout_seconds=None, on_message=self._take_message)
        except ChildDied as death:
            self.close()
            raise ProcessDied(self._task_name(item.node), death.exit_code) from death
        # From our own child, over a pipe that nobody else holds.
        state: State = pickle.loads(outcome)
        last, self._last = self._last, None
        if last is not None:
            self._report(last._replace(state=state))
        return state

    def let_end(self) -> None:
        self._is_ending = True
        child = self._child
        if child is not None:
            child.notify(self._token.encode())

    def interrupt(self) -> None:
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if child.is_alive:
                payload = dumps_call(unhost_in_child, self._token)
                child.call(payload, timeout_seconds=STOP_SECONDS, on_message=None)
                self._stock.give_back(child)
                return
        except (ChildDied, ChildError, ChildTimeout):
            pass
        child.close()

    def _ready_child(self) -> Child:
        if self._child is None:
            self._child = self._stock.take(self.name)
            payload = dumps_call(
                host_in_child, self._token, self._parcels, self.name, self._log_level
            )
            self._child.call(payload, timeout_seconds=None, on_message=None)
        return self._child

    def _take_message(self, message: bytes) -> None:
        if message.startswith(ASK):
            child = self._child
            assert child is not None, "it is in a call"
            try:
                seconds = self._check_counted()
            except Exception as error:
                get_logger("LocalDaskExecutor").warning("%s", text_of(error))
                seconds = -1.0
            child.notify(COUNTS + message[len(ASK) :] + f" {seconds}".encode())
            return
        self._take_batch(message)

    def _take_batch(self, batch: bytes) -> None:
        for record in decode_batch(batch, self.name):
            assert not isinstance(record, (NotBegun, StillAtWork)), "a lane's nodes are not cut"
            if isinstance(record, StateChange) and record.is_over:
                self._last = record  # it is told with its result, which comes next
            else:
                self._report(record)


def host_in_child(token: str, parcels: Parcels, worker: str, log_level: int) -> bytes:
    """In the child: take a run in."""
    forward_log_lines(log_level)
    # In a child one node runs at a time, and what it reports is flushed before its value goes home;
    # the timer is for bodies that take long.
    batcher = Batcher(lambda _, batch, __: _send_home(token, batch), _call_later)
    right = _Right(token)
    run = HostedRun(parcels, batcher, worker=worker, leaves_process=True, check_counted=right.check)
    host(token, run)
    child_main.listen(partial(_take_notice, right))
    return b""


class _Right:
    """In the child: whether what runs here counts still, asked of the coordinating process.

    Args:
        token: The run's.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        #: Until when it does for certain, and when the question was asked that was answered last.
        self._until = self._answered = 0.0
        self._is_over = False
        self._told = threading.Condition()

    def check(self, lately: bool) -> None:
        """See that it does; several threads may do so at once. An answer of lately always does here.

        Raises:
            BodyStopped: It does not.
        """
        while clock.monotonic() >= self._until:
            # Counted from here: the answer of a process that is stopped may be late.
            asked = clock.monotonic()
            child_main.send(ASK + str(asked).encode())
            with self._told:
                while self._must_wait_since(asked):
                    self._told.wait(LOOK_SECONDS)
            if self._is_over or hosted(self._token) is None:
                raise BodyStopped

    def _must_wait_since(self, asked: float) -> bool:
        # The answer to an earlier question, of another thread, is good for what is left of it: perhaps nothing.
        is_answered = self._answered >= asked or clock.monotonic() < self._until
        return not (is_answered or self._is_over) and hosted(self._token) is not None

    def take_answer(self, asked: float, seconds: float) -> None:
        """Take the word that it counts for so long for certain; where it does not, that is negative.

        Args:
            asked: When the question was asked.
            seconds: For how long, from then on.
        """
        with self._told:
            self._answered = max(self._answered, asked)
            self._is_over |= seconds < 0
            self._until = max(self._until, asked + seconds)
            self._told.notify_all()


def _take_notice(right: _Right, notice: bytes) -> None:
    """In the child: take an answer in, or begin no other body of a run and ask the one at work to end."""
    if notice.startswith(COUNTS):
        asked, seconds = notice[len(COUNTS) :].split()
        right.take_answer(float(asked), float(seconds))
        return
    run = hosted(notice.decode())
    if run is not None:
        run.let_end()


def unhost_in_child(token: str) -> bytes:
    """In the child: forget a run; what a late body of it has to say would go to the next run."""
    unhost(token)
    return b""


def _send_home(token: str, batch: bytes) -> None:
    if hosted(token) is not None:
        child_main.send(batch)


def run_in_child(
    token: str,
    node: NodeId,
    start: State | None,
    as_of: float,
    upstream: Sequence[State],
    picks: Sequence[Pick] | None,
) -> bytes:
    """In the child: run a node; its state as a pickle."""
    import cloudpickle

    run = hosted(token)
    assert run is not None, "host_in_child comes first"
    state = run.run(node, start, as_of, upstream, picks)
    assert isinstance(run.report, Batcher)
    run.report.flush()
    data: bytes = cloudpickle.dumps(state)
    return data


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def call_in_child(
    fn: Any, facts: Mapping[str, Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a submitted function in a process of its own; returns its value or raises its exception."""
    with Child(name=getattr(fn, "__name__", "")) as child:
        payload = dumps_call(_pickled_outcome, fn, facts, args, kwargs)
        is_value, value = pickle.loads(child.call(payload, timeout_seconds=None, on_message=None))
    if is_value:
        return value
    raise value


def _pickled_outcome(
    fn: Any, facts: Mapping[str, Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bytes:
    import cloudpickle

    try:
        outcome = (True, call_in_context(fn, facts, args, kwargs))
        check_portable(outcome[1], getattr(fn, "__name__", repr(fn)))
    except Exception as error:  # the user's function
        outcome = (False, portable_exception(error))
    data: bytes = cloudpickle.dumps(outcome)
    return data
