"""What a flow run is at, while it runs: counted, put in lines, shown."""

from prefect_dask.progress.watch import FlowProgress, Watch
from prefect_dask.progress.watching import watching

__all__ = ["FlowProgress", "Watch", "watching"]
