"""A ledger outside the engine: what bodies of tasks did, told by themselves, and what that must agree with.

A body calls `note_execution(path)` first thing. The line is one append, so that it is there, and whole, whatever
kills the process afterwards, and however many processes write at once. `check_executions` then holds what really
ran against what the engine recorded.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from prefect_dask import context
from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.state import STATES, Finished, Looped, Pending, Retrying, State
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.facts import RecordedState

#: A task run: the task's slug, map index.
TaskRun = tuple[str, int]


class Execution(NamedTuple):
    """A body was begun: in which run, of which task and child, at which attempt, in which process, when.

    `time_ns` is of a clock that all processes of a machine share, and nobody sets.
    """

    run_id: str
    task: str
    map_index: int
    attempt: int
    pid: int
    time_ns: int

    @property
    def task_run(self) -> TaskRun:
        return self.task, self.map_index


def note_execution(path: Path | str) -> Execution:
    """Append that this body was begun. For bodies of tasks, in any process."""
    execution = Execution(
        context.flow_run_id,
        context.task_slug,
        context.get("map_index", -1),
        context.task_run_count,
        os.getpid(),
        time.monotonic_ns(),
    )
    line = json.dumps(execution).encode() + b"\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        assert os.write(file, line) == len(line)
    finally:
        os.close(file)
    return execution


def executions_in(path: Path, run_id: str | None = None) -> list[Execution]:
    """What was noted, in order; of one run, or of all."""
    lines = path.read_text().splitlines() if path.exists() else []
    noted = [Execution(*json.loads(line)) for line in lines]
    return [each for each in noted if run_id in (None, each.run_id)]


def counts_in(path: Path, run_id: str | None = None) -> Counter[TaskRun]:
    """How often each body was begun."""
    return Counter(each.task_run for each in executions_in(path, run_id))


# ---- what must hold


def check_executions(path: Path, ledger: Ledger, run_id: str) -> None:
    """See that a run that is over kept R1, R2, R3 and R4, as far as the bodies and the ledger can tell."""
    executions = executions_in(path, run_id)
    slugs = {task.index: task.slug for task in ledger.flow(run_id).tasks}
    histories = histories_in(ledger.states(run_id), slugs)
    stored = {result.number for result in ledger.results(run_id)}
    taken_up = sum(state.state == "Pending" for state in ledger.states(run_id, -1))
    check_extra_executions_have_a_cause(executions, histories, taken_up)
    check_stored_results_are_final(histories, stored)
    check_histories_are_lawful(histories)
    check_nothing_is_left_running(histories)


def histories_in(
    states: Iterable[RecordedState], slugs: Mapping[int, str]
) -> dict[TaskRun, list[RecordedState]]:
    """The recorded changes of state of each task run, in order; those of the flow itself are left out."""
    histories: dict[TaskRun, list[RecordedState]] = {}
    for state in states:
        if state.task >= 0:
            histories.setdefault((slugs[state.task], state.map_index), []).append(state)
    return histories


def check_extra_executions_have_a_cause(
    executions: Sequence[Execution],
    histories: Mapping[TaskRun, Sequence[RecordedState]],
    taken_up: int = 0,
) -> None:
    """R1: a body that was begun more than once was so for recorded causes: a retry, a turn of a loop, a loss.

    Args:
        executions: What ran.
        histories: As from `histories_in`.
        taken_up: How often the run was taken up again: what its process before began last it may not have recorded.
    """
    for task_run, count in Counter(each.task_run for each in executions).items():
        history = histories.get(task_run, ())
        causes = [state for state in history if _is_cause(state)]
        assert count <= 1 + len(causes) + taken_up, (
            f"{task_run} was begun {count} times, and that has {len(causes)} causes: {_told(history)}"
        )


def check_stored_results_are_final(
    histories: Mapping[TaskRun, Sequence[RecordedState]], stored: Iterable[int]
) -> None:
    """R2: what came to an end with a result that is stored never ran again.

    Args:
        histories: As from `histories_in`.
        stored: The numbers of the states whose results are stored.
    """
    stored = set(stored)
    for task_run, history in histories.items():
        for state, after in pairwise(history):
            kind = STATES[state.state]
            # Running may have the number of what it came to; a turn of a loop is followed by the next one.
            if issubclass(kind, Finished) and not issubclass(kind, Looped):
                is_again = state.number in stored and after.state in ("Pending", "Running")
                assert not is_again, f"{task_run} ran again: {_told(history)}"


def check_histories_are_lawful(histories: Mapping[TaskRun, Sequence[RecordedState]]) -> None:
    """R3: each task run's history is a lawful path of the state machine, and its numbers never go back."""
    for task_run, history in histories.items():
        kinds: list[type[State]] = [Pending, *(STATES[state.state] for state in history)]
        for old, new in pairwise(kinds):
            assert is_lawful(old, new), f"{task_run}: {_told(history)}"
        numbers = [state.number for state in history]
        assert numbers == sorted(numbers), f"{task_run}: {numbers}"


def check_nothing_is_left_running(histories: Mapping[TaskRun, Sequence[RecordedState]]) -> None:
    """R4: no task run of a run that is over is Running."""
    left = [task_run for task_run, history in histories.items() if history[-1].state == "Running"]
    assert not left, f"left Running: {left}"


def _is_cause(state: RecordedState) -> bool:
    kind = STATES[state.state]
    return issubclass(kind, (Retrying, Looped)) or (kind is Pending and bool(state.message))


def _told(history: Sequence[RecordedState]) -> str:
    return " > ".join(f"{state.state} ({state.message})" for state in history)
