"""What a flow run asks of whoever keeps concurrency limits: which of its tasks fall under one, and for slots.

A task run that falls under a limit is handed over when everything it needs is there and it has a slot; it gives the
slot back when that execution is over. Who counts the slots, and where, the engine does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .context import RunInfo
from .graph import FlowGraph
from .stream import NodeId


class SlotWait(NamedTuple):
    """That task runs of one task wait for a slot.

    Attributes:
        task: Which one, by its place in the flow.
        waiting: How many of its runs wait.
        limits: The names of the limits that it falls under.
        why: What keeps them waiting, for people: who holds the slots, or that nobody can be asked.
    """

    task: int
    waiting: int
    limits: tuple[str, ...]
    why: str


class Slots(Protocol):
    """Keeps the concurrency limits that a flow run falls under; all methods return at once, unless they say so."""

    def limited(self, info: RunInfo, graph: FlowGraph) -> frozenset[int]:
        """Which tasks of a flow that is about to run fall under a limit, by index; asked once.

        Where there are none, nothing else is asked. May take as long as asking the keeper takes.
        """
        ...

    def hold_at_most(self, count: int) -> None:
        """Hold no more slots of a limit at a time than these: the others are for who can use them now."""
        ...

    def ask(self, wanted: Sequence[tuple[NodeId, int]]) -> None:
        """Want a slot for each of some executions: which, and at which attempt. Each is asked for once."""
        ...

    def take_granted(self) -> list[NodeId]:
        """The executions that got theirs since the last call, in the order in which they were asked for."""
        ...

    def give_back(self, nodes: Sequence[NodeId]) -> None:
        """These executions are over, or will not be handed over. Called in any thread."""
        ...

    def waits(self) -> list[SlotWait]:
        """What waits now."""
        ...

    def end(self) -> None:
        """The run is over: all its slots are free, and nothing of it waits. May take some seconds."""
        ...
