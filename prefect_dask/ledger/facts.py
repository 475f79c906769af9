"""What a ledger tells, as plain frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from prefect_dask.engine.graph import ShownAs
from prefect_dask.ledger.errors import UnknownRecordedTask


class Animator(Protocol):
    """A ledger, for what it told: these facts stand below it."""

    def animate(self, run_id: str) -> Any:
        """A flow run to be played."""


@dataclass(frozen=True, slots=True)
class RecordedFlowRun:
    """A flow run.

    Attributes:
        run_id: The id that users see.
        flow_name: The flow.
        name: The run's name.
        state: Its latest state, such as "Success".
        message: That state's message.
        scheduled: When it was meant to begin.
        begun: When it did.
        ended: When it came to its final state; None before.
        parameters: As JSON data; what JSON cannot say is its repr.
        coordinator: Host, process and thread that ran it.
        version: Of prefect_dask.
        key: What the tables know it by.
        ledger: Where it is recorded.
    """

    run_id: str
    flow_name: str
    name: str
    state: str
    message: str | None
    scheduled: datetime
    begun: datetime
    ended: datetime | None
    parameters: Mapping[str, Any]
    coordinator: str
    version: str
    key: int
    ledger: Animator = field(repr=False, compare=False)

    def animate(self) -> Any:
        """The run to be played: in a notebook, as a file, or in the browser while it goes on.

        Returns:
            An `Animation`; see `Ledger.animate`.
        """
        return self.ledger.animate(self.run_id)

    @property
    def is_alive(self) -> bool:
        """Whether a process is at it, as far as the ledger knows."""
        return self.ended is None and self.state in ("Pending", "Running", "Cancelling")

    def _repr_html_(self) -> str:
        from prefect_dask.notebook.runs import recorded_run_html

        return recorded_run_html(self)


@dataclass(frozen=True, slots=True)
class RecordedFlowName:
    """The flows of one name that ran.

    Attributes:
        name: Their name.
        versions: How many flows with this name there were, told by their tasks, edges and code.
        runs: How many runs.
        latest_run_id: The latest run.
        latest_state: Its state.
        latest_begun: When it began.
        latest_ended: When it came to its final state; None before.
    """

    name: str
    versions: int
    runs: int
    latest_run_id: str
    latest_state: str
    latest_begun: datetime
    latest_ended: datetime | None


@dataclass(frozen=True, slots=True)
class Contents:
    """How much a ledger holds."""

    flows: int
    flow_runs: int
    log_lines: int
    artifacts: int
    limits: int


class RunContents(NamedTuple):
    """How much a ledger holds of one flow run."""

    task_runs: int
    log_lines: int
    artifacts: int


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """A task of a flow; `code` is equal where its code is, and "" where nobody can tell.

    What a task made that `runs_anew`, a secret or a resource, outlives no process. `shown_as` says what pictures
    show it as; a flow that was recorded before that was kept has plain tasks alone.
    """

    index: int
    name: str
    slug: str
    code: str
    tags: tuple[str, ...]
    is_mapped: bool
    runs_anew: bool = False
    shown_as: ShownAs = "task"


class TaskName(Protocol):
    """What a task is found by in a recorded flow."""

    name: str
    slug: str | None


@dataclass(frozen=True, slots=True)
class RecordedFlow:
    """A flow as it was when it ran.

    Attributes:
        digest: Tells it from every other flow, and every other version of it.
        name: Its name.
        code: Equal where the code of all its tasks is.
        tasks: Its tasks, in running order.
        edges: (task above, task below, key, mapped, flattened).
        references: The tasks that decide its state.
        first_seen: When a run of it first began.
    """

    digest: str
    name: str
    code: str
    tasks: tuple[RecordedTask, ...]
    edges: tuple[tuple[int, int, str | None, bool, bool], ...]
    references: tuple[int, ...]
    first_seen: datetime

    def task(self, which: int | str | TaskName) -> RecordedTask:
        """One task.

        Args:
            which: Its place in the flow, its slug, its name where no other one has it, or the task itself.

        Raises:
            UnknownRecordedTask: There is none, or several have the name.
        """
        if isinstance(which, int):
            if 0 <= which < len(self.tasks):
                return self.tasks[which]
            raise UnknownRecordedTask(self.name, str(which), [task.slug for task in self.tasks])
        wanted = which if isinstance(which, str) else which.slug or which.name
        found = [task for task in self.tasks if task.slug == wanted]
        found = found or [task for task in self.tasks if task.name == wanted]
        if len(found) != 1:
            slugs = [task.slug for task in found or self.tasks]
            raise UnknownRecordedTask(self.name, wanted, slugs, is_ambiguous=bool(found))
        return found[0]


@dataclass(frozen=True, slots=True)
class RecordedState:
    """A change of state.

    Attributes:
        number: Its place in what happened in the run; log lines and cluster events are counted with it. A Running
            that was told together with what it came to has the number of that.
        task: The task's place in the flow; -1 for the flow's own state.
        task_name: Its name; "" for the flow.
        map_index: Which child of a mapped task; -1 otherwise.
        attempt: 1 for the first attempt.
        state: Such as "Running".
        message: The state's message.
        time: When, on the clock of the machine where it happened.
        worker: Where; "" when the coordinating process decided.
        details: Plain facts of the state, such as `run_count`; times in them are seconds since the epoch.
    """

    number: int
    task: int
    task_name: str
    map_index: int
    attempt: int
    state: str
    message: str | None
    time: datetime
    worker: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedTaskRun:
    """A task run that has begun, or was decided, and its latest state."""

    task: int
    task_name: str
    task_slug: str
    map_index: int
    attempt: int
    state: str
    message: str | None
    time: datetime
    worker: str


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One execution of a task run.

    Attributes:
        attempt: Which try of the task run; a try that died with its worker is made again under the same number.
        worker: Where it ran.
        begun: When it came to Running; None where that died with the worker.
        ended: When it came to its next state; None before.
        state: That state; "" before.
        cause_of_death: Why it ended without a word of its own: what became of its worker; None otherwise.
    """

    attempt: int
    worker: str
    begun: datetime | None
    ended: datetime | None
    state: str
    cause_of_death: str | None


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """A result: its pickle where it is small, or where it lies; `number` is that of its change of state."""

    number: int
    task: int
    map_index: int
    location: str | None
    value: bytes | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """A line that the run logged, or, where `task` is not -1, one of its tasks."""

    number: int
    task: int
    task_name: str
    map_index: int
    level: int
    logger: str
    message: str
    exception: str | None
    time: datetime
    worker: str


@dataclass(frozen=True, slots=True)
class RecordedArtifact:
    """What a task run made for people to look at, or what was made of the run as a whole.

    Attributes:
        number: Its place in what happened in the run.
        task: The task's place in the flow; -1 for the run as a whole.
        task_name: The task's name; "" for the run as a whole.
        map_index: Which child of a mapped task; -1 otherwise.
        kind: "markdown" or "link".
        name: What it is called; "" where it has no name.
        text: The markdown, or the address.
        time: When it was made.
    """

    number: int
    task: int
    task_name: str
    map_index: int
    kind: str
    name: str
    text: str
    time: datetime


@dataclass(frozen=True, slots=True)
class RecordedClusterEvent:
    """A worker joined, left, died, exited, ran out of memory or wrote results to its disk."""

    number: int
    kind: str
    worker: str
    time: datetime
    details: Mapping[str, Any]


def attempts_in(states: Iterable[RecordedState]) -> list[RecordedAttempt]:
    """The executions that the states of one task run tell of, in order."""
    attempts: list[RecordedAttempt] = []
    running: RecordedState | None = None
    for state in states:
        # Only a worker that died brings a task run back to Pending; its word that it had begun may be lost with it.
        died = state.state in ("Pending", "Crashed")
        if running is not None or died:
            attempts.append(
                RecordedAttempt(
                    state.attempt if running is None else running.attempt,
                    state.worker if running is None else running.worker,
                    None if running is None else running.time,
                    state.time,
                    state.state,
                    state.message if died else None,
                )
            )
        running = state if state.state == "Running" else None
    if running is not None:
        attempts.append(
            RecordedAttempt(running.attempt, running.worker, running.time, None, "", None)
        )
    return attempts


def with_memory_taken(
    attempts: Iterable[RecordedAttempt], events: Iterable[RecordedClusterEvent]
) -> list[RecordedAttempt]:
    """The same, where the cause of death names the memory for which a worker was ended."""
    taken = {each.worker: each.details for each in events if each.kind == "out of memory"}
    return [
        replace(each, cause_of_death=f"{each.cause_of_death}; {_memory_taken(taken[each.worker])}")
        if each.cause_of_death and each.worker in taken
        else each
        for each in attempts
    ]


def _memory_taken(details: Mapping[str, Any]) -> str:
    """
    >>> _memory_taken({"rss_bytes": 1_900_000_000})
    'its nanny ended it because it had taken 1,900 MB of memory'
    """
    return f"its nanny ended it because it had taken {details['rss_bytes'] / 1e6:,.0f} MB of memory"
