"""RunFlow: run another flow, whole, as one task.

The flow runs in the process that runs the task. Runs on a server that one starts, waits for and cancels
come with that server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect_dask.engine.errors import PrefectDaskError, nearest
from prefect_dask.engine.signals import FAIL
from prefect_dask.engine.state import State
from prefect_dask.flow import Flow
from prefect_dask.flow_file import MAGIC, read_flow
from prefect_dask.task import Task
from prefect_dask.tasks.needs import or_else, value_of


class NoSuchFlow(PrefectDaskError, LookupError):
    """A file or module does not hold the flow that is asked for; `flows` are those of which one may be meant."""

    def __init__(self, place: str, reason: str, flows: Sequence[str] = ()) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason, self.flows = place, reason, list(flows)


class RunFlow(Task):
    """Runs a flow to its end and returns what its last tasks returned, by slug.

    A flow that does not succeed fails the task, and a retry of the task runs the whole flow again.

    Args:
        flow: A `Flow`; the path of a file by `flow.save()`; the path of a Python file, or the name
            of a module, that makes one (with `:name` behind where it makes several). A path or
            name is also an input of `run`, `flow_file`, which wins.
        parameters: The flow's parameters; those given to `run` are added.
        executor: Where its tasks run; when not given, as the flow or the configuration says. Also an
            input of `run`.
        settings: As for `Task`.

    Raises:
        FAIL: The flow's state is not a success; the message is that state's.
        NoSuchFlow: There is no such flow.

    Example:
        >>> from prefect_dask import Flow, Parameter
        >>> from prefect_dask.executors import LocalExecutor
        >>> with Flow("inner") as inner:
        ...     doubled = Parameter("x") * 2
        >>> RunFlow(inner, executor=LocalExecutor()).run(parameters={"x": 21})
        {'Mul-1': 42}
    """

    def __init__(
        self,
        flow: Flow | str | os.PathLike[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        executor: Any = None,
        **settings: Any,
    ) -> None:
        self.flow = flow
        self.parameters = dict(parameters or {})
        self.executor = executor
        super().__init__(**settings)

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        executor: Any = None,
        flow_file: str | os.PathLike[str] | None = None,
    ) -> dict[str, Any]:
        flow = find_flow(value_of(self, "flow", flow_file))
        state = flow.run(
            parameters={**self.parameters, **(parameters or {})},
            executor=or_else(executor, self.executor),
            run_on_schedule=False,
            return_tasks=list(flow.terminal_tasks()),
        )
        if not state.is_successful():
            raise FAIL(f"flow {flow.name!r} is {type(state).__name__}: {state.message}")
        return results_of(flow, state)


def results_of(flow: Flow, state: State) -> dict[str, Any]:
    """What the terminal tasks of a finished flow returned, by slug."""
    states: Mapping[Task, State] = state.result
    return {flow.slugs[task]: states[task].result for task in flow.terminal_tasks()}


def find_flow(place: Flow | str | os.PathLike[str]) -> Flow:
    """The flow itself, or the one in a file or module; runs the code there.

    Raises:
        NoSuchFlow: There is none, or there are several and it is not said which.
    """
    if isinstance(place, Flow):
        return place
    text = os.fspath(place)
    path, name = Path(text), ""
    if not path.is_file() and ":" in text:
        text, _, name = text.rpartition(":")
        path = Path(text)
    if path.is_file():
        with path.open("rb") as file:
            is_saved = file.read(len(MAGIC)) == MAGIC
        if is_saved:
            saved: Flow = read_flow(path)
            return saved
        import runpy

        return choose_flow(text, runpy.run_path(str(path)), name)
    try:
        module = import_module(text)
    except (ImportError, ValueError, TypeError) as exc:
        raise NoSuchFlow(
            text, f"is neither a file nor a module that can be imported ({exc})"
        ) from exc
    return choose_flow(text, vars(module), name)


def choose_flow(place: str, names: Mapping[str, Any], name: str = "") -> Flow:
    """The one flow among the names of a module, or the one that is called `name` there.

    Raises:
        NoSuchFlow: There is none, or there are several and it is not said which.
    """
    flows = {key: value for key, value in names.items() if isinstance(value, Flow)}
    if name:
        named = flows.get(name) or next((f for f in flows.values() if f.name == name), None)
        if named is None:
            raise NoSuchFlow(place, f"has no flow {name!r}; {nearest(name, list(flows))}")
        return named
    different = {id(flow): flow for flow in flows.values()}
    if len(different) != 1:
        listed = ", ".join(repr(key) for key in flows)
        reason = (
            f"has the flows {listed}; say which, as in '{place}:{next(iter(flows))}'"
            if flows
            else "has no flow"
        )
        raise NoSuchFlow(place, reason, list(flows))
    return next(iter(different.values()))
