"""Branches: tasks that run or are skipped by what another task returned, and what joins them."""

from prefect_dask.tasks.control_flow.case import case
from prefect_dask.tasks.control_flow.conditional import ifelse, merge, switch
from prefect_dask.tasks.control_flow.filter import FilterTask
from prefect_dask.tasks.control_flow.pausing import pause_task

__all__ = ["FilterTask", "case", "ifelse", "merge", "pause_task", "switch"]
