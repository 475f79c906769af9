"""Runs a flow graph. The folder is `engine/`, its one import name is `prefect_dask.engine`."""

if __name__ != "prefect_dask.engine":
    raise ImportError(
        f"the engine of prefect_dask was imported as {__name__!r}; its one name is "
        f"'prefect_dask.engine': write `from prefect_dask.engine import ...`"
    )
