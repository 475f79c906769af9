"""A page in Dask's own dashboard that shows the flow runs on its cluster.

A flow run that begins on a cluster adds it there. To have it before that: `dask scheduler --preload
prefect_dask.dashboard`, or `distributed.scheduler.preload: [prefect_dask.dashboard]` in Dask's configuration.
"""

from __future__ import annotations

from typing import Any


async def dask_setup(scheduler: Any) -> None:
    """Called by Dask where this module is preloaded, when the scheduler has started."""
    from prefect_dask.dashboard.plugin import FlowRunsPlugin

    plugin = FlowRunsPlugin()
    await scheduler.register_scheduler_plugin(plugin, name=plugin.name, idempotent=True)
