"""Stopping what a run has on a Dask cluster, and letting end what has something to show for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import distributed

from .dask_places import UNDER_WAY, Holding, Places

#: How long a node may take to end whose last word is there, seconds: nobody waits for long after Ctrl-C.
END_GRACE_SECONDS = 5.0

#: How long a node with something to show for it may take to end once it was told to stop, seconds.
STOP_GRACE_SECONDS = 2.0


def cancel(client: distributed.Client, places: Places, unhost: Callable[[], None]) -> None:
    """Stop what runs; what is over is in the states that the user gets, and stays.

    Args:
        client: The cluster's.
        places: What the run has there.
        unhost: Has the workers forget the run. A node that has something to show for it ends with that.
    """
    over = places.with_something_over()
    kept = set(map(id, over))
    client.cancel([each.future for each in places.holdings() if id(each) not in kept], force=True)
    unhost()
    shared = [each.future for each in over if each.status in UNDER_WAY]
    if shared:
        let_nodes_end(client, over, STOP_GRACE_SECONDS)
        under_way = [future for future in shared if future is not None and not future.done()]
        client.cancel(under_way, force=True)


def let_nodes_end(
    client: distributed.Client,
    holdings: Iterable[Holding],
    limit_seconds: float = END_GRACE_SECONDS,
) -> None:
    """Wait for nodes whose last word came before their value; to stop one there would lose it.

    Args:
        client: The cluster's.
        holdings: The nodes.
        limit_seconds: How long all of that may take.
    """
    under_way = [each.future for each in holdings if each.status in UNDER_WAY]
    if under_way:
        with client.as_current(), suppress(distributed.TimeoutError):
            distributed.wait(under_way, timeout=limit_seconds)
