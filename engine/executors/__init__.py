"""Where a Dask graph runs: in this thread, in threads, in processes, on a cluster."""
