"""One execution of one task run, as it is handed to an executor, and where it finds what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .state import State
from .stream import NodeId
from .widths import Pick


class Given(NamedTuple):
    """A state that did not come from a node of this run, under an id that no node has (generation below 0)."""

    node: NodeId
    state: State


#: Where one state is found: as the value of a node, or here.
Source: TypeAlias = NodeId | Given


class Whole(NamedTuple):
    """Where the state of a mapped task is found, with all its children."""

    parent: Source
    children: tuple[Source, ...]


@dataclass(eq=False, slots=True)
class HandOver:
    """One execution of one task run, as it is handed to an executor.

    Attributes:
        node: Which execution this is.
        start: Where the state lies from which it goes on; None for a first attempt.
        as_of: The moment for which a scheduled start counts as reached, seconds since the epoch.
        upstream: Where the states lie that it looks at, in the order of `FlowGraph.views`.
        picks: Which item of each it takes, in the same order; None where it takes all as they are.
    """

    node: NodeId
    start: Source | None
    as_of: float
    upstream: tuple[Source | Whole, ...]
    picks: tuple[Pick, ...] | None = None

    def needs(self) -> list[NodeId]:
        """The nodes whose values it takes."""
        nodes: list[NodeId] = []
        if self.start is not None and not isinstance(self.start, Given):
            nodes.append(self.start)
        for source in self.upstream:
            if isinstance(source, Whole):
                nodes += [s for s in (source.parent, *source.children) if not isinstance(s, Given)]
            elif not isinstance(source, Given):
                nodes.append(source)
        return nodes
