"""Which task runs can be handed over now: the book that a flow run keeps, without I/O or clock.

A first run, a retry whose time has come, a resumed pause, a map whose width became known and what lay below a crash
are all the same act: hand over what is unfinished and possible, from the states known so far (DESIGN D1, D2).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from .columns import runs_in_order
from .due_times import DueTimes, waits
from .graph import Edge, FlowGraph
from .hand_over import HandOver, Source, Whole
from .in_flight import InFlight
from .lawful import is_lawful
from .losses import Losses
from .sources import Sources
from .state import Mapped, Pending, Resume, Running, Skipped, State, Success
from .stream import NodeId
from .task_runs import Position, TaskRuns
from .wanted_slots import WantedSlots

#: No bound to how much is taken.
EVERYTHING = sys.maxsize


class Book:
    """What is known of each task run of a flow run, and what follows from it.

    Args:
        graph: The flow.
        given: States to begin with, by task index; finished ones are taken as they are.
        widths: From the widths of mapped tasks that are known, by task index, those that follow from them; the
            known ones are among these.
        attempts: Of the task runs that are not at their first attempt, at which, by (task, map index); who hears
            of attempts keeps it up to date.
    """

    def __init__(
        self,
        graph: FlowGraph,
        given: Mapping[int, State] | None = None,
        widths: Callable[[Mapping[int, int]], Mapping[int, int]] | None = None,
        attempts: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        self.graph = graph
        given = {
            index: state
            for index, state in (given or {}).items()
            if not (graph.nodes[index].runs_anew and state.is_finished())
        }
        #: What is known of each task run.
        self.runs = TaskRuns(len(graph), attempts)
        #: Where they find what they look at.
        self.sources = Sources(graph, self.runs)
        #: When those go on that wait for a time.
        self.due_times = DueTimes(self.runs)
        #: What has to run again where something is lost.
        self.losses = Losses(self.runs, self.sources)
        #: Task runs that were not looked at yet, for want of room.
        self._rest: deque[Iterator[Position]] = deque()
        #: Mapped tasks whose width became known since `take_grown`.
        self._grown: set[int] = set()
        #: Those that wait for a slot of a concurrency limit.
        self.wanted_slots = WantedSlots(graph, self.runs, self.sources, frozenset())
        #: Whether `_have_ended` must hear of the success of a task's runs.
        self._must_hear: Sequence[bool] = graph.is_mapped
        self._widths = widths
        self._given_tasks = frozenset(given)
        for index, state in given.items():
            self._give_tree(index, state)
        self._grow_known()
        self.losses.resumed.update(
            position
            for position, each in self.sources.given.items()
            if isinstance(each.state, Resume)
        )
        self._in_flight = InFlight(graph, self.runs, self.sources.given)
        #: Whether anything is asked before a task run is handed over whose time has come.
        self._holds_back = self._in_flight.is_limited

    # ---- what comes in

    def accept(
        self, node: NodeId, state: State, *, is_over: bool, began: float | None = None
    ) -> int:
        """Note that an execution came to `state`.

        Args:
            node: The execution.
            state: What it came to.
            is_over: Whether nothing more comes of it.
            began: Since when it had been Running, where nobody told yet.

        Returns:
            How many moves of the task run that were: 2 where it became Running first, and that is news; 0 for
            news that is late, repeated or unlawful.
        """
        index, map_index, generation = node
        runs = self.runs
        row = index if map_index < 0 else runs.row_of(index, map_index)
        if row is None or runs.generation[row] != generation or not runs.is_out[row]:
            return 0
        old = runs.states[row]
        kinds = (Pending if old is None else type(old), type(state), began is not None)
        moves = _known_moves.get(kinds)
        if moves is None:
            moves = _known_moves[kinds] = _moves(*kinds)
        if state is old:
            moves = 0
        if moves:
            if self.sources.given:
                self.sources.given.pop((index, map_index + 1), None)
            if is_over and type(state) is Success:
                runs.finish(index, row, state)
                if self._must_hear[index]:
                    self._have_ended(index, map_index)
                return moves
            runs.set_state(index, row, state)
        if is_over:
            if type(state) is not Pending:
                self.losses.resumed.discard((index, map_index + 1))
            runs.set_out(index, row, is_out=False)
            if runs.is_done[row]:
                self._have_ended(index, map_index)
            else:
                self.sources.hold_below(index, map_index + 1)
                self.due_times.plan(index, map_index + 1)
        return moves

    def _have_ended(self, index: int, map_index: int) -> None:
        """What follows where a task run is done."""
        if index in self.wanted_slots.above:
            self.wanted_slots.note_done(index, map_index + 1)
        if map_index >= 0:
            if self._in_flight.is_limited:
                self._in_flight.land(index, map_index + 1)
        elif self.graph.is_mapped[index]:
            self._settle_parent(index)

    def crash(self, node: NodeId, state: State) -> bool:
        """Note that an execution was given up; what lies below must be handed over anew.

        Returns:
            Whether that execution still counted.
        """
        if not self.runs.counts(node):
            return False
        index, place = node[0], node[1] + 1
        self.sources.give(index, place, state)
        self.runs.set_out(index, self.runs.row(index, place), is_out=False)
        self.sources.hold_below(index, place)
        self._have_ended(index, place - 1)
        return True

    def resume(self, index: int, map_index: int = -1) -> None:
        """Let a paused task run go on: it is due now."""
        state = self.runs.state(index, map_index)
        self.losses.resumed.add((index, map_index + 1))
        self.sources.give(index, map_index + 1, Resume("resumed", context=state.context))

    def limit(self, tasks: frozenset[int]) -> None:
        """Have each run of some tasks wait for a slot, before anything is handed over."""
        self.wanted_slots = WantedSlots(self.graph, self.runs, self.sources, tasks)
        self._holds_back = True
        self._must_hear = [
            is_mapped or index in self.wanted_slots.above
            for index, is_mapped in enumerate(self.graph.is_mapped)
        ]

    def forget_plans(self) -> None:
        """Hand nothing over any more but what is asked for from here on."""
        self.due_times.forget()
        self._rest.clear()
        self._grown.clear()
        self._in_flight.lift()
        self.wanted_slots.forget()

    # ---- what goes out

    def take_all(self, now: float, most: int = EVERYTHING) -> list[HandOver]:
        """What can be handed over at the beginning of a run; `take_more` gives what is beyond `most`."""
        for index, place in self.sources.given:
            self.due_times.plan(index, place)
        self._grown.clear()
        return self._take_tasks(range(len(self.graph)), now, most)

    @property
    def has_more(self) -> bool:
        """Whether `take_more` may give something."""
        return bool(self._rest)

    def take_more(self, now: float, most: int = EVERYTHING) -> list[HandOver]:
        """What can be handed over of that for which there was no room before."""
        taken: list[HandOver] = []
        while self._rest and len(taken) < most:
            part = self._take(self._rest[0], now, most - len(taken))
            taken += part
            if len(taken) < most:
                self._rest.popleft()
        return taken

    def take_due(self, now: float) -> list[HandOver]:
        """What can be handed over because its time has come by `now`."""
        return self._take_at(self.due_times.take(now), now)

    def take_grown(self, now: float, most: int = EVERYTHING) -> list[HandOver]:
        """What can be handed over because the width of a map became known; see `take_all`."""
        grown, self._grown = self._grown, set()
        if not grown:
            return []
        return self._take_tasks(sorted({*grown, *self.graph.below(grown)}), now, most)

    def take_from(self, runs: Iterable[tuple[int, int]], now: float) -> list[HandOver]:
        """What can be handed over of these task runs (task, map index) and below them."""
        return self._take_at({(index, map_index + 1) for index, map_index in runs}, now)

    def _take_at(self, positions: set[Position], now: float) -> list[HandOver]:
        candidates, stack = set(positions), list(positions)
        while stack:
            for position in self.sources.dependents(*stack.pop()):
                if position not in candidates:
                    row = self.runs.row(*position)
                    if not self.runs.is_out[row] and not self.runs.is_done[row]:
                        candidates.add(position)
                        stack.append(position)
        return self._take(sorted(candidates), now)

    def _take_tasks(self, indices: Iterable[int], now: float, most: int) -> list[HandOver]:
        # What comes new stands nearer to its end than what waits for room.
        self._rest.appendleft(runs_in_order(self.graph, indices, self.runs.child_count))
        return self.take_more(now, most)

    def take_freed(self, now: float) -> list[HandOver]:
        """What can be handed over because others are out of flight, or done so that it can ask for a slot."""
        freed = self._in_flight.take_freed() | self.wanted_slots.take_freed()
        return self._take_at(freed, now) if freed else []

    def take_granted(
        self, nodes: Sequence[NodeId], now: float
    ) -> tuple[list[HandOver], list[NodeId]]:
        """What can be handed over because executions have their slot, and which of these need none any more."""
        with self.wanted_slots.granted(nodes) as positions:
            plan = self._take_at(positions, now)
        taken = {item.node for item in plan}
        return plan, [node for node in nodes if node not in taken]

    def _must_hold_back(self, index: int, place: int) -> bool:
        """Whether a task run waits until others have landed, or for a slot."""
        return self._in_flight.holds_back(index, place) or self.wanted_slots.holds_back(
            index, place
        )

    def _take(
        self, positions: Iterable[Position], now: float, most: int = EVERYTHING
    ) -> list[HandOver]:
        """Those that can be handed over now, in order; `most` of an iterator leave the rest in it."""
        taken: list[HandOver] = []
        wholes: dict[int, Source | Whole | None] = {}
        runs, views, find = self.runs, self.graph.views, self.sources
        given = find.given
        for index, place in positions:
            if place > runs.child_count[index]:
                continue  # taken away meanwhile
            row = runs.row(index, place) if place else index
            if runs.is_out[row] or runs.is_done[row]:
                continue
            state = runs.states[row]
            if state is not None and waits(state, now):
                continue
            sources = find.of(index, place, wholes) if views[index] else ()
            if sources is None or (self._holds_back and self._must_hold_back(index, place)):
                continue
            generation = runs.generation[row] + 1
            start = find.start(index, place) if generation > 1 or given else None
            runs.generation[row] = generation
            runs.set_out(index, row, is_out=True)
            node = (index, place - 1, generation)
            taken.append(
                HandOver(node, start, now, sources, find.picks(index, place) if place else None)
            )
            if len(taken) == most:
                break
        return taken

    # ---- inside

    def _grow(self, index: int, width: int, lengths: Mapping[int, list[int]] | None = None) -> None:
        self.runs.grow(index, width)
        if lengths:
            self.runs.lengths[index] = {
                view: list(accumulate(each)) for view, each in lengths.items()
            }
        self._grown.add(index)

    def _settle_parent(self, index: int) -> None:
        """A mapped parent is over: its children come into being, or there are none."""
        runs = self.runs
        parent = runs.states[index]
        if not isinstance(parent, Mapped):
            for place in range(1, runs.child_count[index] + 1):
                runs.set_out(index, runs.row(index, place), is_out=False)
            runs.cut(index)
            # What waited for its width goes on without one.
            self._grown.add(index)
        elif index not in runs.width:
            self._grow(index, parent.width, parent.lengths)
            self._grow_known()

    def _grow_known(self) -> None:
        """Give children to the mapped tasks whose width follows from what is known."""
        if self._widths is None:
            return
        for index, width in self._widths(self.runs.width).items():
            is_open = index not in self.runs.width and not self.runs.is_done[index]
            if is_open and index not in self._given_tasks and self._will_be_mapped(index):
                self._grow(index, width)

    def _will_be_mapped(self, index: int) -> bool:
        """Whether a mapped task of known width becomes Mapped for certain.

        Where it may be skipped, fail, or be stopped by its handlers, none of its children may begin before it.
        """
        task, edges = self.graph.nodes[index].task, self.graph.edges_to[index]
        return not task.state_handlers and all(
            self._lets_map(edge, may_skip=task.skip_on_upstream_skip) for edge in edges
        )

    def _lets_map(self, edge: Edge, *, may_skip: bool) -> bool:
        """Whether for certain a mapped task is neither skipped nor fails because of one above."""
        above = edge.upstream_task.index
        if self.graph.is_mapped[above]:
            return above in self.runs.width
        if self.graph.nodes[above].is_known and above not in self._given_tasks:
            return True
        if edge.mapped:
            return False
        state = self.runs.states[above] if self.runs.is_done[above] else None
        return not may_skip or not (state is None or isinstance(state, Skipped))

    def _give_tree(self, index: int, state: State) -> None:
        if not isinstance(state, Mapped) or not self.graph.is_mapped[index]:
            self.sources.give(index, 0, state)
            return
        self._grow(index, len(state.map_states), state.lengths)
        self.sources.give_parent(index, state, len(state.map_states))
        for place, child in enumerate(state.map_states, start=1):
            if type(child) is not Pending or child._context:  # else nothing happened yet
                self.sources.give(index, place, child)


def _moves(old: type[State], new: type[State], has_run: bool) -> int:
    """How many lawful moves lead from one kind of state to a new one; `has_run`: it was Running in between."""
    if new is Pending and old is Pending:
        return 0
    if has_run and old is not Running and is_lawful(old, Running):
        return 2 * is_lawful(Running, new)
    return int(is_lawful(old, new))


#: The answers of `_moves` until now.
_known_moves: dict[tuple[type[State], type[State], bool], int] = {}
