"""Results that lie on a Dask cluster: read from there when asked for, or brought home before the cluster goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
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
        if home is None:
            try:
                assert future is not None, (
                    "what is told to be over lies somewhere until it is released"
                )
                home = future.result()
            except (
                Exception
            ) as error:  # cancelled, closed, lost, or the user's object does not open here
                home = error
        name = self.holding.name_at(self.position)
        if isinstance(home, Exception):
            raise ResultLost(name, type_and_text_of(home)) from home
        state: State = home[self.position]
        if type(state) is Pending:
            raise ResultLost(name, "the worker where it lay died")
        return state


def remote_state(places: Places, node: NodeId) -> RemoteState | None:
    """Where the state of an execution lies; None where nobody needs it any more."""
    holding, position = places.find(node)
    return None if holding is None else RemoteState(holding, position)


def bring_home(
    client: distributed.Client, places: Places, *, limit_seconds: float | None = None
) -> list[ValueLost]:
    """Fetch what a run came to that lies on a cluster, before that goes.

    Args:
        client: The cluster's client.
        places: Where it lies; why something could not be had is noted there.
        limit_seconds: How long all of that may take.

    Returns:
        What was over, and was lost with its worker.
    """
    until = None if limit_seconds is None else clock.monotonic() + limit_seconds
    away = [(each, each.future) for each in places.with_something_over() if each.future is not None]
    # One result in each node is the rule only where nodes are not shared; several are a few megabytes then.
    for start in range(0, len(away), FETCH_AT_ONCE):
        part = away[start : start + FETCH_AT_ONCE]
        homes = _fetch(client, [future for _, future in part], until)
        for (holding, _), home in zip(part, homes, strict=True):
            holding.home = home
    return [
        ValueLost(node, "", "it was gone when the run ended")
        for holding, _ in away
        for node in places.nodes_of(holding.key)
        if places.is_over(node) and _is_unmade(holding, places.find(node)[1])
    ]


def _is_unmade(holding: Holding, position: int) -> bool:
    """Whether what was brought home is what stands for a value that was lost with its worker."""
    return isinstance(holding.home, list) and type(holding.home[position]) is Pending


def _fetch(
    client: distributed.Client,
    futures: Sequence[distributed.Future[list[State]]],
    until: float | None,
) -> list[list[State] | Exception]:
    seconds = None if until is None else until - clock.monotonic()
    if seconds is not None and seconds <= 0:
        return [TimeoutError("its run ended before it was fetched")] * len(futures)
    gather = partial(client.gather, futures, asynchronous=True)
    try:
        values: list[list[State] | Exception] = client.sync(gather, callback_timeout=seconds)
    except (Exception, asyncio.CancelledError) as error:
        if len(futures) == 1:
            return [
                error if isinstance(error, Exception) else RuntimeError(type_and_text_of(error))
            ]
        # One of them cannot be had; the others can.
        return [home for future in futures for home in _fetch(client, [future], until)]
    return values
