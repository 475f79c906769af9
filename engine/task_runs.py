"""What the book of a flow run keeps of one task: its runs, and which of its children are in flight."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from .graph import FlowGraph, Take
from .state import Pending, State

#: A task run: index of the task, and its place among the task's runs (0: the task itself or the mapped
#: parent, i + 1: child i).
Slot: TypeAlias = tuple[int, int]


class TaskRuns:
    """What is known of the runs of one task: the task itself or a mapped parent first, then the children."""

    __slots__ = (
        "generation",
        "is_out",
        "lengths",
        "missing",
        "starts",
        "states",
        "undone",
        "width",
    )

    def __init__(self) -> None:
        self.states: list[State] = []
        #: How often each was handed over.
        self.generation: list[int] = []
        #: Whether an execution is under way whose outcome counts.
        self.is_out = bytearray()
        #: How many children there are; None before that is known, and where the task is not mapped.
        self.width: int | None = None
        #: Per view that is flattened: how long each of its lists is, summed up.
        self.lengths: dict[int, list[int]] = {}
        #: How many are not done, and how many are neither done nor under way.
        self.undone = self.missing = 0
        self.add(1)

    def add(self, count: int) -> None:
        self.states += [Pending() for _ in range(count)]
        self.generation += [0] * count
        self.is_out += bytes(count)
        self.undone += count
        self.missing += count

    def cut(self) -> None:
        """Leave the first one alone."""
        is_there = is_final(self.states[0]) or bool(self.is_out[0])
        del self.states[1:], self.generation[1:], self.is_out[1:]
        self.undone = 0 if is_final(self.states[0]) else 1
        self.missing = 0 if is_there else 1
        self.width = None


@dataclass(slots=True)
class Flights:
    """Which children of a map are between their start and the end of the chain of maps below it.

    Attributes:
        limit: At most so many at a time, n >= 1.
        chain: The task, and those mapped over its children, or over theirs, item by item.
        places: The children in flight, as places in `TaskRuns`.
        held_back: Those that wait for one to land, in order.
    """

    limit: int
    chain: frozenset[int]
    places: set[int] = field(default_factory=set)
    held_back: deque[int] = field(default_factory=deque)


def chain_below(graph: FlowGraph, index: int) -> frozenset[int]:
    """A mapped task and all that is mapped over its children, or over theirs, item by item."""
    chain = {index}
    for below in graph.below([index]):
        if any(view.take is Take.ITEM and view.upstream in chain for view in graph.views[below]):
            chain.add(below)
    return frozenset(chain)


def is_final(state: State) -> bool:
    """Whether a state is the last one of its run."""
    return state.is_finished() and not state.is_looped()
