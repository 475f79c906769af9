"""Constant: a task that returns a value."""

from __future__ import annotations

from typing import Any, ClassVar

from prefect_dask.engine.graph import ShownAs
from prefect_dask.naming import name_of_value
from prefect_dask.task import Task


class Constant(Task):
    """Returns a value that is known when the flow is written.

    A flow makes one where it maps over a value, or flattens one; any other value is a constant of
    its task, and no task.

    Args:
        value: What the task returns.
        name: The task's name; the value's repr when not given.
        settings: As for `Task`.

    Example:
        >>> Constant([1, 2, 3])
        <Task: [1, 2, 3]>
    """

    shown_as: ClassVar[ShownAs] = "constant"

    def __init__(self, value: Any, name: str | None = None, **settings: Any) -> None:
        self.value = value
        settings.setdefault("checkpoint", False)
        super().__init__(name=name or name_of_value(value), **settings)

    def run(self) -> Any:
        return self.value
