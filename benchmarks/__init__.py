"""What prefect_dask costs, beside raw Dask: a file per question. `python -m benchmarks` asks them all."""
