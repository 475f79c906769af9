"""`python -m prefect_dask.cli`: the same as `prefect-dask`."""

from prefect_dask.cli.main import console

console()
