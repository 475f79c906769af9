"""One flow run on its way into a ledger: an observer that makes entries of what it sees."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from logging import LogRecord
from typing import TYPE_CHECKING, Any

from prefect_dask.engine import clock
from prefect_dask.engine.collector import CollectorHeld
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.failures import text_of
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import line_of
from prefect_dask.engine.state import Crashed, State
from prefect_dask.engine.steering import Steering
from prefect_dask.engine.stream import ArtifactMade, ClusterChanged, Observer, StateChange
from prefect_dask.ledger.entries import Begun, Entry, Leased, Moved, Rows
from prefect_dask.ledger.errors import LedgerAway, Superseded
from prefect_dask.ledger.flows import as_json, as_pickle, flow_facts
from prefect_dask.ledger.leases import lease_seconds
from prefect_dask.ledger.lines import recording_lines
from prefect_dask.ledger.packed import as_json_object, pack_changes, pack_row
from prefect_dask.ledger.processes import name_of_holder
from prefect_dask.ledger.requests import Request
from prefect_dask.ledger.run_slots import RunSlots
from prefect_dask.ledger.writer import Writer
from prefect_dask.version import __version__

if TYPE_CHECKING:
    from prefect_dask.ledger.facts import RecordedResult, RecordedState

#: How often a ledger is asked whether it is back, by who has to read it, seconds.
LOOK_SECONDS = 0.2

#: For how long a run counts as this process's while the ledger is away, and its lease cannot be renewed, seconds.
AWAY_SECONDS = 1.0

#: How long is waited for that at most, seconds.
RENEW_SECONDS = 10.0

#: So many changes that come at once are packed where they come, and do not wait for company.
MANY_CHANGES = 200


class Recording(Observer):
    """Records one flow run.

    Args:
        writer: Writes the ledger.
        fence: Tells this process's right to write the run from that of one that takes it over later.
        first_number: From where on what happens is counted; a run that goes on counts on.
        origin: The file in which the flow was made, where it was made in one.
        steering: Is told what other processes ask of the run.

    Attributes:
        first_changes: What is told before all else.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        fence: int = 0,
        first_number: int = 0,
        origin: str | None = None,
        steering: Steering | None = None,
    ) -> None:
        self._writer, self._fence, self._origin = writer, fence, origin
        #: The slots of the run, under the limits that it falls under.
        self.slots = RunSlots(writer, fence)
        self.first_changes: Sequence[StateChange] = ()
        self._steering = steering
        self._number = first_number
        self._is_over = False
        self._run_id = ""
        #: Lines from before it began, which nobody could say whose they are.
        self._early: list[LogRecord] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A block within which what this thread logs, and what tasks of the run log, is recorded."""
        try:
            with recording_lines(self):
                yield
        finally:
            self._writer.let_go(self._run_id)

    @contextmanager
    def holding(self, run_id: str) -> Iterator[None]:
        """A block within which a run that was taken up is this process's, also before it begins here.

        That may take long, as on a cluster whose machines are to come. Where it does not come to it, the run is
        Crashed with the cause, and anybody may take it up at once.
        """
        self._writer.hold(run_id, self._fence, self._take_request)
        try:
            yield
        except BaseException as error:
            if not self._run_id:
                self._run_id = run_id
                self.take_flow_state(Crashed(f"could not go on: {text_of(error)}"))
                for record in self._early:
                    self.take_line(record)
                self._writer.flush()
            raise
        finally:
            self._writer.let_go(run_id)

    @property
    def run_id(self) -> str:
        """The run that is recorded; "" before it begins."""
        return self._run_id

    # ---- what the flow runner tells, in the coordinating thread

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        self._run_id = info.flow_run_id
        # As they are now: the user may change what is in them.
        parameters = as_json(info.parameters)
        values = as_pickle(info.parameters)
        self._writer.put(self._begun, (info, graph, parameters, values, clock.now()))
        self._writer.hold(self._run_id, self._fence, self._take_request)
        if self.first_changes:
            self.take_changes(self.first_changes)
        for record in self._early:
            self.take_line(record)
        if info.results.durable is True or graph.has_durable_tasks:
            # What its tasks note where they run is of use only to a run that can be found.
            self._writer.flush()

    def take_flow_state(self, state: State) -> None:
        if self._run_id:
            self._is_over = state.is_finished()
            self._writer.put(self._moved, state)

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        if len(changes) < MANY_CHANGES:
            self._writer.put(self._states, changes)
            return
        # Packed here, just after they were made: they need not be kept, nor be fetched from memory again.
        self._writer.put(self._packed_states, (len(changes), pack_changes(changes)))

    def take_cluster_event(self, event: ClusterChanged) -> None:
        self._writer.put(self._cluster_events, event)

    def take_artifact(self, made: ArtifactMade) -> None:
        self._writer.put(self._artifacts, made)

    def take_line(self, record: LogRecord) -> None:
        """Record a line that was logged in the run; called in any thread."""
        if not self._run_id:
            self._early.append(record)
            return
        task, map_index = getattr(record, "task_index", -1), getattr(record, "map_index", -1)
        line = line_of(record, task, map_index)
        worker = getattr(record, "worker", "")
        values = [task, map_index, line.level, line.logger, line.message, line.exception]
        self._writer.put(self._lines, [*values, line.created, worker])

    def _take_request(self, request: Request) -> None:
        """Pass on what another process asks; called in the writer's thread."""
        if self._steering is not None and request.kind == "cancel":
            grace_seconds = float(request.details["grace_seconds"])
            self._steering.cancel(f"asked by {request.asker}", grace_seconds=grace_seconds)

    def check(self) -> None:
        """Raises what keeps the run from being recorded: NotRecorded, Superseded."""
        if self._writer.error is not None:
            raise self._writer.error
        self._check_superseded()

    def check_right(self) -> float:
        """Raises Superseded where another process has the run now; called in any thread.

        Nobody takes a run whose lease has not run out. Where it may have, as in a process that was stopped and
        wakes up, it is renewed first, which goes under its fence or not at all: that no other one has the run yet
        would say little, since one may take it in the next moment. While the ledger is away the run goes on.
        """
        self._check_superseded()
        if (seconds := self._writer.leased_seconds(self._run_id)) > 0:
            return seconds
        began = clock.monotonic()
        self._writer.renew(RENEW_SECONDS)
        self._check_superseded()
        if (seconds := self._writer.leased_seconds(self._run_id)) > 0:
            return seconds
        # Who asks counts from the question.
        return clock.monotonic() - began + AWAY_SECONDS

    def _check_superseded(self) -> None:
        if (self._run_id, self._fence) in self._writer.superseded:
            raise Superseded(self._run_id)

    def read_back(self, within_seconds: float) -> tuple[list[RecordedState], list[RecordedResult]]:
        """All that was recorded of the run until now: its changes of state, and what is kept of results.

        Args:
            within_seconds: How long a ledger that is away may take to come back.

        Raises:
            LedgerAway: It did not.
            Superseded: Another process has taken the run over.
        """
        # Most runs are only written.
        from prefect_dask.ledger.ledger import Ledger

        until = clock.monotonic() + within_seconds
        while True:
            self._writer.flush()
            self.check()
            try:
                if not self._writer.is_behind:
                    ledger = Ledger(self._writer.store.place)
                    return ledger.states(self._run_id), ledger.results(self._run_id)
            except LedgerAway:
                pass
            if clock.monotonic() > until:
                raise LedgerAway(
                    str(self._writer.store.place),
                    f"it did not come back within {within_seconds:g} s",
                )
            clock.wait_for(LOOK_SECONDS)

    def end(self) -> None:
        """Let the run go, and wait until all is in the ledger, or in the journal."""
        self._writer.let_go(self._run_id)
        if self._run_id and not self._is_over:
            self._writer.put(
                self._leased, None
            )  # Paused: it is nobody's until it is taken up again
        self._writer.flush()
        self.check()

    # ---- making entries, in the writer's thread, in the order of the calls above

    def _begun(
        self, beginnings: Sequence[tuple[RunInfo, FlowGraph, str, bytes | None, float]]
    ) -> Iterator[Entry]:
        for info, graph, parameters, values, now in beginnings:
            yield Begun(
                info.flow_run_id,
                self._fence,
                *flow_facts(graph),
                run_name=info.flow_run_name,
                parameters=parameters,
                scheduled=clock.to_seconds(info.scheduled_start_time),
                begun=now,
                coordinator=coordinator_name(),
                version=__version__,
                process=name_of_holder(clock.monotonic() + lease_seconds()),
                origin=self._origin,
                pickled=values,
                lease_until=now + lease_seconds(),
                durable=json.dumps(info.results.durable),
            )

    def _moved(self, states: Sequence[State]) -> Iterator[Entry]:
        for state in states:
            facts = (type(state).__name__, state.message, state._time)
            yield Moved(
                self._run_id, self._fence, self._number, *facts, is_finished=state.is_finished()
            )
            yield self._packed(1, pack_row(-1, -1, 0, *facts, "", None, None))

    def _leased(self, untils: Sequence[float | None]) -> Iterator[Entry]:
        yield Leased(self._run_id, self._fence, untils[-1])

    def _states(self, batches: Sequence[Sequence[StateChange]]) -> Iterator[Entry]:
        changes = batches[0] if len(batches) == 1 else [*chain.from_iterable(batches)]
        with CollectorHeld():
            data = pack_changes(changes)
        yield self._packed(len(changes), data)

    def _packed_states(self, packed: Sequence[tuple[int, bytes]]) -> Iterator[Entry]:
        for count, data in packed:
            yield self._packed(count, data)

    def _lines(self, lines: Sequence[list[Any]]) -> Iterator[Entry]:
        yield self._rows("log_lines", [*chain.from_iterable(lines)])

    def _cluster_events(self, events: Sequence[ClusterChanged]) -> Iterator[Entry]:
        for event in events:
            details = as_json_object(event.details)
            yield self._rows("cluster_events", [event.kind, event.worker, event.time, details])

    def _artifacts(self, made: Sequence[ArtifactMade]) -> Iterator[Entry]:
        for task, map_index, (kind, name, text, time) in made:
            data = text.encode("utf-8", "backslashreplace")
            values = [task, map_index, kind, name, time, data, None]
            yield self._rows("artifacts", values)

    def _rows(self, table: str, values: list[Any]) -> Entry:
        rows = Rows(self._run_id, self._fence, table, self._number, values)
        self._number += rows.row_count
        return rows

    def _packed(self, count: int, data: bytes) -> Entry:
        first, self._number = self._number, self._number + count
        return Rows(self._run_id, self._fence, "packed_states", first, [count, data])


def coordinator_name() -> str:
    """Host, process and thread, for people."""
    import socket

    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"
