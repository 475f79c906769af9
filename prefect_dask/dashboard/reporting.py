"""In the coordinating process: tells a cluster what a flow run on it is at; when it begins, ends, and is asked."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import distributed

from prefect_dask.dashboard.board import FlowRunReport
from prefect_dask.dashboard.plugin import ASKS, REPORTS, FlowRunsPlugin
from prefect_dask.engine import clock, secrets
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.failures import text_of
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import Pending, State
from prefect_dask.engine.stream import Observer, StateChange
from prefect_dask.progress.counting import Counts, Failure, Rate
from prefect_dask.progress.lines import cut

#: So many of the last failures are reported, and so much of each message.
MOST_FAILURES, LONGEST_MESSAGE = 5, 300

#: How long the last report of a run may take, seconds: a cluster that does not answer must not hold it up.
LAST_SECONDS = 2.0


class OnCluster(Protocol):
    """An executor that is started on a Dask cluster."""

    @property
    def client(self) -> distributed.Client: ...


class Reporting(Observer):
    """Counts what the task runs of a flow run are at, and reports it to the cluster on which they run.

    Args:
        executor: Where they run.
        task_states: The states that the run begins with, by task index.
    """

    def __init__(self, executor: OnCluster, task_states: Mapping[int, State]) -> None:
        self._executor, self._first_states = executor, task_states
        self._counting = threading.Lock()
        self._info: RunInfo | None = None
        self._failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        #: The name and the message of the flow's state, not that itself: all results hang on it.
        self._state, self._message, self._is_over = Pending.__name__, "", False
        self._number = 0
        self._reports: ClusterReports | None = None

    # ---- what the flow runner tells

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        with self._counting:
            self._info, self._counts = info, Counts.of(graph)
            self._counts.take_states(self._first_states)
            self._begun = clock.monotonic()
            self._rate = Rate(self._begun)
        self._join()

    def take_flow_state(self, state: State) -> None:
        self._state, self._message = type(state).__name__, state.message or ""
        self._is_over = not (state.is_running() or type(state) is Pending)
        if self._reports is not None:
            self._reports.tell(self, wait=self._is_over)

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        with self._counting:
            self._failures += self._counts.take(changes)

    def check(self) -> None:
        # A run goes on with another client where it lost its cluster.
        if self._reports is not None and self._executor.client is not self._reports.client:
            self._leave()
            # The scheduler knows of no run that it could ask.
            self._join().tell(self, wait=False)

    def end(self) -> None:
        self._leave()

    def _join(self) -> ClusterReports:
        self._reports = reports = ClusterReports.of(self._executor.client)
        reports.join(self)
        return reports

    def _leave(self) -> None:
        if self._reports is not None:
            self._reports.leave(self)
            self._reports = None

    # ---- what the cluster asks, in the thread of its client

    def report(self, client_id: str) -> dict[str, Any]:
        """What the run is at, as it travels."""
        with self._counting:
            assert self._info is not None
            self._number += 1
            states, done, known = self._counts.totals()
            now = clock.monotonic()
            return FlowRunReport(
                client=client_id,
                number=self._number,
                run_id=self._info.flow_run_id,
                run_name=self._info.flow_run_name,
                flow_name=self._info.flow_name,
                state=self._state,
                message=_short(self._message),
                is_over=self._is_over,
                states=states,
                done=done,
                known=known,
                rate=self._rate.at(now, done),
                failures=[
                    (each.task_run, each.state, _short(each.message)) for each in self._failures
                ],
                seconds=now - self._begun,
            ).as_message()


def _short(message: str | None) -> str:
    return cut(secrets.masked(message or ""), LONGEST_MESSAGE)


class ClusterReports:
    """What the flow runs of one client report to their cluster.

    Nothing here may fail a run: what goes wrong is logged for those who look for it.
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client = weakref.ref(client)
        self._live: set[Reporting] = set()
        #: The connection over which the scheduler was given the plugin, and that this is under way.
        self._comm: Any = None
        self._given: asyncio.Future[Any] | None = None

    @staticmethod
    def of(client: distributed.Client) -> ClusterReports:
        """Those of a client, made when they are first asked for."""
        with _all_lock:
            found = _all.get(client)
            if found is None:
                found = _all[client] = ClusterReports(client)
            return found

    @property
    def client(self) -> distributed.Client | None:
        """The client, while anybody else has it."""
        return self._client()

    def join(self, run: Reporting) -> None:
        """Report a run, when the cluster asks for it."""
        self._live.add(run)

    def leave(self, run: Reporting) -> None:
        """Report a run no more."""
        self._live.discard(run)

    def tell(self, run: Reporting, *, wait: bool) -> None:
        """Report a run now.

        Args:
            run: The run.
            wait: Whether this returns when the scheduler has the report, or cannot be given it: the client may be
                closed right after.
        """
        client = self.client
        if client is None or client.status != "running":
            return
        if not wait:
            loop: Any = client.loop
            loop.add_callback(self._tell, client, run)
            return
        try:
            client.sync(self._tell, client, run, callback_timeout=LAST_SECONDS)
        except Exception as error:  # late
            _note(error)

    async def _tell(self, client: distributed.Client, run: Reporting) -> None:
        try:
            await self._give_plugin(client)
            scheduler: Any = client.scheduler
            await scheduler.log_event(topic=REPORTS, msg=run.report(client.id))
        except Exception as error:  # the cluster may go at any moment
            _note(error)

    async def _give_plugin(self, client: distributed.Client) -> None:
        """Give the scheduler what shows the runs; once, and again to one that was restarted."""
        given = self._given
        if given is None or _broke_off(given) or self._comm is not client.scheduler_comm:
            self._comm = client.scheduler_comm
            plugin = FlowRunsPlugin()
            client.subscribe_topic(ASKS, self._hear)
            given = self._given = asyncio.ensure_future(
                client._register_scheduler_plugin(plugin, name=plugin.name, idempotent=True)
            )
        await asyncio.shield(given)

    async def _hear(self, event: Any) -> None:
        """The cluster asks."""
        client = self.client
        if client is not None:
            for run in list(self._live):
                await self._tell(client, run)


def _broke_off(call: asyncio.Future[Any]) -> bool:
    """Whether a call to the scheduler came to no answer; what it refuses once, it refuses again."""
    return call.done() and (call.cancelled() or isinstance(call.exception(), OSError))


def _note(error: Exception) -> None:
    get_logger("dashboard").debug("a flow run was not reported: %s", text_of(error))


_all: weakref.WeakKeyDictionary[distributed.Client, ClusterReports] = weakref.WeakKeyDictionary()
_all_lock = threading.Lock()
