"""Where flows run: this thread, threads, processes, or a Dask cluster.

`DaskExecutor` is loaded when it is first asked for, because it loads dask and distributed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_dask.engine.executors.base import Executor
from prefect_dask.engine.executors.local import LocalDaskExecutor, LocalExecutor

if TYPE_CHECKING:
    from prefect_dask.engine.executors.dask import DaskExecutor

__all__ = ["DaskExecutor", "Executor", "LocalDaskExecutor", "LocalExecutor"]


def __getattr__(name: str) -> Any:
    if name == "DaskExecutor":
        from prefect_dask.engine.executors.dask import DaskExecutor

        return DaskExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
