"""A part of a flow that is written inside a `with` and knows which tasks were added there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_dask.engine.context import context
from prefect_dask.parameter import Parameter
from prefect_dask.task import Task

if TYPE_CHECKING:
    from typing_extensions import Self


class Block:
    """The tasks that are added to a flow between the beginning and the end of a `with`.

    Blocks nest: what is added in an inner one is in the outer one, too. Parameters are in none:
    they wait for nothing.

    Args:
        flow: The flow; tasks of others, such as the inner one of `apply_map`, are not its concern.
    """

    def __init__(self, flow: Any) -> None:
        self.flow = flow
        self.tasks: dict[Task, None] = {}
        self._outer: Block | None = context.get("block")
        self._frame = context(block=self)

    def __enter__(self) -> Self:
        self._frame.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._frame.__exit__()

    def take(self, flow: Any, task: Task) -> None:
        """Called by a flow that takes in a task."""
        if flow is self.flow and not isinstance(task, Parameter):
            self.tasks[task] = None
        if self._outer is not None:
            self._outer.take(flow, task)

    def first_tasks(self) -> list[Task]:
        """The tasks that wait for no other one of the block."""
        return [task for task in self.tasks if self.tasks.keys().isdisjoint(self._above(task))]

    def last_tasks(self) -> list[Task]:
        """The tasks for which no other one of the block waits."""
        return [task for task in self.tasks if self.tasks.keys().isdisjoint(self._below(task))]

    def _above(self, task: Task) -> set[Task]:
        above: set[Task] = self.flow.upstream_tasks(task)
        return above

    def _below(self, task: Task) -> set[Task]:
        below: set[Task] = self.flow.downstream_tasks(task)
        return below
