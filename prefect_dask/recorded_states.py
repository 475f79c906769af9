"""The state of a recorded flow run, and of each of its tasks, as far as the ledger holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from prefect_dask.engine import clock
from prefect_dask.engine.errors import ResultLost, TaskException
from prefect_dask.engine.state import (
    Failed,
    LazyResult,
    Mapped,
    Pending,
    Skipped,
    State,
    Success,
    state_at,
)
from prefect_dask.engine.stream import bare_state
from prefect_dask.ledger.facts import RecordedState, RecordedTask
from prefect_dask.resumption import TaskRun, histories


def task_states(
    tasks: Sequence[RecordedTask],
    states: Iterable[RecordedState],
    results: Mapping[int, LazyResult],
) -> list[State]:
    """The state of each task of a recorded run; those of mapped ones hold the children's.

    A result that is stored is read when somebody asks for it. Where it is not, asking raises ResultLost; of a
    failure what it said is known.

    Args:
        tasks: The tasks, in running order.
        states: All changes of state of the run, in order.
        results: What is kept of results, by the number of the state.
    """
    known: dict[TaskRun, State] = {
        task_run: _state_of(history.last, history.stored, tasks[task_run[0]])
        for task_run, history in histories(states, results).items()
    }
    children: dict[int, list[int]] = {}
    for index, map_index in known:
        if map_index >= 0:
            children.setdefault(index, []).append(map_index)
    return [_whole(known, task.index, children.get(task.index, ())) for task in tasks]


def _whole(known: Mapping[TaskRun, State], index: int, children: Sequence[int]) -> State:
    state = known.get((index, -1), Pending())
    if children and not isinstance(state, Mapped):
        # Children whose number was known beforehand may be ahead of it.
        state = Mapped("Some children have begun.")
    if isinstance(state, Mapped):
        state.width = max([state.width, *(child + 1 for child in children)])
        state.map_states = [known.get((index, i)) or Pending() for i in range(state.width)]
    return state


def _state_of(last: RecordedState, stored: LazyResult | None, task: RecordedTask) -> State:
    details = dict(last.details)
    state = bare_state(last.state, last.message, clock.to_seconds(last.time), details)
    state.tag(tuple(sorted(task.tags)))
    if isinstance(state, Failed):
        state.result = TaskException(last.state, last.message or "", "")
    elif isinstance(state, Success) and not isinstance(state, (Mapped, Skipped)):
        state._lazy = stored if stored is not None else _NotStored(task.name)
    return state


def flow_state(kind: str, message: str | None, time: float, tree: LazyResult) -> State:
    """The state of a flow run; its result, the states of its tasks, is read when somebody asks for it."""
    state = bare_state(kind, message, time, {})
    state._lazy = tree
    return state


class Tree(LazyResult):
    """The states of the tasks of a run, which `read` reads from a ledger."""

    is_at_hand: ClassVar[bool] = True

    def __init__(self, read: Any) -> None:
        self._read = read

    def fetch_state(self) -> State:
        return state_at(Success, clock.now(), result=self._read())


class _NotStored(LazyResult):
    """Where a result would be that is in the ledger's reach nowhere."""

    __slots__ = ("task",)

    def __init__(self, task: str) -> None:
        self.task = task

    def fetch_state(self) -> State:
        raise ResultLost(
            self.task, "it was not stored, and lies at most in the process that ran it"
        )
