"""Which task runs can be handed over now: the book that a flow run keeps, without I/O or clock.

A first run, a retry whose time has come, a resumed pause and what lay below a crash are all the same act: hand
over what is unfinished and possible, from the states known so far (DESIGN D1, D2).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from . import clock
from .graph import FlowGraph
from .state import Cached, Mapped, Paused, Pending, Resume, Scheduled, State, is_lawful
from .stream import NodeId


class Given(NamedTuple):
    """A state that did not come from a node of this run, under an id that no node has (generation below 0)."""

    node: NodeId
    state: State


#: Where a state is found: as the value of a node, or here.
Source: TypeAlias = NodeId | Given


@dataclass(frozen=True, slots=True)
class HandOver:
    """One execution of one task run, as it is handed to an executor.

    Attributes:
        node: Which execution this is.
        start: Where the state lies from which it goes on; None for a first attempt.
        as_of: The moment for which a scheduled start counts as reached, seconds since the epoch.
        upstream: Where the states of its upstream tasks lie, in the order of `FlowGraph.upstream`.
    """

    node: NodeId
    start: Source | None
    as_of: float
    upstream: tuple[Source, ...]

    def needs(self) -> list[NodeId]:
        """The nodes whose values it takes."""
        sources = self.upstream if self.start is None else (self.start, *self.upstream)
        return [source for source in sources if not isinstance(source, Given)]


class Book:
    """What is known of each task run of a flow run, and what follows from it.

    Args:
        graph: The flow.
        given: States to begin with, by task index; finished ones are taken as they are.
    """

    def __init__(self, graph: FlowGraph, given: Mapping[int, State] | None = None) -> None:
        self.graph = graph
        self.states: list[State] = [Pending() for _ in graph.nodes]
        #: How often each task run was handed over.
        self.generation = [0] * len(graph)
        #: Whether an execution is under way whose outcome counts.
        self.is_out = [False] * len(graph)
        #: States that did not come from a node of this run.
        self.given: dict[int, Given] = {}
        self._given_count = 0
        for index, state in (given or {}).items():
            self._give(index, state)
        self._due: list[tuple[float, int, int]] = []
        self._out_count = 0

    # ---- questions

    @property
    def out_count(self) -> int:
        """How many executions are under way whose outcome counts."""
        return self._out_count

    def node_id(self, index: int) -> NodeId:
        """The latest execution of a task."""
        return (index, -1, self.generation[index])

    def next_due(self) -> float | None:
        """When the next waiting task run is due, seconds since the epoch; None when none waits for a time."""
        while self._due:
            moment, index, generation = self._due[0]
            if self.generation[index] == generation and not self.is_out[index]:
                return moment
            heapq.heappop(self._due)
        return None

    def is_done(self, index: int) -> bool:
        """Whether a task run needs no further execution."""
        state = self.states[index]
        if index in self.given and isinstance(state, (Cached, Mapped)):
            return False  # validated again, or its children looked at
        return state.is_finished() and not state.is_looped()

    # ---- what comes in

    def accept(self, node: NodeId, state: State, *, is_over: bool) -> bool:
        """Note that an execution came to `state`.

        Returns:
            Whether that moved the task run; late, repeated and unlawful news do not.
        """
        index, _, generation = node
        if generation != self.generation[index] or not self.is_out[index]:
            return False
        old = self.states[index]
        is_news = state is not old and not (type(state) is Pending and type(old) is Pending)
        if is_news and not is_lawful(type(old), type(state)):
            is_news = False
        if is_news:
            self.states[index] = state
            self.given.pop(index, None)
        if is_over:
            self._set_out(index, False)
            if not self.is_done(index):
                self._hold_below(index)
                self._plan(index)
        return is_news

    def lose(self, node: NodeId, message: str) -> State | None:
        """Note that the worker of an execution died and another one takes it up.

        Returns:
            The state that tells of it, or None where the execution does not count any more.
        """
        index, _, generation = node
        if generation != self.generation[index] or not self.is_out[index]:
            return None
        self.states[index] = Pending(message)
        return self.states[index]

    def crash(self, node: NodeId, state: State) -> bool:
        """Note that an execution was given up; what lies below must be handed over anew.

        Returns:
            Whether that execution still counted.
        """
        index, _, generation = node
        if generation != self.generation[index] or not self.is_out[index]:
            return False
        self._give(index, state)
        self._set_out(index, False)
        self._hold_below(index)
        return True

    def resume(self, index: int) -> None:
        """Let a paused task run go on: it is due now."""
        self._give(index, Resume("resumed", context=self.states[index].context))

    # ---- what goes out

    def take_due(self, now: float) -> list[HandOver]:
        """What can be handed over because its time has come by `now`."""
        due = set()
        while (moment := self.next_due()) is not None and moment <= now:
            due.add(heapq.heappop(self._due)[1])
        return self.take({*due, *self.graph.below(due)}, now) if due else []

    def take_all(self, now: float) -> list[HandOver]:
        """What can be handed over at the beginning of a run."""
        for index in self.given:
            self._plan(index)
        return self.take(range(len(self.graph)), now)

    def take_below(self, indices: Iterable[int], now: float) -> list[HandOver]:
        """What can be handed over below tasks that crashed."""
        return self.take(self.graph.below(indices), now)

    def take(self, candidates: Iterable[int], now: float) -> list[HandOver]:
        """Those of `candidates` that are unfinished, not under way, and whose upstream is or will be there."""
        taken = []
        for index in sorted(candidates):
            if self.is_out[index] or self.is_done(index) or self._waits(index, now):
                continue
            upstream = self.graph.upstream[index]
            if not all(self.is_out[above] or self.is_done(above) for above in upstream):
                continue
            start = self._start(index)
            self.generation[index] += 1
            self._set_out(index, True)
            sources = tuple(self._source(above) for above in upstream)
            taken.append(HandOver(self.node_id(index), start, now, sources))
        return taken

    # ---- inside

    def _give(self, index: int, state: State) -> None:
        self._given_count += 1
        self.states[index] = state
        self.given[index] = Given((index, -1, -self._given_count), state)

    def _start(self, index: int) -> Source | None:
        if index in self.given:
            return self.given[index]
        if self.generation[index] and type(self.states[index]) is not Pending:
            # The execution before left there what the next one goes on from.
            return self.node_id(index)
        return None

    def _source(self, index: int) -> Source:
        if index in self.given and not self.is_out[index]:
            return self.given[index]
        return self.node_id(index)

    def _waits(self, index: int, now: float) -> bool:
        state = self.states[index]
        return (
            isinstance(state, Scheduled)
            and not isinstance(state, Resume)
            and clock.to_seconds(state.start_time) > now
        )

    def _plan(self, index: int) -> None:
        state = self.states[index]
        if isinstance(state, Paused) and state.start_time.year == 9999:
            return
        if isinstance(state, Scheduled):
            moment = clock.to_seconds(state.start_time)
            heapq.heappush(self._due, (moment, index, self.generation[index]))

    def _hold_below(self, index: int) -> None:
        """What was handed over below comes back undone: its outcome does not count."""
        stack = [index]
        while stack:
            for below in self.graph.downstream[stack.pop()]:
                if self.is_out[below]:
                    self._set_out(below, False)
                    stack.append(below)

    def _set_out(self, index: int, is_out: bool) -> None:
        if self.is_out[index] != is_out:
            self.is_out[index] = is_out
            self._out_count += 1 if is_out else -1
