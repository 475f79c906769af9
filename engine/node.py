"""What a node of the Dask graph does: find its run in this process, run its task run, report, return the state.

A process hosts a run before its nodes arrive: the package (one pickle a task) came once, nodes only name their
place in it.
"""

from __future__ import annotations

import logging
import math
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from . import clock
from .artifacts import TakesArtifact, give_artifacts_to
from .collector import CollectorHeld, FullCollections
from .context import RunInfo
from .errors import PrefectDaskError
from .files import ask_before_naming
from .graph import FlowGraph, Take
from .logs import LogLine, RecordForwarder, get_logger, tag_records
from .parcels import Parcel, Parcels, unpack
from .state import Mapped, Retrying, State
from .stream import ArtifactMade, LineLogged, NodeId, NotBegun, Report, StateChange
from .task_runner import TaskRunner
from .timeouts import BodyStopped, Stoppable
from .tolerance import Tolerance
from .widths import Pick, what_child_sees


def no_other() -> float:
    """For how long no other process can have a run that is not recorded, seconds."""
    return math.inf


class RunPackage:
    """A flow run as its nodes need it: its flow, and the facts of the run.

    Args:
        token: Names the run in keys and in each process; hexadecimal, at least 8 characters, so that Dask's
            plots group by what stands before it.
        graph: The flow.
        info: The facts of the run.
        keep: Indices of the tasks whose results are kept; None: all.
        limited: Indices of the tasks of which each execution has a slot: none may be repeated unasked.
        tolerance: How much may die before something of the run is given up.
        check_counted: As `Observer.check_right`.
    """

    def __init__(
        self,
        token: str,
        graph: FlowGraph,
        info: RunInfo,
        keep: frozenset[int] | None = None,
        limited: frozenset[int] = frozenset(),
        tolerance: Tolerance | None = None,
        check_counted: Callable[[], float] = no_other,
    ) -> None:
        self.token, self.graph, self.info, self.keep = token, graph, info, keep
        self.check_counted = check_counted
        self.limited, self.tolerance = limited, tolerance or Tolerance()

    @cached_property
    def runners(self) -> list[TaskRunner]:
        """A runner a task, for nodes that run in this process."""
        graph = self.graph
        nothing: frozenset[int] = frozenset()
        has_maps = any(graph.is_mapped)
        return [
            TaskRunner(
                node,
                edges,
                self.info,
                frozenset([v.upstream for v in views if graph.is_mapped[v.upstream]])
                if has_maps
                else nothing,
                views,
            )
            for node, edges, views in zip(graph.nodes, graph.edges_to, graph.views, strict=True)
        ]

    def check_here(self, lately: bool) -> float:
        """As `check_counted`, for nodes that run in this process; `lately` makes no difference here."""
        return self.check_counted()

    def is_passed_on(self, task: int, to: int) -> bool:
        """Whether the result of a task is wanted by another one alone, child by child where they are mapped."""
        if self.keep is None or task in self.keep or self.graph.downstream[task] != (to,):
            return False
        takes = {view.take for view in self.graph.views[to] if view.upstream == task}
        return not self.graph.is_mapped[task] or takes == {Take.ITEM}


#: How long a node waits at a time for another one, seconds: the run may end meanwhile.
TURN_SECONDS = 0.2


class Cutting(NamedTuple):
    """How a node that takes long hands back what has not begun.

    Attributes:
        tell: Takes the word of that.
        call_later: Calls a function once after so many seconds, in another thread than that of a node.
        size_of: How large a result is, bytes.
        enter_last: Called when the last task run of a node begins.
        leave: Called when it is over, at the end of the node.
    """

    tell: Callable[[NotBegun], None]
    call_later: Callable[[float, Callable[[], None]], None]
    size_of: Callable[[object], int]
    enter_last: Callable[[NodeId], None]
    leave: Callable[[NodeId], None]


class HostedRun:
    """A flow run as one process knows it.

    Args:
        runners: A runner a task, or the parcels of a flow, which are opened when one of their tasks first runs.
        report: Is told each change of state, and each line that a task logs.
        worker: The name of this place, for the records.
        leaves_process: Whether results must be able to travel to other processes.
        cutting: By which a node that takes long hands back what has not begun; None where it runs it all.
        check_counted: Raises where what runs here does not count any more, because this place was given up, or
            another process has the run; None where that cannot be. Called with whether an answer of lately will
            do, as long as no other process can have the run.
        announce: Tells which of the task runs that are announced are at work; returns when that is known outside
            of this process.
    """

    def __init__(
        self,
        runners: Sequence[TaskRunner] | Parcels,
        report: Report,
        *,
        worker: str = "",
        leaves_process: bool = False,
        cutting: Cutting | None = None,
        check_counted: Callable[[bool], object] | None = None,
        announce: Callable[[Sequence[NodeId]], None] | None = None,
    ) -> None:
        self.check_counted = check_counted
        self._runners: dict[int, TaskRunner | Parcel] = {}
        self._info: RunInfo | bytes = b""
        if isinstance(runners, Parcels):
            self._info = runners.info
            for parcel in runners.parcels:
                self._runners.update(dict.fromkeys(parcel.tasks, parcel))
        else:
            self._runners.update(enumerate(runners))
            if runners:
                self._info = runners[0].run_info
        self._opening = threading.Lock()
        self.cutting = cutting
        self.report, self.worker, self.leaves_process = report, worker, leaves_process
        #: What runs here, and how it is told to begin no other task run.
        self._calls: dict[Stoppable[Any], Callable[[], NodeId | None]] = {}
        self._is_stopped = False
        self._announce = announce
        self._announced: dict[NodeId, None] = {}
        #: Held by the one that runs of those that run one by one.
        self._turn = threading.Lock()
        #: Whether no other body begins here.
        self.is_ending = False
        #: Of this process; kept off while nodes of many short task runs come and go.
        self.full_collections = FullCollections()

    @contextmanager
    def announced(self, node: NodeId) -> Iterator[None]:
        """A block that is known to be at work outside of this process before it begins, should that die in it."""
        self._announced[node] = None
        try:
            if self._announce is not None:
                self._announce(list(self._announced))
            yield
        finally:
            del self._announced[node]

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """A block in which one thread of this process is at a time; where the run ends, nobody waits for that."""
        is_in = False
        while not (is_in or self.is_ending or self._is_stopped):
            is_in = self._turn.acquire(timeout=TURN_SECONDS)
        try:
            yield
        finally:
            if is_in:
                self._turn.release()

    def runner(self, index: int) -> TaskRunner:
        """The runner of a task."""
        runner = self._runners[index]
        return self._open(index) if isinstance(runner, Parcel) else runner

    def _open(self, index: int) -> TaskRunner:
        # What is made here lasts: a worker's collector would look at all of Dask for it, for 50 ms.
        with self._opening, CollectorHeld():
            parcel = self._runners[index]
            if isinstance(parcel, Parcel):
                # From the client that submitted the graph whose functions this process runs anyway.
                if isinstance(self._info, bytes):
                    self._info = pickle.loads(self._info)
                assert isinstance(self._info, RunInfo)
                if self.is_ending:
                    self._info.cancellation.ask()
                runners = unpack(parcel, self._info)
                runners[0].remember_secrets()
                self._runners.update(zip(parcel.tasks, runners, strict=True))
            runner = self._runners[index]
        assert isinstance(runner, TaskRunner)
        return runner

    def run(
        self,
        node: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        picks: Sequence[Pick] | None,
    ) -> State:
        """Run one node; see `TaskRunner.run`."""
        here = _here.set((self, node))
        runner = self._runners[node[0]]
        if not isinstance(runner, TaskRunner):
            runner = self._open(node[0])
        try:
            return runner.run(
                node,
                start,
                as_of,
                upstream,
                self.report,
                picks,
                self.leaves_process,
                self.worker,
            )
        finally:
            _here.reset(here)

    def stoppably(self, function: Callable[[], T], at_work: Callable[[], NodeId | None]) -> T:
        """Call a function such that `stop` can end it.

        Args:
            function: Runs task runs.
            at_work: Says, while none begins, which of them is at work.

        Raises:
            BodyStopped: It was stopped.
        """
        call = Stoppable(function)
        self._calls[call] = at_work
        if self._is_stopped:
            call.stop()
        try:
            return call.run()
        finally:
            del self._calls[call]

    def check_not_stopped(self) -> None:
        """Raise BodyStopped where `stop` was called."""
        if self._is_stopped:
            raise BodyStopped

    def let_end(self) -> list[NodeId]:
        """Begin no other body here, and ask those that are at work to end by themselves; from any thread.

        Returns:
            Those that are, as far as `stoppably` knows of them; some may just be over.
        """
        self.is_ending = True
        if isinstance(self._info, RunInfo):
            self._info.cancellation.ask()
        return [node for at_work in list(self._calls.values()) if (node := at_work()) is not None]

    def stop(self) -> None:
        """End the bodies that are running, as far as a thread can be ended from outside; no other one begins."""
        # A batch goes on where the body of one child lets the stop pass, or none is running at the moment.
        self._is_stopped = True
        for call in list(self._calls):
            call.stop()


T = TypeVar("T")

#: The runs that this process hosts, by token.
_hosted: dict[str, HostedRun] = {}

#: Which hosted run and node is at work here. A variable of the context, not of the thread: a body with a time
#: limit runs in a thread of its own.
_here: ContextVar[tuple[HostedRun, NodeId] | None] = ContextVar("prefect_dask_node", default=None)

#: Tells this process from all others, forked ones apart.
PROCESS_ID = uuid.uuid4().hex


def host(token: str, run: HostedRun) -> None:
    """Make a run known to this process."""
    _hosted[token] = run


def unhost(token: str) -> None:
    """Forget a run."""
    _hosted.pop(token, None)


def hosted(token: str) -> HostedRun | None:
    """The run of this token, where this process hosts it."""
    return _hosted.get(token)


def current_node() -> tuple[HostedRun, NodeId] | None:
    """The hosted run and the node that this thread is running."""
    return _here.get()


def _facts_of_record() -> dict[str, object] | None:
    at = current_node()
    if at is None:
        return None
    run, (task, map_index, _) = at
    runner = run.runner(task)
    return {
        "flow_run_id": runner.run_info.flow_run_id,
        "flow_name": runner.run_info.flow_name,
        "task_name": runner.node.label.name,
        "task_index": task,
        "map_index": map_index,
        "worker": run.worker,
    }


tag_records(_facts_of_record)


def _check_counted(lately: bool) -> None:
    at = current_node()
    if at is not None and at[0].check_counted is not None:
        at[0].check_counted(lately)


ask_before_naming(_check_counted)


def _taker_of_artifacts() -> TakesArtifact | None:
    at = current_node()
    if at is None:
        return None
    run, (task, map_index, _) = at
    return lambda artifact: run.report.tell(ArtifactMade(task, map_index, artifact))


give_artifacts_to(_taker_of_artifacts)


def forward_log_lines(level: int) -> None:
    """Send the lines that tasks log in this process to the coordinating process of their run.

    Args:
        level: Lines below it stay here; the lowest one asked for by any run counts.
    """
    logger = get_logger()
    if logger.level == logging.NOTSET or level < logger.level:
        logger.setLevel(level)
    if not any(isinstance(handler, RecordForwarder) for handler in logger.handlers):
        logger.addHandler(RecordForwarder(_forward_to))


def _forward_to() -> tuple[Callable[[LogLine], None], int, int] | None:
    at = current_node()
    if at is None:
        return None
    run, (task, map_index, _) = at
    return (lambda line: run.report.tell(LineLogged(line, run.worker))), task, map_index


def run_alone(runner: TaskRunner, index: int, *upstream: State) -> State:
    """The function of a node in a graph that nobody coordinates: waits out its own retries, runs its children."""
    runner.remember_secrets()
    state = _run_to_the_end(runner, (index, -1), upstream)
    if not isinstance(state, Mapped) or not runner.is_mapped:
        return state
    children = []
    for child in range(state.width):
        seen, picks = what_child_sees(child, runner.views, upstream, state.lengths)
        children.append(_run_to_the_end(runner, (index, child), seen, picks))
    return whole_state(state, children)


def _run_to_the_end(
    runner: TaskRunner,
    task_run: tuple[int, int],
    upstream: Sequence[State],
    picks: Sequence[Pick] | None = None,
) -> State:
    state: State | None = None
    generation = 0
    while True:
        generation += 1
        node = (*task_run, generation)
        state = runner.run(node, state, clock.now(), upstream, Report(_tell_nobody), picks=picks)
        if not isinstance(state, Retrying):
            return state
        clock.wait_until(clock.to_seconds(state.start_time))


def _tell_nobody(_: StateChange | LineLogged | ArtifactMade) -> None:
    pass


def whole_state(parent: State, children: Sequence[State]) -> State:
    """A mapped state with its children; the parent's own where it did not become one."""
    if not isinstance(parent, Mapped):
        return parent
    return Mapped(parent.message, map_states=children, context=parent.context)


def opened(state: State | bytes) -> State:
    """A state as it comes to a node: as it is, or as a pickle where it is from outside the run."""
    # Pickled by the client that submitted the graph.
    whole: State = pickle.loads(state) if isinstance(state, bytes) else state
    return whole


class Unanswered(BodyStopped):
    """Whether what runs here counts still could not be found out."""


class RunUnanswered(PrefectDaskError, RuntimeError):
    """What a node was about to leave behind was given up, because nobody said whether it counts."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"the coordinating process of the flow run {token!r} did not say whether that is still its own"
        )
        self.token = token

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.token,)


class RunNotHosted(PrefectDaskError, RuntimeError):
    """A node came to a process that does not know its run."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"this process does not host the flow run {token!r}: its worker plugin did not start, or the run "
            f"is over"
        )
        self.token = token
