"""Results that lie on a Dask cluster: read from there when asked for, or brought home before the cluster goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import distributed

from .. import clock
from ..errors import ResultLost
from ..failures import text_of
from ..state import LazyResult, State

#: How many results are fetched at a time.
FETCH_AT_ONCE = 500


class RemoteState(LazyResult):
    """A state whose result lies on a cluster; it stays there as long as this exists."""

    __slots__ = ("future", "position", "task")

    def __init__(self, future: distributed.Future[list[State]], task: str, position: int) -> None:
        self.future, self.task, self.position = future, task, position

    def pick(self, value: Sequence[State]) -> State:
        """The state itself, from the value of its Dask node."""
        return value[self.position]

    def fetch_states(self, others: Sequence[LazyResult]) -> list[State] | None:
        """The whole states of many nodes in one message; None where one of them must be asked for alone."""
        if not all(isinstance(other, RemoteState) for other in others):
            return None
        places = [other for other in others if isinstance(other, RemoteState)]
        try:
            values = self.future.client.gather([place.future for place in places])
        except Exception:  # whichever it was: each is asked for when it is read, and says so itself
            return None
        return [place.pick(value) for place, value in zip(places, values, strict=True)]

    def fetch_state(self) -> State:
        """The whole state; raises ResultLost when the cluster is gone."""
        try:
            value = self.future.result()
        except Exception as error:
            # Cancelled, closed, lost, or the user's object does not open here.
            raise ResultLost(self.task, _cause(error)) from error
        return self.pick(value)


class LostState(LazyResult):
    """A state whose result could not be brought home."""

    __slots__ = ("_lost",)

    def __init__(self, lost: ResultLost) -> None:
        self._lost = lost

    def fetch_state(self) -> State:
        """Raises ResultLost."""
        raise self._lost


def bring_home(
    client: distributed.Client, states: Iterable[State], *, limit_seconds: float | None = None
) -> None:
    """Fetch the results of states that lie on a cluster, before it goes.

    Args:
        client: The cluster's client.
        states: Those with a `RemoteState`; each gets its result, or the reason why it is lost.
        limit_seconds: How long all of that may take.
    """
    until = None if limit_seconds is None else clock.monotonic() + limit_seconds
    waiting = [(state, lazy) for state in states if isinstance(lazy := state._lazy, RemoteState)]
    for start in range(0, len(waiting), FETCH_AT_ONCE):
        part = waiting[start : start + FETCH_AT_ONCE]
        wholes = _fetch(client, [place for _, place in part], until)
        for (state, _), whole in zip(part, wholes, strict=True):
            if isinstance(whole, ResultLost):
                state._lazy = LostState(whole)
            else:
                state._result, state._cached_inputs = whole._result, whole._cached_inputs
                state._lazy = None


def _fetch(
    client: distributed.Client, places: Sequence[RemoteState], until: float | None
) -> list[State | ResultLost]:
    seconds = None if until is None else until - clock.monotonic()
    if seconds is not None and seconds <= 0:
        return [ResultLost(place.task, "its run ended before it was fetched") for place in places]
    gather = partial(client.gather, [place.future for place in places], asynchronous=True)
    try:
        values = client.sync(gather, callback_timeout=seconds)
    except (Exception, asyncio.CancelledError) as error:
        by_key: dict[Any, list[RemoteState]] = {}
        for place in places:
            by_key.setdefault(place.future.key, []).append(place)
        if len(by_key) == 1:
            return [ResultLost(place.task, _cause(error)) for place in places]
        # One of them cannot be had; the others can, those of a batch at once.
        found: dict[RemoteState, State | ResultLost] = {}
        for same in by_key.values():
            found.update(zip(same, _fetch(client, same, until), strict=True))
        return [found[place] for place in places]
    return [place.pick(value) for place, value in zip(places, values, strict=True)]


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)}"
