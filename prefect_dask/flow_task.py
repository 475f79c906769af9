"""A flow as a task of another flow: one run of it each time the task runs, in the same place."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from prefect_dask.engine.executors.base import Executor
from prefect_dask.engine.executors.local import LocalExecutor
from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.signals import FAIL, PAUSE
from prefect_dask.task import Task


class FlowTask(Task):
    """Runs a flow; its inputs are the flow's parameters.

    On a Dask cluster the inner flow's tasks run on the same cluster, and the worker thread that waits for them is
    given back meanwhile. Elsewhere they run in the thread that the task runs in.

    Args:
        flow: The `Flow`.
        returns: The slug of the task of `flow` whose result is this task's result.
        name: The task's name; the flow's name when not given.
        settings: As for `Task`.

    Returns:
        When it runs: the result of `returns`; without that the inner flow's state, whose result is a dict with
        the state of each of its tasks by slug.
    """

    shown_as: ClassVar[ShownAs] = "flow"

    def __init__(
        self, flow: Any, returns: str | None = None, name: str | None = None, **settings: Any
    ) -> None:
        self.flow = flow
        self.returns = returns
        super().__init__(name=name or flow.name, **settings)

    def run(self, **parameters: Any) -> Any:
        state = self.flow.run(parameters=parameters, executor=executor_here())
        by_slug = {self.flow.slugs[task]: each for task, each in state.result.items()}
        linked = type(state)(state.message, result=by_slug)
        if state.is_failed():
            raise FAIL(f"flow {self.flow.name!r} failed: {state.message}", result=linked)
        if not state.is_finished():
            raise PAUSE(f"flow {self.flow.name!r} did not finish: {state.message}")
        return linked if self.returns is None else by_slug[self.returns].result


def executor_here() -> Executor:
    """Where a flow that is run inside a task runs: on the task's own cluster, else in its thread."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            distributed.get_worker()
        except ValueError:
            pass
        else:
            from prefect_dask.engine.executors.dask_worker import WorkerExecutor

            return WorkerExecutor()
    return LocalExecutor()
