"""Reading what was recorded: flow runs, task runs, states, log lines, results."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_dask.engine import clock
from prefect_dask.engine.durable import RESULTS
from prefect_dask.ledger.configured import (
    configured_place,
    home_of_ledgers,
    journal_folder,
    log_of_detached,
    report_of,
)
from prefect_dask.ledger.errors import LedgerRefused, NoRunId, UnknownRun
from prefect_dask.ledger.facts import (
    RecordedArtifact,
    RecordedAttempt,
    RecordedClusterEvent,
    RecordedFlow,
    RecordedFlowName,
    RecordedFlowRun,
    RecordedLine,
    RecordedResult,
    RecordedState,
    RecordedTask,
    RecordedTaskRun,
    attempts_in,
    with_memory_taken,
)
from prefect_dask.ledger.leases import Held, cause_of_death, declare_dead
from prefect_dask.ledger.places import Place, place_of
from prefect_dask.ledger.removing import remove_run
from prefect_dask.ledger.store import Store
from prefect_dask.ledger.writer import adopt_journals, known_writer, open_store, writer_for

if TYPE_CHECKING:
    from prefect_dask.animation.animation import Animation

#: What comes behind every hexadecimal digit.
_AFTER_ALL = "g"

#: Among so many of the latest runs those are looked for that may be meant by a wrong id.
NEAR_AMONG = 10_000


class Ledger:
    """What was recorded, of all runs that share one place.

    What this process has to write goes there before each question; what processes left behind in journals that
    died while the ledger was away goes there first.

    Args:
        place: The path of an SQLite file, a URL, ":memory:", or, when not given, what the configuration says.

    Raises:
        NoLedgerThere: It names no place.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def add(x, y):
        ...     return x + y
        >>> with Flow("sums") as flow:
        ...     total = add(1, 2)
        >>> ledger = Ledger(":memory:")
        >>> _ = flow.run(ledger=ledger)
        >>> run = ledger.flow_runs()[0]
        >>> run.flow_name, run.state, [t.state for t in ledger.task_runs(run.run_id)]
        ('sums', 'Success', ['Success'])
    """

    def __init__(self, place: Place | str | os.PathLike[str] | None = None) -> None:
        if place is None:
            found = configured_place()
        else:
            found = place if isinstance(place, Place) else place_of(place, home_of_ledgers())
        if found is None:
            raise LedgerRefused("there is no ledger: 'none' is configured; name one")
        self.place = found
        # Several threads may ask: each opens the store, and closes it when it is done.
        self._asking = threading.RLock()
        self._journals = journal_folder()
        self._latest_tasks = "", _Tasks()
        # One in memory is its writer's.
        self._store = (
            writer_for(found, self._journals).store if found.kind == "memory" else open_store(found)
        )

    def __repr__(self) -> str:
        return f"<Ledger: {self.place}>"

    # ---- flow runs

    def flow_runs(
        self, *, flow_name: str = "", state: str = "", limit: int = 100
    ) -> list[RecordedFlowRun]:
        """The latest flow runs, newest first. One whose process died is Crashed from here on.

        Args:
            flow_name: Only those of flows with this name.
            state: Only those whose state is this one, such as "Failed".
            limit: How many at most.
        """
        self._declare_dead()
        values = (flow_name, flow_name, state, state, limit)
        return [self._run(row) for row in self._ask("flow_runs", values)]

    def flow_run(self, run_id: str) -> RecordedFlowRun:
        """One flow run; Crashed from here on, where its process died.

        Args:
            run_id: Its id, or as much of the beginning as tells it from others.

        Raises:
            UnknownRun: There is none, or several begin like this.
        """
        self._declare_dead()
        return self._run(self._run_row(run_id))

    def flow(self, run_id: str) -> RecordedFlow:
        """The flow of a run, as it was then."""
        [row] = self._ask("flow_of_run", (self._key(run_id),))
        digest, name, code, graph, first_seen = row
        document = json.loads(graph)
        return RecordedFlow(
            digest,
            name,
            code,
            tuple(tasks_in(document)),
            tuple((up, down, key, m, f) for up, down, key, m, f in document.get("edges", ())),
            tuple(document.get("references", ())),
            _time(first_seen),
        )

    def flows(self, *, limit: int = 100) -> list[RecordedFlowName]:
        """The flows that ran, by name; the one with the latest run first.

        Args:
            limit: How many at most.
        """
        self._declare_dead()
        return [
            RecordedFlowName(
                name,
                versions,
                runs,
                run_id,
                state,
                _time(begun),
                None if ended is None else _time(ended),
            )
            for name, versions, runs, run_id, state, begun, ended in self._ask("flows", (limit,))
        ]

    # ---- task runs

    def task_runs(self, run_id: str) -> list[RecordedTaskRun]:
        """The task runs of a flow run that came to a state, by place in the flow and map index."""
        key = self._key(run_id)
        tasks = self._tasks(run_id)
        rows = self._ask("task_runs", (key, key), unpack=key)
        return [
            RecordedTaskRun(
                task,
                tasks[task].name,
                tasks[task].slug,
                map_index,
                attempt,
                state,
                message,
                _time(at),
                worker,
            )
            for _, task, map_index, attempt, state, message, at, worker, *_ in rows
        ]

    def states(
        self, run_id: str, task: int | None = None, map_index: int = -1, *, after: int = -1
    ) -> list[RecordedState]:
        """Changes of state, in order: of a whole run, the flow's own with them, or of one task run.

        Args:
            run_id: The flow run.
            task: The task's place in the flow; -1 for the flow itself; all when not given.
            map_index: Which child of a mapped task.
            after: Of a whole run, only those with a greater number: what came since.
        """
        tasks = self._tasks(run_id)
        key = self._key(run_id)
        if task is None:
            rows = self._ask("states", (key, after), unpack=key)
        else:
            rows = self._ask("states_of_task_run", (key, task, map_index), unpack=key)
        return [state for row in rows for state in _states_in(row, tasks)]

    def attempts(self, run_id: str, task: int, map_index: int = -1) -> list[RecordedAttempt]:
        """The executions of a task run, in order, and what killed those that died."""
        attempts = attempts_in(self.states(run_id, task, map_index))
        if any(each.cause_of_death for each in attempts):
            return with_memory_taken(attempts, self.cluster_events(run_id))
        return attempts

    def results(self, run_id: str, *, after: int = -1) -> list[RecordedResult]:
        """The results that were kept, or where they lie; of one task run the latest is last.

        Args:
            run_id: The flow run.
            after: Only those of states with a greater number: what came since.
        """
        key = self._key(run_id)
        return [RecordedResult(*row) for row in self._ask("results", (key, after), unpack=key)]

    # ---- what else happened

    def logs(
        self, run_id: str, task: int | None = None, map_index: int = -1, *, after: int = -1
    ) -> list[RecordedLine]:
        """Log lines, in order; the arguments are as for `states`."""
        tasks = self._tasks(run_id)
        rows = self._ask("log_lines", (self._key(run_id), after))
        return [
            RecordedLine(
                number,
                its_task,
                tasks[its_task].name,
                index,
                level,
                logger,
                message,
                exception,
                _time(at),
                worker,
            )
            for number, its_task, index, level, logger, message, exception, at, worker in rows
            if task is None or (its_task, index) == (task, map_index)
        ]

    def artifacts(self, run_id: str) -> list[RecordedArtifact]:
        """What a run and its tasks made for people to look at, in order."""
        tasks = self._tasks(run_id)
        return [
            RecordedArtifact(
                number, task, tasks[task].name, index, kind, name, bytes(data).decode(), _time(at)
            )
            for number, task, index, kind, name, at, data, _ in self._ask(
                "artifacts", (self._key(run_id),)
            )
        ]

    def cluster_events(self, run_id: str) -> list[RecordedClusterEvent]:
        """What happened to workers while the run was on their cluster, in order: they joined, left, died, exited,
        ran out of memory, or spilled results to their disks."""
        return [
            RecordedClusterEvent(number, kind, worker, _time(at), _details(details))
            for number, kind, worker, at, details in self._ask(
                "cluster_events", (self._key(run_id),)
            )
        ]

    def animate(self, run_id: str) -> Animation:
        """A flow run to be played: in a notebook, as a file, or in the browser while it goes on.

        Args:
            run_id: Its id, or as much of the beginning as tells it from others.

        Raises:
            UnknownRun: There is none, or several begin like this.
            BokehMissing: Bokeh is not installed.
        """
        from prefect_dask.animation.animation import Animation

        return Animation(self, run_id)

    # ---- housekeeping

    def remove(self, run_id: str) -> None:
        """Forget a flow run: all that is recorded of it, its results, report and log in the home folder.

        What its tasks wrote where they were told to (`result=`, `target=`, the cache) stays.

        Args:
            run_id: Its id, or as much of the beginning as tells it from others.

        Raises:
            UnknownRun: There is none, or several begin like this.
            RunAlive: Its process is there.
            LedgerAway: It cannot be removed now; all of it is there still.
            OSError: Files cannot be removed; the record is gone, and removing another run tries again.
        """
        run = self.flow_run(run_id)
        with self.opened() as store:
            remove_run(store, run, self._results)
        report_of(run.run_id).unlink(missing_ok=True)
        log_of_detached(run.run_id).unlink(missing_ok=True)

    # ---- inside

    @property
    def _results(self) -> Path:
        return home_of_ledgers() / RESULTS

    def _ask(
        self, query: str, values: tuple[Any, ...], *, unpack: int | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query; `unpack`: of this run the states must be rows before."""
        with self.opened() as store:
            if unpack is not None:
                store.unpack(unpack)
            return store.ask(query, values)

    @contextmanager
    def opened(self, *, is_to_read: bool = True) -> Iterator[Store]:
        """The store, with all that is known here and in journals; for modules of ours.

        Args:
            is_to_read: Make no ledger where there is none.
        """
        writer = known_writer(self.place, self._journals)
        if writer is not None:
            writer.flush()
        if self.place.kind == "memory":
            self._store.open()
            yield self._store
            return
        # Closed at once: who only asks leaves nothing open.
        with self._asking, closing(self._store):
            adopt_journals(self._store, self._journals)
            self._store.open(is_to_read=is_to_read)
            yield self._store

    def look_soon(self) -> None:
        """Have this process look at once for what is asked of runs that it coordinates; others do so soon."""
        writer = known_writer(self.place, self._journals)
        if writer is not None:
            writer.look_soon()

    def _declare_dead(self) -> None:
        """Have those runs Crashed whose coordinating processes died."""
        now = clock.now()
        with self.opened() as store:
            for run, *held in store.ask("held_runs"):
                if cause_of_death(Held(*held), now, clock.monotonic()) is not None:
                    try:
                        declare_dead(store, run, now)
                    except Exception as error:
                        if not store.is_away(error):
                            raise
                        return  # who may not write, or not now, still may read

    def _run_row(self, run_id: str) -> tuple[Any, ...]:
        if not isinstance(run_id, str):
            raise NoRunId(run_id)
        rows = self._ask("flow_run", (run_id, run_id + _AFTER_ALL)) if run_id else []
        if len(rows) != 1:
            ids = [each for (each,) in self._ask("run_ids", (NEAR_AMONG,))]
            raise UnknownRun(run_id, str(self.place), nearest_ids(run_id, ids))
        return rows[0]

    def _run(self, row: tuple[Any, ...]) -> RecordedFlowRun:
        run_id, flow_name, name, state, message, scheduled, begun, ended, parameters, *rest = row
        coordinator, version, key = rest
        return RecordedFlowRun(
            run_id,
            flow_name,
            name,
            state,
            message,
            _time(scheduled),
            _time(begun),
            None if ended is None else _time(ended),
            json.loads(parameters),
            coordinator,
            version,
            key,
            self,
        )

    def _key(self, run_id: str) -> int:
        return int(self._run_row(run_id)[-1])

    def _tasks(self, run_id: str) -> _Tasks:
        whole_id = self._run_row(run_id)[0]
        if self._latest_tasks[0] != whole_id:
            # A run's flow does not change, and who follows a run asks for it again and again.
            tasks = _Tasks((task.index, task) for task in self.flow(whole_id).tasks)
            self._latest_tasks = whole_id, tasks
        return self._latest_tasks[1]


def nearest_ids(run_id: str, ids: Sequence[str], most: int = 3) -> list[str]:
    """The ids that may be meant: those that begin so, else those that begin alike; some at most.

    >>> nearest_ids("3fa", ["3fb1", "3fc2", "9d00"])
    ['3fb1', '3fc2']
    >>> nearest_ids("3f", ["3fb1", "3fc2", "9d00"])
    ['3fb1', '3fc2']
    >>> nearest_ids("9fb1", ["3fb1c0de", "3fc2c0de", "9d00c0de"])
    ['3fb1c0de']
    """
    from difflib import get_close_matches

    wanted = run_id.lower()
    for length in range(len(wanted), 1, -1):
        alike = [each for each in ids if each.startswith(wanted[:length])]
        if alike:
            return alike[:most]
    beginnings = {each[: len(wanted)]: each for each in reversed(ids)}
    return [beginnings[each] for each in get_close_matches(wanted, beginnings, n=most)]


class _Tasks(dict[int, RecordedTask]):
    """The tasks of a flow by place; the flow itself, and one that was lost, have no name."""

    def __missing__(self, task: int) -> RecordedTask:
        return RecordedTask(task, "", "", "", (), False)


def tasks_in(document: Mapping[str, Any]) -> list[RecordedTask]:
    """The tasks of a flow, as `flows.flow_facts` wrote them."""
    mapped, anew = set(document.get("mapped", ())), set(document.get("anew", ()))
    tags, shown_as = document.get("tags", {}), document.get("shown_as", {})
    columns = (document.get(column, ()) for column in ("names", "slugs", "code_of"))
    return [
        RecordedTask(
            index,
            name,
            slug,
            document["codes"][code],
            tuple(tags.get(str(index), ())),
            index in mapped,
            index in anew,
            shown_as.get(str(index), "task"),
        )
        for index, (name, slug, code) in enumerate(zip(*columns, strict=True))
    ]


def _states_in(row: tuple[Any, ...], tasks: _Tasks) -> Iterator[RecordedState]:
    """The states that a row tells of: one, or Running and what it came to."""
    number, task, map_index, attempt, state, message, at, worker, began, details = row
    its = (number, task, tasks[task].name, map_index, attempt)
    if began is not None:
        yield RecordedState(*its, "Running", None, _time(began), worker, {})
    yield RecordedState(*its, state, message, _time(at), worker, _details(details))


def _time(seconds: float) -> datetime:
    return clock.to_datetime(seconds)


def _details(text: str | None) -> Mapping[str, Any]:
    details: Mapping[str, Any] = json.loads(text) if text else {}
    return details
