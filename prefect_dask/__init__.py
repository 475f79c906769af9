"""Flows that compile to one Dask graph; the names a flow file needs."""

from prefect_dask.version import __version__

__all__ = ["__version__"]
