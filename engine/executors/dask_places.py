"""Where on a Dask cluster the states of a run lie: a few bytes for each task run, an object for each Dask node."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import distributed

from ..compile import DaskKey, Place
from ..state import State
from ..stream import NodeId
from .dask_letting_go import LettingGo

#: Nowhere.
NONE = -1

#: What a future's status is before it is decided; "lost": its worker died, and the word of that is under way.
UNDER_WAY = ("pending", "lost")

#: Stands for all task runs that are no children.
OWN = -1

#: A place as one number: that of the Dask node, and the position in its value.
POSITION_BITS = 24
POSITION_MASK = (1 << POSITION_BITS) - 1


@dataclass(slots=True, eq=False)
class Holding:
    """A Dask node of a run, as the client knows it.

    Attributes:
        key: Its key.
        future: Its value, the states of its task runs; None when nobody needs it any more.
        moves_before: How many moves of task runs that were handed back there had been when it went to Dask.
        wanted: How many of its task runs were not released.
        home: The value, once it was brought home; or why it could not be.
    """

    key: DaskKey
    future: distributed.Future[list[State]] | None
    moves_before: int
    wanted: int
    _name_of: Callable[[NodeId], str]
    _futures: LettingGo | None
    home: list[State] | Exception | None = None
    _nodes: array[int] = field(default_factory=lambda: array("i"))

    def nodes(self) -> Iterator[NodeId]:
        """The task runs that were in it."""
        numbers = iter(self._nodes)
        return zip(numbers, numbers, numbers, strict=True)

    def name_at(self, position: int) -> str:
        """What the task run at a position is called."""
        task, map_index, generation = self._nodes[3 * position : 3 * position + 3]
        return self._name_of((task, map_index, generation))

    @property
    def status(self) -> str:
        """The future's; "released" where there is none."""
        return "released" if self.future is None else str(self.future.status)

    def let_go(self) -> None:
        """Nobody needs the value any more."""
        future, self.future = self.future, None
        if future is not None and self._futures is not None:
            self._futures.let_go(future)

    def __del__(self) -> None:
        self.let_go()


class Places:
    """Where the latest execution of each task run lies that went to Dask, and whether it is over.

    Args:
        count: How many tasks the flow has.
        name_of: What a task run is called.
        futures: What holds those that are needed.
    """

    def __init__(
        self,
        count: int,
        name_of: Callable[[NodeId], str] = str,
        futures: LettingGo | None = None,
    ) -> None:
        self._name_of, self._futures = name_of, futures
        #: By map index per mapped task, and under `OWN` by task: the place as a number, and whether it is over.
        self._numbers: dict[int, array[int]] = {OWN: array("q", [NONE]) * count}
        self._over: dict[int, bytearray] = {OWN: bytearray(count)}
        self._holdings: list[Holding] = []
        self._by_key: dict[DaskKey, Holding] = {}

    # ---- questions

    def place(self, node: NodeId) -> Place:
        """Where an execution lies; it must be the latest one that went to Dask."""
        holding, position = self.find(node)
        assert holding is not None, "what needs an execution that was replaced does not go to Dask"
        return Place(holding.key, position)

    def holding(self, node: NodeId) -> Holding | None:
        """The Dask node in which an execution is, or was; None where Dask does not have it, or has a later one."""
        return self.find(node)[0]

    def find(self, node: NodeId) -> tuple[Holding | None, int]:
        """The Dask node of an execution as for `holding`, and the position in its value."""
        number = self._number(node)
        if number == NONE:
            return None, NONE
        holding, position = self._holdings[number >> POSITION_BITS], number & POSITION_MASK
        is_it = holding._nodes[3 * position + 2] == node[2]
        return holding if is_it else None, position

    def is_replaced(self, node: NodeId) -> bool:
        """Whether Dask has a later execution of the task run."""
        number = self._number(node)
        return number != NONE and self._generation_at(number) > node[2]

    def holdings(self) -> Iterator[Holding]:
        """Those that somebody needs."""
        return (holding for holding in self._holdings if holding.future is not None)

    def with_something_over(self) -> list[Holding]:
        """Those of them in which some task run came to an end."""
        return [each for each in self.holdings() if any(map(self.is_over, self.nodes_of(each.key)))]

    def nodes_of(self, key: DaskKey) -> list[NodeId]:
        """The task runs in a Dask node, without those that it handed back or that were replaced."""
        holding = self._by_key.get(key)
        if holding is None:
            return []
        return [node for node in holding.nodes() if self.holding(node) is holding]

    def is_over(self, node: NodeId) -> bool:
        """Whether a task run came to an end there."""
        column, row = _slot(node)
        over = self._over.get(column, b"")
        return row < len(over) and bool(over[row])

    # ---- changes

    def put(
        self,
        key: DaskKey,
        future: distributed.Future[Any],
        nodes: Sequence[NodeId],
        moves_before: int,
    ) -> None:
        """Note a Dask node, and the task runs in it; where they lay before is forgotten."""
        holding = Holding(key, future, moves_before, len(nodes), self._name_of, self._futures)
        if self._futures is not None:
            self._futures.hold(future)
        first = len(self._holdings) << POSITION_BITS
        self._holdings.append(holding)
        self._by_key[key] = holding
        holding._nodes.extend(chain.from_iterable(nodes))
        for number, node in enumerate(nodes, start=first):
            column, row = _slot(node)
            numbers = self._numbers.get(column, ())
            if row >= len(numbers):
                self._make_room(column, row)
            elif numbers[row] != NONE:
                self.forget(node)
            self._numbers[column][row] = number

    def set_over(self, node: NodeId, *, is_over: bool) -> None:
        """Note whether a task run is over."""
        column, row = _slot(node)
        over = self._over.get(column, b"")
        if row >= len(over):
            self._make_room(column, row)
        self._over[column][row] = is_over

    def forget(self, node: NodeId) -> None:
        """Let go of what a task run came to, whichever execution, and of where it lies."""
        number = self._number(node)
        if number == NONE:
            return
        holding = self._holdings[number >> POSITION_BITS]
        column, row = _slot(node)
        self._numbers[column][row] = NONE
        holding.wanted -= 1
        if holding.wanted == 0:
            holding.let_go()
            self._by_key.pop(holding.key, None)

    # ---- inside

    def _generation_at(self, number: int) -> int:
        nodes = self._holdings[number >> POSITION_BITS]._nodes
        return nodes[3 * (number & POSITION_MASK) + 2]

    def _number(self, node: NodeId) -> int:
        column, row = _slot(node)
        numbers = self._numbers.get(column, ())
        return numbers[row] if row < len(numbers) else NONE

    def _make_room(self, column: int, row: int) -> None:
        over = self._over.setdefault(column, bytearray())
        if row >= len(over):
            # Half as much again at a time, or each child would move all those before it.
            more = max(row + 1, len(over) * 3 // 2) - len(over)
            over.extend(bytes(more))
            self._numbers.setdefault(column, array("q")).extend([NONE] * more)


def _slot(node: NodeId) -> tuple[int, int]:
    task, map_index, _ = node
    return (OWN, task) if map_index < 0 else (task, map_index)
