"""What a flow run asks of whoever keeps it, when something died on which results lay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from .state import State
from .stream import StateChange


class GoingOn(Protocol):
    """How a run goes on: the states to begin with, by task index; the changes that are told before all else."""

    @property
    def task_states(self) -> Mapping[int, State]: ...

    @property
    def changes(self) -> Sequence[StateChange]: ...


class Recovery(Protocol):
    """What is kept of a flow run. Asked seldom: each question reads the record."""

    def kept_states(
        self, task_runs: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], State]:
        """The states that task runs came to, of those whose results are kept: those lie in the states.

        Args:
            task_runs: (index of the task, map index) of each.
        """
        ...

    def turns(
        self, task_runs: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], Mapping[str, Any]]:
        """With what facts of the context task runs in a loop go on at the turn to which they had come; of those
        whose last turn's result is kept.

        Args:
            task_runs: (index of the task, map index) of each.
        """
        ...

    def going_on(self, cause: str) -> GoingOn:
        """How the run goes on after all is lost that was not kept.

        Args:
            cause: What those are told that were running.

        Raises:
            PrefectDaskError: The record cannot be read.
        """
        ...
