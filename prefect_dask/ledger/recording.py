"""One flow run on its way into a ledger: an observer that makes entries of what it sees."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging import LogRecord
from typing import Any

from prefect_dask.engine import clock
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import line_of
from prefect_dask.engine.state import State
from prefect_dask.engine.stream import INLINE, LOCATION, ClusterChanged, Observer, StateRecord
from prefect_dask.ledger.entries import Begun, Entry, Moved, Rows
from prefect_dask.ledger.errors import Superseded
from prefect_dask.ledger.flows import as_json, flow_facts
from prefect_dask.ledger.lines import recording_lines
from prefect_dask.ledger.writer import Writer
from prefect_dask.version import __version__


class Recording(Observer):
    """Records one flow run.

    Args:
        writer: Writes the ledger.
        fence: Tells this process's right to write the run from that of one that takes it over later.
        first_number: From where on what happens is counted; a run that goes on counts on.
    """

    def __init__(self, writer: Writer, *, fence: int = 0, first_number: int = 0) -> None:
        self._writer, self._fence = writer, fence
        self._number = first_number
        self._run_id = ""
        #: Lines from before it began, which nobody could say whose they are.
        self._early: list[LogRecord] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A block within which what this thread logs, and what tasks of the run log, is recorded."""
        with recording_lines(self):
            yield

    @property
    def run_id(self) -> str:
        """The run that is recorded; "" before it begins."""
        return self._run_id

    # ---- what the flow runner tells, in the coordinating thread

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        self._run_id = info.flow_run_id
        # As they are now: the user may change what is in them.
        parameters = as_json(info.parameters)
        self._writer.put(partial(self._begun, info, graph, parameters, clock.now()))
        for record in self._early:
            self.take_line(record)

    def take_flow_state(self, state: State) -> None:
        if self._run_id:
            self._writer.put(
                partial(
                    self._moved,
                    type(state).__name__,
                    state.message,
                    state._time,
                    state.is_finished(),
                )
            )

    def take_records(self, records: Sequence[StateRecord]) -> None:
        # The list is emptied by who made it.
        self._writer.put(partial(self._states, tuple(records)), len(records))

    def take_cluster_event(self, event: ClusterChanged) -> None:
        self._writer.put(partial(self._cluster_event, event))

    def take_line(self, record: LogRecord) -> None:
        """Record a line that was logged in the run; called in any thread."""
        if not self._run_id:
            self._early.append(record)
            return
        task, map_index = getattr(record, "task_index", -1), getattr(record, "map_index", -1)
        line = line_of(record, task, map_index)
        worker = getattr(record, "worker", "")
        values = [task, map_index, line.level, line.logger, line.message, line.exception]
        self._writer.put(partial(self._line, [*values, line.created, worker]))

    def check(self) -> None:
        """Raises what keeps the run from being recorded: NotRecorded, Superseded."""
        if self._writer.error is not None:
            raise self._writer.error
        if self._run_id in self._writer.superseded:
            raise Superseded(self._run_id)

    def end(self) -> None:
        """Wait until all is in the ledger, or in the journal."""
        self._writer.flush()
        self.check()

    # ---- making entries, in the writer's thread, in the order of the calls above

    def _begun(
        self, info: RunInfo, graph: FlowGraph, parameters: str, now: float
    ) -> Iterator[Entry]:
        import socket

        facts = flow_facts(graph)
        yield Begun(
            info.flow_run_id,
            self._fence,
            *facts,
            run_name=info.flow_run_name,
            parameters=parameters,
            scheduled=clock.to_seconds(info.scheduled_start_time),
            begun=now,
            coordinator=f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}",
            version=__version__,
        )

    def _moved(
        self, state: str, message: str | None, at: float, is_finished: bool
    ) -> Iterator[Entry]:
        number, self._number = self._number, self._number + 1
        yield Moved(self._run_id, self._fence, number, state, message, at, is_finished)

    def _states(self, records: Sequence[StateRecord]) -> Iterator[Entry]:
        # In slices, which take a third of the time of names: 3:6 says whose record it is (`task_index` to
        # `attempt`), 3:10 is what a row of states holds of it (`task_index` to `worker`).
        values: list[Any] = []
        results: list[Any] = []
        running: StateRecord | None = None
        for record in records:
            began = None
            if running is not None:
                if running[3:6] == record[3:6] and running.worker == record.worker:
                    began = running.timestamp
                else:
                    values.extend((*running[3:10], None, None))
                running = None
            if record.state == "Running":
                # Most bodies are over in a blink: one row tells of both states, and costs half as much.
                running = record
                continue
            details = _details(record, results) if record.details else None
            values.extend((*record[3:10], began, details))
        if running is not None:
            values.extend((*running[3:10], None, None))
        yield self._rows("states", values)
        if results:
            yield self._rows("results", results)

    def _line(self, values: list[Any]) -> Iterator[Entry]:
        yield self._rows("log_lines", values)

    def _cluster_event(self, event: ClusterChanged) -> Iterator[Entry]:
        details = _json_of(event.details)
        yield self._rows("cluster_events", [event.kind, event.worker, event.time, details])

    def _rows(self, table: str, values: list[Any]) -> Entry:
        rows = Rows(self._run_id, self._fence, table, self._number, values)
        self._number += rows.row_count
        return rows


def _details(record: StateRecord, results: list[Any]) -> str | None:
    """The plain facts of a state as JSON; a result among them goes to a table of its own."""
    details = dict(record.details)
    value, location = details.pop(INLINE, None), details.pop(LOCATION, None)
    if value is not None or location is not None:
        size_bytes = None if value is None else len(value)
        results += (record.task_index, record.map_index, location, value, size_bytes)
    return _json_of(details)


def _json_of(details: dict[str, Any]) -> str | None:
    import json

    return json.dumps(details) if details else None
