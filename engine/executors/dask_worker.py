"""Running nodes from within a node: on the cluster whose worker runs it, without holding that worker's thread."""

from __future__ import annotations

import distributed

from .dask import DaskExecutor


class WorkerExecutor(DaskExecutor):
    """Runs nodes on the cluster of the Dask worker that this code runs on.

    While it is started, the thread is not one of the worker's pool: the worker begins another task in its place, so
    that what is waited for has somewhere to run, also on a single thread.
    """

    def __init__(self) -> None:
        super().__init__()

    def _find_client(self) -> distributed.Client:
        client: distributed.Client = distributed.get_client()
        try:
            distributed.secede()
        except (AttributeError, ValueError):
            # A body with a time limit runs in a thread that is none of the pool's; the one that waits for it is.
            return client
        self._resources.callback(distributed.rejoin)
        return client

    def __repr__(self) -> str:
        return "<Executor: WorkerExecutor>"
