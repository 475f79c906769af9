"""Flows that compile to one Dask graph; the names a flow file needs."""

from typing import TYPE_CHECKING, Any

from prefect_dask import triggers
from prefect_dask.apply_map import apply_map
from prefect_dask.edge import Edge
from prefect_dask.engine.context import context
from prefect_dask.engine.state import State
from prefect_dask.flow import Flow
from prefect_dask.mapping import flatten, mapped, unmapped
from prefect_dask.parameter import DateTimeParameter, Parameter
from prefect_dask.resources import resource_manager
from prefect_dask.settings import config
from prefect_dask.tagging import tags
from prefect_dask.task import Task, task
from prefect_dask.tasks.control_flow import case
from prefect_dask.version import __version__

if TYPE_CHECKING:
    from prefect_dask import schedules
    from prefect_dask.by_hand import approve, set_success
    from prefect_dask.replaying import replay
    from prefect_dask.resuming import restart, resume
    from prefect_dask.steering import attach, cancel

__all__ = [
    "DateTimeParameter",
    "Edge",
    "Flow",
    "Parameter",
    "Task",
    "__version__",
    "apply_map",
    "approve",
    "attach",
    "cancel",
    "case",
    "config",
    "context",
    "flatten",
    "mapped",
    "replay",
    "resource_manager",
    "restart",
    "resume",
    "schedules",
    "set_success",
    "tags",
    "task",
    "triggers",
    "unmapped",
]


def _state_as_html(state: State) -> str:
    from prefect_dask.notebook.states import state_html

    return state_html(state)


# The engine knows no notebooks.
State.as_html = staticmethod(_state_as_html)


def __getattr__(name: str) -> Any:
    # Most flows have no schedule, and every worker pays for what is imported here.
    if name == "schedules":
        from importlib import import_module

        return import_module("prefect_dask.schedules")
    # A worker takes up no run, and follows none.
    if name in _OF_RECORDED_RUNS:
        from importlib import import_module

        return getattr(import_module(_OF_RECORDED_RUNS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_OF_RECORDED_RUNS = {
    "approve": "prefect_dask.by_hand",
    "attach": "prefect_dask.steering",
    "cancel": "prefect_dask.steering",
    "replay": "prefect_dask.replaying",
    "restart": "prefect_dask.resuming",
    "resume": "prefect_dask.resuming",
    "set_success": "prefect_dask.by_hand",
}
