"""What a node of the Dask graph does: find its run in this process, run its task run, report, return the state.

A process hosts a run before its nodes arrive: the package (one pickle a task) came once, nodes only name their
place in it.
"""

from __future__ import annotations

import logging
import pickle
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

from . import clock, failures
from .context import RunInfo
from .errors import PrefectDaskError, TaskNotPicklable
from .graph import FlowGraph
from .logs import LogLine, RecordForwarder, get_logger, tag_records
from .state import Mapped, Retrying, State
from .stream import LineLogged, NodeId, Report, StateChange
from .task_runner import TaskRunner
from .timeouts import Stoppable
from .widths import Pick, what_child_sees


class RunPackage:
    """A flow run as its nodes need it: the facts of the run, and a runner for each task.

    Args:
        token: Names the run in keys and in each process; hexadecimal, at least 8 characters, so that Dask's
            plots group by what stands before it.
        graph: The flow.
        info: The facts of the run.
    """

    def __init__(self, token: str, graph: FlowGraph, info: RunInfo) -> None:
        self.token, self.graph, self.info = token, graph, info
        nothing: frozenset[int] = frozenset()
        has_maps = any(graph.is_mapped)
        self.runners = [
            TaskRunner(
                node,
                edges,
                info,
                frozenset([v.upstream for v in views if graph.is_mapped[v.upstream]])
                if has_maps
                else nothing,
                views,
            )
            for node, edges, views in zip(graph.nodes, graph.edges_to, graph.views, strict=True)
        ]

    def dumps(self) -> list[bytes]:
        """The runners as one pickle each, to be sent to other processes once.

        Raises:
            TaskNotPicklable: A task holds what cannot be pickled.
        """
        import cloudpickle

        blobs = []
        for runner in self.runners:
            try:
                blobs.append(cloudpickle.dumps(runner))
            except Exception as error:  # the user's objects are asked here
                raise TaskNotPicklable(runner.node.label.name, failures.text_of(error)) from error
        return blobs


class HostedRun:
    """A flow run as one process knows it.

    Args:
        runners: A runner a task, or its pickle, which is opened when the task first runs here.
        report: Is told each change of state, and each line that a task logs.
        worker: The name of this place, for the records.
        leaves_process: Whether results must be able to travel to other processes.
    """

    def __init__(
        self,
        runners: Sequence[TaskRunner | bytes],
        report: Report,
        *,
        worker: str = "",
        leaves_process: bool = False,
    ) -> None:
        self._runners = list(runners)
        self.report, self.worker, self.leaves_process = report, worker, leaves_process
        self._calls: dict[Stoppable[State], None] = {}
        self._is_stopped = False

    def runner(self, index: int) -> TaskRunner:
        """The runner of a task."""
        runner = self._runners[index]
        if isinstance(runner, bytes):
            # From the client that submitted the graph whose functions this process runs anyway.
            runner = self._runners[index] = pickle.loads(runner)
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
        try:
            return self.runner(node[0]).run(
                node,
                start,
                as_of,
                upstream,
                self.report,
                picks=picks,
                leaves_process=self.leaves_process,
                worker=self.worker,
            )
        finally:
            _here.reset(here)

    def run_stoppable(
        self,
        node: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        picks: Sequence[Pick] | None,
    ) -> State:
        """Run one node such that `stop` can end it.

        Raises:
            BodyStopped: It was stopped.
        """
        call = Stoppable(partial(self.run, node, start, as_of, upstream, picks))
        self._calls[call] = None
        if self._is_stopped:
            call.stop()
        try:
            return call.run()
        finally:
            del self._calls[call]

    def stop(self) -> None:
        """End the bodies that are running, as far as a thread can be ended from outside; no other one begins."""
        # A batch goes on where the body of one child lets the stop pass, or none is running at the moment.
        self._is_stopped = True
        for call in list(self._calls):
            call.stop()


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
        "map_index": map_index,
        "worker": run.worker,
    }


tag_records(_facts_of_record)


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
    return (lambda line: run.report(LineLogged(line, run.worker))), task, map_index


#: A node of a batch: which it is, what it picks, and where it looks: which argument, and which item of that.
Member: TypeAlias = "tuple[NodeId, Sequence[Pick] | None, Sequence[tuple[int, int | None]]]"

#: A state as it comes to a node: here, as a pickle, or a parent with its children.
Sent: TypeAlias = "State | bytes | list[Any]"


def run_node(
    token: str,
    task: int,
    map_index: int,
    generation: int,
    as_of: float,
    start: State | bytes | None,
    picks: Sequence[Pick] | None,
    *upstream: Sent,
) -> State:
    """The function of each node of a Dask graph; its value is the state, with the result.

    States from outside the run come as pickles, a mapped state as its own and those of its children.

    Raises:
        RunNotHosted: The run was not brought to this process, or is over.
        BodyStopped: The run was ended.
    """
    run = _hosted.get(token)
    if run is None:
        raise RunNotHosted(token)
    states = [opened_whole(state) for state in upstream]
    return run.run_stoppable(
        (task, map_index, generation),
        None if start is None else _opened(start),
        as_of,
        states,
        picks,
    )


def run_batch(token: str, as_of: float, members: Sequence[Member], *arguments: Any) -> list[State]:
    """The function of a node that carries several task runs, one after the other; its value is their states.

    Raises:
        RunNotHosted: The run was not brought to this process, or is over.
        BodyStopped: The run was ended.
    """
    run = _hosted.get(token)
    if run is None:
        raise RunNotHosted(token)
    # Opened once, however many look at them.
    single: dict[int, State] = {}
    states = []
    for node, picks, looks in members:
        upstream: list[State] = []
        for argument, item in looks:
            if item is not None:
                upstream.append(arguments[argument][item])
            else:
                if argument not in single:
                    single[argument] = opened_whole(arguments[argument])
                upstream.append(single[argument])
        states.append(run.run_stoppable(node, None, as_of, upstream, picks))
    return states


def run_alone(runner: TaskRunner, index: int, *upstream: State) -> State:
    """The function of a node in a graph that nobody coordinates: waits out its own retries, runs its children."""
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


def _tell_nobody(_: StateChange | LineLogged) -> None:
    pass


def opened_whole(sent: Sent) -> State:
    """A state as a task run looks at it."""
    if not isinstance(sent, list):
        return _opened(sent)
    parent, children = sent
    return whole_state(_opened(parent), [_opened(child) for child in children])


def whole_state(parent: State, children: Sequence[State]) -> State:
    """A mapped state with its children; the parent's own where it did not become one."""
    if not isinstance(parent, Mapped):
        return parent
    return Mapped(parent.message, map_states=children, context=parent.context)


def _opened(state: State | bytes) -> State:
    # Pickled by the client that submitted the graph.
    opened: State = pickle.loads(state) if isinstance(state, bytes) else state
    return opened


class RunNotHosted(PrefectDaskError, RuntimeError):
    """A node came to a process that does not know its run."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"this process does not host the flow run {token!r}: its worker plugin did not start, or the run "
            f"is over"
        )
        self.token = token
