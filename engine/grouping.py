"""Which task runs share a Dask node (DESIGN D11): what to fuse, what is of one kind, and how many go together.

Hand-overs that can only run one after the other are a *chain*; a node carries one chain, or several short ones of
one kind. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, TypeAlias

from .graph import FlowGraph
from .hand_over import HandOver
from .stream import NodeId
from .worker_resources import worker_resources

#: When task runs share nodes: "auto" goes by what they are seen to take, "never" gives each its own unless a
#: `batch=` was asked for, "always" fuses and batches whatever may be, by `ALWAYS_SIZE`.
Grouping: TypeAlias = Literal["auto", "never", "always"]

#: Chains a node where grouping is forced: small, so that a short flow has several nodes of several.
ALWAYS_SIZE = 3

#: What a node should take at least, seconds: ten times what Dask takes to hand one over and hear of its end
#: (5.8 ms a link of a chain).
NODE_SECONDS = 0.05

#: What a node of several chains aims at, seconds: Dask and its worker take 2 ms between two nodes, and a cluster's
#: threads are idle for that long.
BATCH_SECONDS = 0.2

#: Into how many nodes a thread's share is cut at least, so that threads end together.
NODES_PER_THREAD = 4

#: Chains of which only so few fit in a node go to Dask as those do that have a node each: all at once, so that none
#: waits until somebody here has put the next node together.
FEW = 4

#: What Dask takes to hand a node over and hear of its end, seconds: to cut what takes less than that gains nothing.
HAND_OVER_SECONDS = 0.005

#: For how long tasks that run one after the other should share a node, seconds. Dask can copy and move only results
#: of nodes that have ended, and a worker that is to leave waits for them; a hand-over a second costs less than 1 %.
CHAIN_SECONDS = 1.0

#: What the engine takes for a task run in a node, seconds, to be added to what the run itself takes.
RUN_SECONDS = 30e-6


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What a task run is, as far as it matters to grouping: one object for all that are alike.

    That they are told apart by which object it is, makes a chain of a thousand as easy to look up as a number.

    Attributes:
        code: Where the function stands that its task runs.
        resources: What it asks of a worker.
        isolation: In what it runs there.
    """

    code: tuple[Any, ...]
    resources: tuple[tuple[str, float], ...]
    isolation: str | None


#: Those that there are in this process, which keeps durations by them.
_kinds: dict[tuple[Any, ...], Kind] = {}


@dataclass(slots=True, eq=False)
class Chain:
    """Hand-overs of which each waits for the one before, and nothing else for that.

    Attributes:
        items: In order, at least one.
        needs: The nodes outside the chain whose values it takes, and that are not there yet.
        rank: That of its first task; chains of one rank never wait for each other.
        kind: What its tasks are, in order; chains of equal kind may share a node. None: it runs alone.
        missing: How many of `needs` Dask does not know yet.
    """

    items: list[HandOver]
    needs: set[NodeId]
    rank: int
    kind: tuple[Kind, ...] | None
    missing: int = 0

    @property
    def is_column(self) -> bool:
        """Whether it is child i of one map after child i of another: they share a node however long they take, so
        that what lies between them does not pile up."""
        return self.items[0].node[1] >= 0

    def split(self, length: int, rank: int) -> Chain:
        """Cut off what comes after the first `length` hand-overs, and return that; `rank` is that of its first."""
        rest = Chain(
            self.items[length:],
            {self.items[length - 1].node},
            rank,
            None if self.kind is None else self.kind[length:],
        )
        self.items = self.items[:length]
        self.kind = None if self.kind is None else self.kind[:length]
        return rest


class Kinds:
    """What the tasks of a flow are, as far as it matters to grouping.

    Args:
        graph: The flow.
        grouping: When task runs share nodes.
        limited: The tasks whose runs share a node with none.
    """

    def __init__(
        self,
        graph: FlowGraph,
        grouping: Grouping = "auto",
        limited: frozenset[int] = frozenset(),
    ) -> None:
        self.limited = limited
        self.grouping = grouping
        self.ranks = _ranks(graph)
        self.kinds = [
            _known_kind(code, _resources(node.label.tags), node.task.isolation)
            for code, node in zip(codes_of(graph), graph.nodes, strict=True)
        ]
        self.batch = [node.task.batch for node in graph.nodes]
        self.is_mapped = graph.is_mapped

    def chains(
        self,
        plan: Sequence[HandOver],
        is_done: Callable[[NodeId], bool],
        alone: Collection[tuple[int, int]] = (),
    ) -> list[Chain]:
        """Hand-overs, fused where nothing can run beside them.

        Args:
            plan: In topological order.
            is_done: Whether a node's value is there.
            alone: Task runs that must share a node with none.

        Returns:
            Each hand-over in one chain; chains in the order of their first ones.
        """
        needs = [
            [node for node in nodes if not is_done(node)] if (nodes := item.needs()) else nodes
            for item in plan
        ]
        users = Counter(node for nodes in needs for node in set(nodes)) if self.fuses else None
        last: dict[NodeId, Chain] = {}
        chains: list[Chain] = []
        for item, open_needs in zip(plan, needs, strict=True):
            is_alone = item.node[:2] in alone or item.node[0] in self.limited
            chain = None
            if users is not None and not is_alone:
                chain = self._chain_before(item, open_needs, last, users)
            if chain is None:
                chain = Chain([item], set(open_needs), self.ranks[item.node[0]], None)
                chains.append(chain)
            else:
                del last[chain.items[-1].node]
                chain.items.append(item)
            if not is_alone:
                last[item.node] = chain
        for chain in chains:
            if not alone or chain.items[0].node[:2] not in alone:
                chain.kind = self._kind_of(chain.items)
        return chains

    @property
    def fuses(self) -> bool:
        """Whether what can only run one after the other shares a node."""
        return self.grouping != "never"

    def _chain_before(
        self,
        item: HandOver,
        open_needs: Sequence[NodeId],
        last: dict[NodeId, Chain],
        users: Counter[NodeId],
    ) -> Chain | None:
        """The chain that a hand-over goes on: it alone waits for its end, and for nothing else than that does."""
        for node in open_needs:
            chain = last.get(node)
            if (
                chain is not None
                and users[node] == 1
                and _same_place(self.kinds[item.node[0]], self.kinds[node[0]])
                and all(other == node or other in chain.needs for other in open_needs)
            ):
                return chain
        return None

    def of(self, node: NodeId) -> Kind | None:
        """What a task run is; None for the parent of a map, which is one of its kind."""
        task, map_index, _ = node
        return None if map_index < 0 and self.is_mapped[task] else self.kinds[task]

    def _kind_of(self, items: Sequence[HandOver]) -> tuple[Kind, ...] | None:
        kinds = []
        for item in items:
            # What goes on must not wait for others, nor they for it.
            kind = None if item.start is not None else self.of(item.node)
            if kind is None:
                return None
            kinds.append(kind)
        return tuple(kinds)

    def fixed_size(self, chain: Chain) -> int | None:
        """How many chains like this one share a node where that does not depend on how long they take."""
        asked = [
            batch
            for item in chain.items
            if item.node[1] >= 0 or not self.is_mapped[item.node[0]]
            if (batch := self.batch[item.node[0]])
        ]
        if asked:
            return min(asked)
        if self.grouping == "auto":
            return None
        return 1 if self.grouping == "never" else ALWAYS_SIZE


def batch_size(seconds: float, count: int, left: int, threads: int) -> int:
    """How many chains share a node.

    Args:
        seconds: What one takes, > 0.
        count: How many there were to be handed over.
        left: How many of these still are.
        threads: How many can run at a time, >= 1.

    Returns:
        So many that a node takes `BATCH_SECONDS` at most, and towards the end, so that threads end together, less,
        down to `NODE_SECONDS`; yet so few that each thread gets `NODES_PER_THREAD` nodes, unless all of them
        together take no longer than Dask does. 1 where one chain takes more than half of `BATCH_SECONDS`.

    >>> [batch_size(0.0001, 10_000, left, threads=2) for left in (10_000, 6_000, 2_000)]
    [1250, 750, 500]
    >>> batch_size(0.0001, 800, 800, threads=2), batch_size(0.0001, 40, 40, threads=2)
    (100, 40)
    >>> [batch_size(0.05, 100, left, threads=2) for left in (100, 8)], batch_size(60, 100, 100, threads=2)
    ([4, 1], 1)
    """
    share = NODES_PER_THREAD * threads
    fit = int(BATCH_SECONDS / seconds)
    if fit <= FEW:
        # Dask gets all of them at once: in which order it runs the large ones is its own choice.
        most = fit if left > share else 1
    else:
        most = min(fit, max(round(NODE_SECONDS / seconds), ceil(left / share)))
    enough = max(ceil(count / share), int(HAND_OVER_SECONDS / seconds))
    return max(1, min(most, enough, left))


def _ranks(graph: FlowGraph) -> list[int]:
    """How many tasks stand above each, along the longest way."""
    ranks: list[int] = []
    for views in graph.views:
        ranks.append(1 + max((ranks[view.upstream] for view in views), default=-1))
    return ranks


def codes_of(graph: FlowGraph) -> list[tuple[Any, ...]]:
    """Of each task, what tells the code that it runs from other code: where that function stands."""
    codes: dict[Any, tuple[Any, ...]] = {}
    found = []
    for node in graph.nodes:
        run = node.task.run
        function = getattr(run, "__func__", run)
        code = codes.get(function)
        if code is None:
            code = codes[function] = _code_of(function)
        found.append(code)
    return found


def _code_of(function: Any) -> tuple[Any, ...]:
    code = getattr(function, "__code__", None)
    where = () if code is None else (code.co_filename, code.co_firstlineno)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return (getattr(function, "__module__", ""), name, *where)


def _known_kind(*facts: Any) -> Kind:
    kind = _kinds.get(facts)
    if kind is None:
        kind = _kinds.setdefault(facts, Kind(*facts))
    return kind


def _same_place(one: Kind, other: Kind) -> bool:
    return one is other or (one.resources, one.isolation) == (other.resources, other.isolation)


def _resources(tags: frozenset[str]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(worker_resources(tags).items())) if tags else ()
