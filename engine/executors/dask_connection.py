"""The connection over which a Dask cluster knows a run: with another one, even to the same cluster, it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import distributed

from ..errors import ClusterLost
from ..failures import text_of
from ..logs import get_logger


class OnceConnected(distributed.Client):
    """A client that looks for no other connection when its own is lost: what a run had is lost with that.

    Dask's own, closed while it reconnects, may leave a connection behind, by which its scheduler knows it still.
    """

    async def _reconnect(self) -> None:
        """Called by the client when the connection is gone."""
        self.status = "connecting"
        self.scheduler_comm = None
        for state in self.futures.values():
            state.cancel(
                reason="scheduler-connection-lost",
                msg="the connection to the scheduler is lost, and with it what that had for this client",
            )
        self.futures.clear()


class Connection:
    """The connection of a client when the run began.

    Args:
        client: The cluster's.

    Attributes:
        address: The scheduler's, as it was then.
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client = client
        self._comm: Any = client.scheduler_comm
        scheduler = client.scheduler
        self.address = str(scheduler.address) if scheduler is not None else "(closed)"

    def check(self) -> None:
        """See that it is there.

        Raises:
            ClusterLost: It is not.
        """
        if self._client.status != "running":
            raise ClusterLost(self.address, f"the client is {self._client.status}")
        if self._comm is None or self._comm.closed():
            raise ClusterLost(self.address, "the connection is closed")
        if self._client.scheduler_comm is not self._comm:
            raise ClusterLost(self.address, "it came back, and knows nothing of the run")

    def threads_by_worker(self) -> dict[str, int] | None:
        """How many threads each worker has; None where the scheduler does not say.

        It may just be dying: what follows from that, follows when the connection is seen to be gone over which it
        knows the run, which is another one. Where that stays, the run does not need to know.

        Raises:
            ClusterLost: It is gone by now.
        """
        try:
            threads: dict[str, int] = self._client.nthreads()
        except (Exception, asyncio.CancelledError) as error:
            self.check()
            get_logger("DaskExecutor").debug("no word of the workers: %s", text_of(error))
            return None
        return threads
