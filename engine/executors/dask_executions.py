"""The executions of a run on a Dask cluster that are not over: those that wait here, and those that Dask has.

Pure: the caller says what time it is, hands to Dask what it is given here, and tells what came of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import distributed

from ..compile import DaskKey
from ..durations import Durations
from ..grouping import Chain, Kinds
from ..hand_over import HandOver
from ..staging import NODES_AT_ONCE, Group, Stage
from ..state import Success
from ..stream import Event, HandedBack, NodeId, NotBegun, StateChange, ValueLost
from .dask_places import Holding, Places
from .dask_results import remote_state

#: How soon Dask gets more, where it got as much as it takes at a time, seconds: its event loop breathes meanwhile.
SUBMIT_SECONDS = 0.01

#: Stands for a move that is still to come.
HERE = math.inf


class Executions:
    """The executions of one run that were handed over, until they are over.

    Args:
        kinds: What the tasks are.
        durations: How long they take; learns from those that end.
        places: Where on the cluster they lie, and what is over; learns both.

    Attributes:
        places: The same.
        began: When those that are running began, seconds since the epoch.
        alone: Task runs that share a node with none: one of those with which they did ended a worker.
    """

    def __init__(self, kinds: Kinds, durations: Durations, places: Places) -> None:
        self._kinds, self._durations, self.places = kinds, durations, places
        self._stage = Stage(kinds, durations)
        #: Whether Dask got as much as it takes at a time, and there may be more.
        self._has_more = False
        #: What was handed over and is not over yet.
        self._out: dict[NodeId, HandOver] = {}
        self.began: dict[NodeId, float] = {}
        #: Those that came back undone: perhaps because a node above was cut, and the word of that is still under
        #: way from another worker.
        self._undone: dict[NodeId, StateChange] = {}
        self.alone: set[tuple[int, int]] = set()
        #: Whether anything was handed over a second time, and what never went to Dask because of that.
        self._has_later = False
        self._unwanted: set[NodeId] = set()
        #: Task runs that a cut node handed back: at which move they went to Dask again, or `HERE`.
        self._moved: dict[NodeId, float] = {}
        self._moves = 0

    def __contains__(self, node: object) -> bool:
        return node in self._out

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._out)

    def __getitem__(self, node: NodeId) -> HandOver:
        return self._out[node]

    @property
    def staged(self) -> int:
        """How many wait here for Dask."""
        return len(self._stage)

    def idle(self) -> list[NodeId]:
        """Those that could run, and are not known to have begun."""
        is_over = self.places.is_over
        return [
            node
            for node, item in self._out.items()
            if node not in self.began and all(map(is_over, item.needs()))
        ]

    def let_go(self) -> None:
        """Forget all of them, and where they lie: the run is over."""
        self._out.clear()
        self.places = Places(0)

    # ---- on their way to Dask

    def add(self, plan: Sequence[HandOver]) -> None:
        """Take hand-overs, in topological order."""
        for item in plan:
            # What this execution replaces is neither waited for nor kept; what it goes on from is held by Dask.
            task, map_index, generation = item.node
            if generation > 1:
                self._has_later = True
                before = (task, map_index, generation - 1)
                self._out.pop(before, None)
                self._undone.pop(before, None)
                self._stage.end(before)
                self.places.set_over(item.node, is_over=False)
            self._out[item.node] = item
        self._stage.add(plan, self.places.is_over, self.alone)

    def take(self, threads: int, now: float) -> list[Group]:
        """What should go to Dask now, as `Stage.take`; each group has to be noted with `put`."""
        taken = self._stage.take(threads, now)
        self._has_more = len(taken) >= NODES_AT_ONCE
        groups = []
        for group in taken:
            for each in group:
                each.items = [item for item in each.items if self._is_wanted(item)]
            if chains := [each for each in group if each.items]:
                groups.append(chains)
        if self._moved:
            groups = self._without_early(groups)
            if groups:
                self._moves += 1
                moved = (i.node for group in groups for each in group for i in each.items)
                self._moved.update((node, self._moves) for node in moved if node in self._moved)
        return groups

    def put(
        self,
        groups: Sequence[Group],
        keys: Sequence[DaskKey],
        futures: Sequence[distributed.Future[Any]],
    ) -> None:
        """Note that Dask has these groups, under which keys."""
        for group, key, future in zip(groups, keys, futures, strict=True):
            nodes = [item.node for each in group for item in each.items]
            self.places.put(key, future, nodes, self._moves)

    def wake_after(self, now: float) -> float | None:
        """After how many seconds `take` may give something though nothing happened; None: never."""
        return SUBMIT_SECONDS if self._has_more else self._stage.wake_after(now)

    def _without_early(self, groups: Sequence[Group]) -> list[list[Chain]]:
        """What goes to Dask, without what needs a task run that was handed back meanwhile and waits here again.

        That is staged once more, and waits for it.
        """
        known: set[NodeId] = set()
        early: dict[NodeId, None] = {}
        for item in chain.from_iterable(each.items for group in groups for each in group):
            # A node refers to those before it alone, also where what it needs goes in the same portion.
            if any(self._moved.get(n) == HERE and n not in known for n in item.needs()):
                early[item.node] = None
                self._moved[item.node] = HERE
            else:
                known.add(item.node)
        if not early:
            return list(groups)
        for each in chain.from_iterable(groups):
            each.items = [item for item in each.items if item.node not in early]
        self._restage(list(early))
        left = ([each for each in group if each.items] for group in groups)
        return [group for group in left if group]

    def _is_wanted(self, item: HandOver) -> bool:
        """Whether what waited here was not replaced meanwhile, nor anything that it needs.

        If it was, its outcome does not count, and whoever waits for that says when it is handed over again.
        """
        if item.node in self._out and not (
            self._has_later
            and any(
                need in self._unwanted or self.places.is_replaced(need) for need in item.needs()
            )
        ):
            return True
        self._out.pop(item.node, None)
        # The stage takes it for under way by now.
        self._stage.end(item.node)
        self._unwanted.add(item.node)
        self._has_later = True
        return False

    # ---- what comes of them

    def end(self, change: StateChange) -> None:
        """Note that one is over, and let its state fetch the result from where it lies."""
        node = change.node
        began = self.began.pop(node, None) if change.began is None else change.began
        self._undone.pop(node, None)
        if self._out.pop(node, None) is None:
            return  # told before: its result was lost with a worker, and Dask makes it again
        self._stage.end(node)
        kind = self._kinds.of(node)
        if began is not None and kind is not None and isinstance(change.state, Success):
            self._durations.note(kind, change.state._time - began)
        lazy = remote_state(self.places, node)
        if lazy is not None:
            change.state._lazy = lazy
        self.places.set_over(node, is_over=True)

    def give_up(self, node: NodeId) -> None:
        """Note that one can not be run."""
        del self._out[node]
        self._stage.end(node)

    def drop(self, node: NodeId) -> None:
        """Forget one whose outcome does not count any more, whether or not it is over."""
        self._out.pop(node, None)
        self._undone.pop(node, None)
        self.began.pop(node, None)
        self.places.set_over(node, is_over=False)
        self.places.forget(node)
        self._stage.end(node)
        # What waits here for it goes to Dask when it is handed over again.
        self._unwanted.add(node)
        self._has_later = True

    def drop_below(self, nodes: Sequence[NodeId], erred: set[NodeId]) -> None:
        """Of a Dask node that could not be run because of others above: what is below those waits for them to be
        handed over again, and so it is; the rest has to be staged again.

        Args:
            nodes: What is in it, in topological order.
            erred: Those above.
        """
        dropped = set(erred)
        again = []
        for node in nodes:
            if dropped.isdisjoint(self._out[node].needs()):
                again.append(node)
            else:
                dropped.add(node)
                self.give_up(node)
        if again:
            self.stage_again(again)

    def hand_back(self, holding: Holding, worker: str, cause: str) -> list[Event]:
        """What follows where nobody knows through which of its task runs a Dask node failed.

        It has no value, and from now on each of them runs alone.
        """
        events: list[Event] = []
        for node in self.places.nodes_of(holding.key):
            event = HandedBack if node in self._out else ValueLost
            self.drop(node)
            self.alone.add(node[:2])
            events.append(event(node, worker, cause))
        return events

    # ---- what comes back undone

    def handed_back(self, cut: NotBegun) -> list[NodeId]:
        """Those that a cut node handed back, and that have to be staged again."""
        return [
            node
            for node in cut.nodes
            # Dask may make a node anew that was cut before, and lost with its worker.
            if node in self._out and self._cut_holding(cut, node) is not None
        ]

    def refused(self, cut: NotBegun) -> list[Event]:
        """What follows where a result is gone that Dask must not make again by itself."""
        events: list[Event] = []
        for node in cut.nodes:
            if node[0] in self._kinds.limited and node not in self._out:
                holding = self._cut_holding(cut, node)
                if holding is not None:
                    events += self.hand_back(holding, cut.worker, "its result was lost")
        return events

    def _cut_holding(self, cut: NotBegun, node: NodeId) -> Holding | None:
        """The Dask node that was cut, where it is the latest one with an execution."""
        holding = self.places.holding(node)
        return holding if holding is not None and holding.key[-1] == cut.number else None

    def set_aside(self, change: StateChange) -> bool:
        """Note that one came back undone; False where it was over before."""
        if change.node not in self._out:
            return False
        self._undone[change.node] = change
        return True

    def is_undone(self, node: NodeId) -> bool:
        """Whether one came back undone, and it is not known yet why."""
        return node in self._undone

    def stage_again(self, nodes: Sequence[NodeId]) -> None:
        """Stage those that were handed back, and those that came back undone because of that."""
        if not nodes and not (self._undone and self._moved):
            return
        self._moved.update(dict.fromkeys(nodes, HERE))
        nodes = [*nodes, *self._take_undone()]
        for node in nodes:
            self.places.forget(node)
            self.began.pop(node, None)
        self._restage(sorted(nodes, key=lambda each: each[:2]))

    def _take_undone(self) -> list[NodeId]:
        """Those that came back undone because one that they need was handed back by its own node."""
        moved: list[NodeId] = []
        for node in sorted(self._undone, key=lambda each: each[:2]):
            holding = self.places.holding(node)
            known = 0 if holding is None else holding.moves_before
            if any(self._moved.get(need, 0) > known for need in self._out[node].needs()):
                self._moved[node] = HERE
                del self._undone[node]
                moved.append(node)
        return moved

    def _restage(self, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            self._stage.end(node)
        self._stage.add([self._out[node] for node in nodes], self.places.is_over, self.alone)

    def give_up_undone(self) -> list[Event]:
        """Those that came back undone for another reason: who waits for something says when they run again.

        As long as one that they need is not told to be over, it may have been handed back itself.
        """
        known = [
            told
            for node, told in self._undone.items()
            if not any(need in self._out for need in self._out[node].needs())
        ]
        for told in known:
            self.end(told)
        return list(known)
