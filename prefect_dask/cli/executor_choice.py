"""What `--executor` means."""

from __future__ import annotations

from typing import Any

import click


class ExecutorChoice(click.ParamType[Any]):
    """local, threads, processes, dask, or dask:ADDRESS."""

    name = "executor"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "local|threads|processes|dask[:ADDRESS]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        from prefect_dask.executors import LocalDaskExecutor, LocalExecutor

        kind, _, address = value.partition(":")
        if kind == "dask":
            from prefect_dask.executors import DaskExecutor

            return DaskExecutor(address or None)
        if value == "threads":
            return LocalDaskExecutor("threads")
        if value == "processes":
            return LocalDaskExecutor("processes")
        if value == "local":
            return LocalExecutor()
        self.fail(f"{value!r} is none of local, threads, processes, dask, dask:ADDRESS", param, ctx)


EXECUTOR = ExecutorChoice()
