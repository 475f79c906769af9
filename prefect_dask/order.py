"""An order of things in which some must come before others, kept up while they are added."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class Cycle(Exception):
    """Things that come before each other: each before the next, the last before the first."""

    def __init__(self, things: list[object]) -> None:
        super().__init__(things)
        self.things = things


class Order(Generic[N]):
    """Things, which of them come before which, and a place for each that agrees with that.

    A new `link` that agrees with the places costs nothing more. One that does not, moves as few
    things as it can find, so that a large graph is built in about linear time in any usual order of
    building. Nothing recurses.

    Source:
        D. J. Pearce and P. H. J. Kelly, "A dynamic topological sort algorithm for directed acyclic
        graphs", ACM Journal of Experimental Algorithmics 11 (2006).
    """

    def __init__(self) -> None:
        #: Per thing, what must come directly after it, in the order of linking; and what before it.
        self.below: dict[N, dict[N, None]] = {}
        self.above: dict[N, dict[N, None]] = {}
        self._place: dict[N, int] = {}
        self._first = self._last = 0
        self._is_checked = True

    def add(self, thing: N) -> None:
        """Take in a thing; it comes last until a link says otherwise."""
        if thing not in self._place:
            self._last += 1
            self._place[thing] = self._last
            self.below[thing] = {}
            self.above[thing] = {}

    def copy(self) -> Order[N]:
        """An order of its own with the same things and links."""
        new: Order[N] = Order()
        new.below = {thing: dict(below) for thing, below in self.below.items()}
        new.above = {thing: dict(above) for thing, above in self.above.items()}
        new._place = dict(self._place)
        new._first, new._last, new._is_checked = self._first, self._last, self._is_checked
        return new

    def link(self, first: N, second: N, *, check: bool = True) -> None:
        """Say that `first` comes before `second`; without `check`, cycles wait for `check()`.

        Raises:
            Cycle: `second` comes before `first` already, or is the same; nothing has changed.
        """
        if second in self.below[first]:
            return
        if not check:
            self._is_checked = False
        else:
            if first == second:
                raise Cycle([first])
            if not self._is_checked:
                self.check()
            place = self._place
            if place[first] > place[second]:
                if not self.below[second]:
                    self._last += 1
                    place[second] = self._last
                elif not self.above[first]:
                    self._first -= 1
                    place[first] = self._first
                else:
                    self._reorder(first, second)
        self.below[first][second] = None
        self.above[second][first] = None

    def check(self) -> None:
        """Look for cycles among all links.

        Raises:
            Cycle: There is one.
        """
        self._place = {thing: place for place, thing in enumerate(self.sorted())}
        self._first, self._last = 0, len(self._place)
        self._is_checked = True

    def sorted(self) -> list[N]:
        """All things, each after what comes before it, and otherwise in the order of adding.

        Raises:
            Cycle: There is no such order.
        """
        seen: set[N] = set()
        for thing, above in self.above.items():
            if above and not seen.issuperset(above):
                break
            seen.add(thing)
        else:
            return list(self.above)  # they were added in such an order, as flows mostly are
        number = {thing: index for index, thing in enumerate(self.below)}
        waits_for = {thing: len(above) for thing, above in self.above.items()}
        ready = [number[thing] for thing, count in waits_for.items() if count == 0]
        things = list(self.below)
        ordered: list[N] = []
        while ready:
            thing = things[heapq.heappop(ready)]
            ordered.append(thing)
            for later in self.below[thing]:
                waits_for[later] -= 1
                if waits_for[later] == 0:
                    heapq.heappush(ready, number[later])
        if len(ordered) < len(things):
            raise Cycle(self._cycle_among({t for t, count in waits_for.items() if count > 0}))
        return ordered

    def all_below(self, starts: Iterable[N]) -> set[N]:
        """What comes after one of `starts`, directly or not, and these themselves."""
        seen = set(starts)
        stack = list(seen)
        while stack:
            for thing in self.below[stack.pop()]:
                if thing not in seen:
                    seen.add(thing)
                    stack.append(thing)
        return seen

    def _cycle_among(self, stuck: set[N]) -> list[object]:
        """One cycle, given things each of which waits for another one of them."""
        thing = next(thing for thing in self.below if thing in stuck)
        path: dict[N, None] = {}
        while thing not in path:
            path[thing] = None
            thing = next(above for above in self.above[thing] if above in stuck)
        backwards = list(path)
        return list(reversed(backwards[backwards.index(thing) :]))

    def _reorder(self, first: N, second: N) -> None:
        """Give other places to what lies between the two, so that `first` can come first."""
        place = self._place
        low, high = place[second], place[first]
        came_from: dict[N, N | None] = {second: None}
        stack = [second]
        while stack:
            thing = stack.pop()
            for later in self.below[thing]:
                if later == first:
                    raise Cycle(_path(came_from, thing, first))
                if later not in came_from and place[later] < high:
                    came_from[later] = thing
                    stack.append(later)
        earlier_ones = {first}
        stack = [first]
        while stack:
            for earlier in self.above[stack.pop()]:
                if earlier not in earlier_ones and place[earlier] > low:
                    earlier_ones.add(earlier)
                    stack.append(earlier)
        moved = [
            *sorted(earlier_ones, key=place.__getitem__),
            *sorted(came_from, key=place.__getitem__),
        ]
        for free, thing in zip(sorted(place[thing] for thing in moved), moved, strict=True):
            place[thing] = free


def _path(came_from: dict[N, N | None], end: N, closing: N) -> list[object]:
    """The way from where `came_from` began to `end`, with `closing` before it."""
    path: list[object] = []
    thing: N | None = end
    while thing is not None:
        path.append(thing)
        thing = came_from[thing]
    return [closing, *reversed(path)]
