"""Which children of a map may begin, where `max_in_flight` lets only so many be under way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from .graph import FlowGraph, Take
from .task_runs import Position, TaskRuns


@dataclass(slots=True)
class _Flights:
    """Those of one map.

    Attributes:
        limit: At most so many at a time, n >= 1.
        chain: The task, and those mapped over its children, or over theirs, item by item.
        places: The children in flight, as places among the task's runs.
        held_back: Those that wait for one to land, in order.
    """

    limit: int
    chain: frozenset[int]
    places: set[int] = field(default_factory=set)
    held_back: deque[int] = field(default_factory=deque)


class InFlight:
    """The children of maps with a limit that are between their start and the end of the chain of maps below them.

    Args:
        graph: The flow.
        runs: What is known of its task runs.
        begun: Where those stand that were begun in another process: as far as not all that is mapped over them is
            done, they are in flight.
    """

    def __init__(self, graph: FlowGraph, runs: TaskRuns, begun: Iterable[Position] = ()) -> None:
        self._runs = runs
        self._flights = {
            index: _Flights(node.task.max_in_flight, _chain_below(graph, index))
            for index, node in enumerate(graph.nodes)
            if graph.is_mapped[index] and node.task.max_in_flight is not None
        }
        #: Whether any map of the flow has a limit; where none has, nothing needs to be asked or told here.
        self.is_limited = bool(self._flights)
        for index, place in begun if self.is_limited else ():
            flights = self._flights.get(index)
            if flights is not None and place and not self._has_landed(flights, place):
                flights.places.add(place)

    def holds_back(self, index: int, place: int) -> bool:
        """Whether a task run that could begin has to wait until others have landed; else it is in flight now."""
        flights = self._flights.get(index)
        if flights is None or not place or place in flights.places:
            return False
        if len(flights.places) >= flights.limit:
            flights.held_back.append(place)
            return True
        flights.places.add(place)
        return False

    def land(self, index: int, place: int) -> None:
        """A child is done: it, or one that it is made from, may be out of flight."""
        for flights in self._flights.values():
            is_of_it = place in flights.places and index in flights.chain
            if is_of_it and self._has_landed(flights, place):
                flights.places.discard(place)

    def take_freed(self) -> set[Position]:
        """Those that were held back and for which there is room now."""
        freed: set[Position] = set()
        for index, flights in self._flights.items():
            for _ in range(flights.limit - len(flights.places)):
                if flights.held_back:
                    freed.add((index, flights.held_back.popleft()))
        return freed

    def lift(self) -> None:
        """Hold nothing back any more."""
        self._flights.clear()
        self.is_limited = False

    def _has_landed(self, flights: _Flights, place: int) -> bool:
        """Whether a child, and all that is mapped over it, is done."""
        runs = self._runs
        below = ((each, runs.row_of(each, place - 1)) for each in flights.chain)
        return all(
            runs.is_wholly_done(each) if row is None else runs.is_done[row] for each, row in below
        )


def _chain_below(graph: FlowGraph, index: int) -> frozenset[int]:
    """A mapped task and all that is mapped over its children, or over theirs, item by item."""
    chain = {index}
    for below in graph.below([index]):
        if any(view.take is Take.ITEM and view.upstream in chain for view in graph.views[below]):
            chain.add(below)
    return frozenset(chain)
