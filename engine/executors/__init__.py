"""Where nodes run: this thread, threads, processes, a Dask cluster."""
