"""Results that lie on a Dask cluster: read from there when asked for, or brought home before the cluster goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any

import distributed

from .. import clock
from ..errors import ResultLost
from ..failures import type_and_text_of
from ..state import LazyResult, Pending, State
from ..stream import NodeId, ValueLost
from .dask_places import Holding, Places

#: How many results are fetched at a time.
FETCH_AT_ONCE = 500

#: How often it is looked meanwhile what is lost, seconds.
LOOK_SECONDS = 0.25

LOST = "the worker where it lay died"


class RemoteState(LazyResult):
    """A state whose result lies on a cluster; it stays there as long as this exists."""

    __slots__ = ("holding", "position")

    def __init__(self, holding: Holding, position: int) -> None:
        self.holding, self.position = holding, position

    def fetch_states(self, others: Sequence[LazyResult]) -> list[State] | None:
        """The whole states of many nodes in one message; None where one of them must be asked for alone."""
        places = [other for other in others if isinstance(other, RemoteState)]
        if len(places) < len(others) or self.holding.future is None:
            return None
        values: dict[int, Any] = {}
        away: dict[int, distributed.Future[list[State]]] = {}
        for place in places:
            if place.holding.home is not None:
                values[id(place.holding)] = place.holding.home
            elif place.holding.future is not None:
                away[id(place.holding)] = place.holding.future
        try:
            found = self.holding.future.client.gather(list(away.values())) if away else []
        except Exception:  # whichever it was: each is asked for when it is read, and says so itself
            return None
        values.update(zip(away, found, strict=True))
        wholes: list[State] = []
        for place in places:
            home = values.get(id(place.holding))
            if not isinstance(home, list) or type(home[place.position]) is Pending:
                return None
            wholes.append(home[place.position])
        return wholes

    def fetch_state(self) -> State:
        """The whole state; raises ResultLost when the cluster is gone."""
        home, future = self.holding.home, self.holding.future
        name = self.holding.name_at(self.position)
        if home is None:
            if future is None:
                raise ResultLost(name, LOST)
            try:
                home = future.result()
            except (
                Exception
            ) as error:  # cancelled, closed, lost, or the user's object does not open here
                home = error
        if isinstance(home, Exception):
            raise ResultLost(name, type_and_text_of(home)) from home
        state: State = home[self.position]
        if type(state) is Pending:
            raise ResultLost(name, LOST)
        return state


def remote_state(places: Places, node: NodeId) -> RemoteState | None:
    """Where the state of an execution lies; None where nobody needs it any more."""
    holding, position = places.find(node)
    return None if holding is None else RemoteState(holding, position)


def bring_home(
    client: distributed.Client,
    places: Places,
    look: Callable[[], None],
    *,
    limit_seconds: float | None = None,
) -> list[ValueLost]:
    """Fetch what a run came to that lies on a cluster, before that goes.

    Args:
        client: The cluster's client.
        places: Where it lies; why something could not be had is noted there.
        look: Called now and then meanwhile: takes from `places` what is lost with its worker, for which nobody
            waits then, and raises where the cluster is lost.
        limit_seconds: How long all of that may take.

    Returns:
        What was over, and was lost with its worker.
    """
    until = None if limit_seconds is None else clock.monotonic() + limit_seconds
    away = [each for each in places.with_something_over() if each.future is not None]
    # One result in each node is the rule only where nodes are not shared; several are a few megabytes then.
    for start in range(0, len(away), FETCH_AT_ONCE):
        part = away[start : start + FETCH_AT_ONCE]
        for holding, home in zip(part, _fetch(client, part, look, until), strict=True):
            holding.home = home
    return [
        ValueLost(node, "", "it was gone when the run ended")
        for holding in away
        for node in places.nodes_of(holding.key)
        if places.is_over(node) and _is_unmade(holding, places.find(node)[1])
    ]


def _is_unmade(holding: Holding, position: int) -> bool:
    """Whether what was brought home is what stands for a value that was lost with its worker."""
    return isinstance(holding.home, list) and type(holding.home[position]) is Pending


def _fetch(
    client: distributed.Client,
    holdings: Sequence[Holding],
    look: Callable[[], None],
    until: float | None,
) -> list[list[State] | Exception | None]:
    """What they hold, or why it cannot be had; None where it is lost."""
    try:
        return list(_gather(client, holdings, look, until))
    except _Lost:
        if len(holdings) == 1:
            return [None]
    except (Exception, asyncio.CancelledError) as error:
        if len(holdings) == 1:
            return [
                error if isinstance(error, Exception) else RuntimeError(type_and_text_of(error))
            ]
    # One of them cannot be had; the others can.
    return [home for each in holdings for home in _fetch(client, [each], look, until)]


class _Lost(Exception):
    """Some value is gone with its worker."""


def _gather(
    client: distributed.Client,
    holdings: Sequence[Holding],
    look: Callable[[], None],
    until: float | None,
) -> list[list[State]]:
    async def gather() -> list[list[State]]:
        values: list[list[State]] = await client.gather(futures, asynchronous=True)
        return values

    futures = [each.future for each in holdings if each.future is not None]
    loop: Any = client.loop
    call = asyncio.run_coroutine_threadsafe(gather(), loop.asyncio_loop)
    try:
        while True:
            if any(each.future is None for each in holdings):
                raise _Lost
            if until is not None and clock.monotonic() >= until:
                raise TimeoutError("its run ended before it was fetched")
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - clock.monotonic())
            # What no worker has, nor can make, Dask would wait for without an end.
            if wait([call], timeout=max(0.0, left)).done:
                return call.result()
            look()
    finally:
        call.cancel()
