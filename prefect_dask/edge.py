"""Edge: that one task waits for another."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_dask.task import Task


@dataclass(frozen=True, slots=True)
class Edge:
    """That a task waits for another one, and, with a key, receives its result as that argument.

    Edges compare by value.

    Args:
        upstream_task: Runs first.
        downstream_task: Waits.
        key: The argument of the downstream task's run method that receives the result.
        mapped: Whether the downstream task runs once for each item of the result.
        flattened: Whether one level of nesting is taken off the result.
    """

    upstream_task: Task
    downstream_task: Task
    key: str | None = None
    mapped: bool = False
    flattened: bool = False

    @property
    def tasks(self) -> set[Task]:
        """Both tasks."""
        return {self.upstream_task, self.downstream_task}

    def __repr__(self) -> str:
        key = f" as {self.key!r}" if self.key is not None else ""
        marks = "".join(
            f", {mark}"
            for mark, is_set in (("mapped", self.mapped), ("flattened", self.flattened))
            if is_set
        )
        return f"<Edge: {self.upstream_task.name} to {self.downstream_task.name}{key}{marks}>"
