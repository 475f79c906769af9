"""Flows that compile to one Dask graph; the names a flow file needs."""

from prefect_dask import schedules, triggers
from prefect_dask.apply_map import apply_map
from prefect_dask.edge import Edge
from prefect_dask.engine.context import context
from prefect_dask.flow import Flow
from prefect_dask.mapping import flatten, mapped, unmapped
from prefect_dask.parameter import DateTimeParameter, Parameter
from prefect_dask.resources import resource_manager
from prefect_dask.settings import config
from prefect_dask.tagging import tags
from prefect_dask.task import Task, task
from prefect_dask.tasks.control_flow import case
from prefect_dask.version import __version__

__all__ = [
    "DateTimeParameter",
    "Edge",
    "Flow",
    "Parameter",
    "Task",
    "__version__",
    "apply_map",
    "case",
    "config",
    "context",
    "flatten",
    "mapped",
    "resource_manager",
    "schedules",
    "tags",
    "task",
    "triggers",
    "unmapped",
]
