"""What was handed over and Dask does not know yet: which of it goes to Dask now, and in which company.

Dask gets what is long, and what nothing is known of, a task run a node; what is short is held back until enough of
it shares a node. Pure: the caller says what time it is and what came to an end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, TypeAlias

from .durations import Durations
from .grouping import (
    CHAIN_SECONDS,
    FEW,
    NODE_SECONDS,
    RUN_SECONDS,
    Chain,
    Kinds,
    batch_size,
)
from .hand_over import HandOver
from .stream import NodeId

#: How many nodes Dask gets at a time: taking them in keeps its event loop busy for some 60 µs each.
NODES_AT_ONCE = 500

#: How many nodes of single task runs may be under way at least; the rest waits here, where it costs less.
SINGLES_UNDER_WAY = 1_000

#: The same for each thread of the cluster.
SINGLES_PER_THREAD = 50

#: How many of a kind are tried alone for each thread, to see how long they take.
PROBES_PER_THREAD = 4

#: After so many seconds without an answer from these, twice as many are under way: what takes that long gets a
#: node each, and a cluster that grows with its work has to see that there is some.
PROBE_SECONDS = 0.1

#: By then it is as many as may be under way anyway.
MOST_DOUBLINGS = 16

#: Nodes of several chains under way at most for each thread: one runs, one waits. The fewer, the more is known of
#: how long chains take when the next one is put together, and the more evenly threads end.
GROUPS_PER_THREAD = 2

Group: TypeAlias = "list[Chain]"


@dataclass(slots=True, eq=False)
class Queue:
    """Chains of one kind and rank whose needs Dask knows."""

    rank: int
    kind: tuple[Hashable, ...] | None
    chains: deque[Chain] = field(default_factory=deque)
    #: Chains that still wait for their needs to be known.
    expected: int = 0
    #: How many there were, with those, when most were here.
    total: int = 0
    #: Nodes of this queue under way.
    under_way: int = 0
    #: Whether what is left goes in nodes of single ones, and these may go.
    is_ending: bool = False


class Probes(NamedTuple):
    """Task runs of a kind that nobody has seen yet: when the first one went to Dask, how many are under way."""

    begun: float
    under_way: int


class Stage:
    """The hand-overs of one run that wait for Dask.

    Args:
        kinds: What the tasks are.
        durations: How long they take.
    """

    def __init__(self, kinds: Kinds, durations: Durations) -> None:
        self._kinds, self._durations = kinds, durations
        #: Nodes that are here, and the chains that wait for each to be known to Dask.
        self._waiting: dict[NodeId, list[Chain] | None] = {}
        self._queues: dict[tuple[Hashable, int], Queue] = {}
        #: Those with chains that may go.
        self._ready: dict[Queue, None] = {}
        #: Groups that Dask has: their queue, the kind that they are to show, how many of them are not over.
        self._under_way: dict[int, tuple[Queue, Hashable, int]] = {}
        self._group_of: dict[NodeId, int] = {}
        self._probes: dict[Hashable, Probes] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self,
        plan: Sequence[HandOver],
        is_done: Callable[[NodeId], bool],
        alone: Collection[tuple[int, int]] = (),
    ) -> None:
        """Take hand-overs, in topological order; see `Kinds.chains`."""
        chains = self._kinds.chains(plan, is_done, alone)
        for chain in chains:
            for item in chain.items:
                self._waiting[item.node] = None
        for chain in chains:
            for node in chain.needs:
                if node in self._waiting:
                    chain.missing += 1
                    waiting = self._waiting[node]
                    if waiting is None:
                        self._waiting[node] = [chain]
                    else:
                        waiting.append(chain)
            queue = self._queue_of(chain)
            if chain.missing:
                queue.expected += 1
            else:
                self._make_ready(chain)
            queue.total = max(queue.total, len(queue.chains) + queue.expected)

    def take(self, threads: int, now: float, most: int = NODES_AT_ONCE) -> list[Group]:
        """What goes to Dask now: each group one node, in an order in which none needs a later one.

        Args:
            threads: How many task runs the cluster can run at a time, >= 1.
            now: The time, seconds on any clock that does not go back.
            most: At most so many groups.
        """
        groups: list[Group] = []
        while len(groups) < most:
            # What is furthest below goes first, so that a branch is finished before the next one begins.
            for queue in sorted(self._ready, key=lambda each: -each.rank):
                size = self._size_of_next(queue, threads, now)
                if size:
                    break
            else:
                break
            group = [queue.chains.popleft() for _ in range(size)]
            if not queue.chains:
                del self._ready[queue]
                queue.total, queue.is_ending = queue.expected, False
            self._submit(queue, group, now)
            groups.append(group)
        return groups

    def wake_after(self, now: float) -> float | None:
        """After how many seconds `take` may give something though nothing happened; None: never."""
        begun = [
            self._probes[kind].begun
            for queue in self._ready
            if (kind := self._unseen(queue.chains[0])) in self._probes
        ]
        waits = [PROBE_SECONDS - (now - moment) % PROBE_SECONDS for moment in begun]
        return min(waits, default=None)

    def end(self, node: NodeId) -> None:
        """Note that a task run that went to Dask is over, or will not be run by that node."""
        number = self._group_of.pop(node, None)
        if number is None:
            return
        queue, probed, left = self._under_way[number]
        if left > 1:
            self._under_way[number] = (queue, probed, left - 1)
            return
        del self._under_way[number]
        queue.under_way -= 1
        if probed is not None:
            begun, under_way = self._probes[probed]
            self._probes[probed] = Probes(begun, under_way - 1)

    # ---- inside

    def _queue_of(self, chain: Chain) -> Queue:
        key = (chain.kind, chain.rank)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(chain.rank, chain.kind)
        return queue

    def _make_ready(self, chain: Chain) -> None:
        queue = self._queue_of(chain)
        queue.chains.append(chain)
        self._ready[queue] = None

    def _size_of_next(self, queue: Queue, threads: int, now: float) -> int:
        """How many chains the next node of a queue takes; 0 while none may go."""
        if queue.kind is None:
            return 1
        is_free = queue.under_way < max(SINGLES_UNDER_WAY, SINGLES_PER_THREAD * threads)
        unseen = self._unseen(queue.chains[0])
        if unseen is not None:
            return 1 if is_free and self._may_probe(unseen, threads, now) else 0
        there = len(queue.chains)
        size = self._kinds.fixed_size(queue.chains[0])
        if size is None:
            seconds = self._durations.of(queue.kind)
            if seconds is None:
                return 1 if is_free else 0
            seconds += RUN_SECONDS * len(queue.kind)
            size = batch_size(seconds, queue.total, there + queue.expected, threads)
            if size > FEW:
                is_free = queue.under_way < GROUPS_PER_THREAD * threads
            elif not queue.is_ending and size < batch_size(
                seconds, queue.total, queue.total, threads
            ):
                # Dask runs what it has in any order: what is to let threads end together goes at the end.
                is_free = queue.is_ending = queue.under_way <= GROUPS_PER_THREAD * threads
        # Others that come soon fill the node, as long as there is something that they come from.
        if not is_free or (there < size and queue.expected and self._under_way):
            return 0
        return min(size, there)

    def _may_probe(self, kind: Hashable, threads: int, now: float) -> bool:
        begun, under_way = self._probes.get(kind, (now, 0))
        doublings = min(int((now - begun) / PROBE_SECONDS), MOST_DOUBLINGS)
        return under_way < (PROBES_PER_THREAD * threads) << doublings

    def _submit(self, queue: Queue, group: Group, now: float) -> None:
        probed = self._unseen(group[0])
        if probed is not None:
            begun, under_way = self._probes.get(probed, (now, 0))
            self._probes[probed] = Probes(begun, under_way + 1)
        if len(group) == 1:
            self._cut_off(group[0])
        must_go_alone = len(group) == 1 and self._is_long(group[0])
        number = next(self._numbers)
        left = 0
        for chain in group:
            for item in chain.items:
                left += 1
                self._group_of[item.node] = number
                waiting = self._waiting.pop(item.node)
                if waiting is not None:
                    self._make_known(waiting, must_go_alone=must_go_alone)
        queue.under_way += 1
        self._under_way[number] = (queue, probed, left)

    def _unseen(self, chain: Chain) -> Hashable:
        """The kind of which should be seen how long it takes, before many chains like this go; or None."""
        if chain.kind is None or self._kinds.fixed_size(chain) is not None:
            return None
        kinds = chain.kind if chain.is_column else chain.kind[:1]
        return next((kind for kind in kinds if self._durations.of((kind,)) is None), None)

    def _cut_off(self, chain: Chain) -> None:
        """Leave of a chain what should share a node; the rest may go as soon as that is said."""
        length = self._length_of(chain)
        if length < len(chain.items):
            rest = chain.split(length, self._kinds.ranks[chain.items[length].node[0]])
            self._make_ready(rest)

    def _length_of(self, chain: Chain) -> int:
        """How many of a chain share a node: those known to be short, as far as they do not take long together.

        To fuse what is long gains nothing, and its neighbours' results would have to wait for its end.
        """
        if chain.is_column or self._kinds.grouping != "auto":
            return len(chain.items)
        whole = 0.0
        for number, item in enumerate(chain.items):
            seconds = self._durations.of((self._kinds.of(item.node),))
            whole += seconds or 0.0
            if seconds is None or seconds >= NODE_SECONDS or whole > CHAIN_SECONDS:
                return max(1, number)
        return len(chain.items)

    def _is_long(self, chain: Chain) -> bool:
        """Whether what waits for a chain should not wait for another one as well."""
        if self._kinds.grouping != "auto":
            return False
        seconds = None if chain.kind is None else self._durations.of(chain.kind)
        return seconds is None or seconds >= NODE_SECONDS

    def _make_known(self, waiting: Sequence[Chain], *, must_go_alone: bool) -> None:
        """Dask knows a node: those that waited for that may go."""
        users = Counter(chain.kind for chain in waiting) if must_go_alone else {}
        for chain in waiting:
            self._queue_of(chain).expected -= 1
            if users.get(chain.kind) == 1:
                # In company it would wait for what its neighbours wait for. What all of them wait for is no reason.
                chain.kind = None
            chain.missing -= 1
            if chain.missing:
                self._queue_of(chain).expected += 1
            else:
                self._make_ready(chain)
