"""Which task runs can be handed over now: the book that a flow run keeps, without I/O or clock.

A first run, a retry whose time has come, a resumed pause, a map whose width became known and what lay below a crash
are all the same act: hand over what is unfinished and possible, from the states known so far (DESIGN D1, D2).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from . import clock
from .graph import FlowGraph, Take
from .hand_over import Given, HandOver, Source, Whole
from .state import NEVER, Cached, Mapped, Pending, Resume, Scheduled, State, is_lawful
from .stream import NodeId
from .task_runs import Flights, Slot, TaskRuns, chain_below, is_final
from .widths import Pick, flat_pick


class Book:
    """What is known of each task run of a flow run, and what follows from it.

    Args:
        graph: The flow.
        given: States to begin with, by task index; finished ones are taken as they are.
        widths: Of mapped tasks whose width is known before they run, by task index.
    """

    def __init__(
        self,
        graph: FlowGraph,
        given: Mapping[int, State] | None = None,
        widths: Mapping[int, int] | None = None,
    ) -> None:
        self.graph = graph
        given = {
            index: state
            for index, state in (given or {}).items()
            if not (graph.nodes[index].runs_anew and state.is_finished())
        }
        self.runs = [TaskRuns() for _ in graph.nodes]
        #: States that did not come from a node of this run.
        self.given: dict[Slot, Given] = {}
        self._given_count = 0
        self._due: list[tuple[float, int, int, int]] = []
        self._out_count = 0
        #: Mapped tasks whose width became known since `take_grown`.
        self._grown: set[int] = set()
        #: Per mapped task with a limit, its children between their start and the end of the chain of maps below.
        self._flights: dict[int, Flights] = {
            index: Flights(node.task.max_in_flight, chain_below(graph, index))
            for index, node in enumerate(graph.nodes)
            if graph.is_mapped[index] and node.task.max_in_flight is not None
        }
        for index, width in (widths or {}).items():
            if index not in given:
                self._grow(index, width)
        for index, state in given.items():
            self._give_tree(index, state)

    # ---- questions

    @property
    def out_count(self) -> int:
        """How many executions are under way whose outcome counts."""
        return self._out_count

    def state(self, index: int, map_index: int = -1) -> State:
        """The state of a task run."""
        return self.runs[index].states[map_index + 1]

    def task_states(self) -> list[State]:
        """The state of each task; those of mapped ones hold the children's."""
        return [self._task_state(runs) for runs in self.runs]

    def node_id(self, index: int, map_index: int = -1) -> NodeId:
        """The latest execution of a task run."""
        return (index, map_index, self.runs[index].generation[map_index + 1])

    def counts(self, node: NodeId) -> bool:
        """Whether the outcome of an execution still counts."""
        index, map_index, generation = node
        runs, place = self.runs[index], map_index + 1
        return (
            place < len(runs.states)
            and runs.generation[place] == generation
            and bool(runs.is_out[place])
        )

    def next_due(self) -> float | None:
        """When the next waiting task run is due, seconds since the epoch; None when none waits for a time."""
        while self._due:
            moment, index, place, generation = self._due[0]
            runs = self.runs[index]
            if (
                place < len(runs.states)
                and runs.generation[place] == generation
                and not runs.is_out[place]
            ):
                return moment
            heapq.heappop(self._due)
        return None

    def is_done(self, index: int, map_index: int = -1) -> bool:
        """Whether a task run needs no further execution."""
        state = self.state(index, map_index)
        if isinstance(state, Cached) and (index, map_index + 1) in self.given:
            return False  # validated again
        return is_final(state)

    def is_wholly_done(self, index: int) -> bool:
        """Whether a task and all its children need no further execution."""
        return self.runs[index].undone == 0

    def waiting(self, kind: type[State]) -> Iterator[tuple[int, int, State]]:
        """The task runs in a kind of state: task, map index, state."""
        for index, runs in enumerate(self.runs):
            for place, state in enumerate(runs.states):
                if isinstance(state, kind):
                    yield index, place - 1, state

    def is_settled(self, node: NodeId) -> bool:
        """Whether a node's task run is done, by this execution or another."""
        index, map_index, _ = node
        is_there = map_index + 1 < len(self.runs[index].states)
        return is_there and self.is_done(index, map_index)

    def needless_after(self, index: int, map_index: int) -> Iterator[tuple[int, int]]:
        """Of a task run that is done and those above it: which results nothing below needs any more.

        Yields:
            (task, map index).
        """
        if self._is_needless(index, map_index):
            yield index, map_index
        is_whole = self.is_wholly_done(index)
        for view in self.graph.views[index]:
            above = view.upstream
            if map_index >= 0 and view.take is Take.ITEM and self.graph.is_mapped[above]:
                each: Iterable[int] = (map_index,)
            elif is_whole:
                each = range(-1, len(self.runs[above].states) - 1)
            else:
                continue
            for other in each:
                if self._is_needless(above, other):
                    yield above, other

    def _is_needless(self, index: int, map_index: int) -> bool:
        if not self.is_done(index, map_index):
            return False
        for below in self.graph.downstream[index]:
            takes = {view.take for view in self.graph.views[below] if view.upstream == index}
            if self.graph.is_mapped[index] and map_index >= 0 and takes == {Take.ITEM}:
                runs = self.runs[below]
                if map_index + 1 >= len(runs.states) and runs.undone:
                    return False
                if map_index + 1 < len(runs.states) and not self.is_done(below, map_index):
                    return False
            elif not self.is_wholly_done(below):
                return False
        return True

    # ---- what comes in

    def accept(self, node: NodeId, state: State, *, is_over: bool) -> bool:
        """Note that an execution came to `state`.

        Returns:
            Whether that moved the task run; late, repeated and unlawful news do not.
        """
        if not self.counts(node):
            return False
        index, map_index, _ = node
        place, runs = map_index + 1, self.runs[index]
        old = runs.states[place]
        is_news = state is not old and not (type(state) is Pending and type(old) is Pending)
        if is_news and not is_lawful(type(old), type(state)):
            is_news = False
        if is_news:
            self.given.pop((index, place), None)
            self._set_state(index, place, state)
        if is_over:
            self._set_out(index, place, False)
            if not self.is_done(index, map_index):
                self._hold_below(index, place)
                self._plan(index, place)
            elif place:
                self._land(index, place)
            elif self.graph.is_mapped[index]:
                self._settle_parent(index)
        return is_news

    def lose(self, node: NodeId, message: str) -> State | None:
        """Note that the worker of an execution died and another one takes it up.

        Returns:
            The state that tells of it, or None where the execution does not count any more.
        """
        if not self.counts(node):
            return None
        state = Pending(message)
        self._set_state(node[0], node[1] + 1, state)
        return state

    def hand_back(self, node: NodeId, message: str) -> State | None:
        """Note that an execution, also one that was over, left nothing behind; it has to be handed over again.

        Returns:
            The state that tells of it, or None where the execution does not count any more.
        """
        index, map_index, generation = node
        place, runs = map_index + 1, self.runs[index]
        if place >= len(runs.states) or runs.generation[place] != generation:
            return None
        if not runs.is_out[place] and not self.is_done(index, map_index):
            return None  # held by something else, and handed over with that
        self._set_out(index, place, False)
        self._set_state(index, place, Pending(message))
        self._hold_below(index, place)
        return runs.states[place]

    def crash(self, node: NodeId, state: State) -> bool:
        """Note that an execution was given up; what lies below must be handed over anew.

        Returns:
            Whether that execution still counted.
        """
        if not self.counts(node):
            return False
        index, place = node[0], node[1] + 1
        self._give(index, place, state)
        self._set_out(index, place, False)
        self._hold_below(index, place)
        if place:
            self._land(index, place)
        elif self.graph.is_mapped[index]:
            self._settle_parent(index)
        return True

    def cancel(self, index: int, map_index: int, state: State) -> None:
        """Note that a task run was stopped."""
        self._set_state(index, map_index + 1, state)

    def resume(self, index: int, map_index: int = -1) -> None:
        """Let a paused task run go on: it is due now."""
        state = self.state(index, map_index)
        self._give(index, map_index + 1, Resume("resumed", context=state.context))

    # ---- what goes out

    def take_all(self, now: float) -> list[HandOver]:
        """What can be handed over at the beginning of a run."""
        for index, place in self.given:
            self._plan(index, place)
        self._grown.clear()
        return self._take_tasks(range(len(self.graph)), now)

    def take_due(self, now: float) -> list[HandOver]:
        """What can be handed over because its time has come by `now`."""
        due: set[Slot] = set()
        while (moment := self.next_due()) is not None and moment <= now:
            _, index, place, _ = heapq.heappop(self._due)
            due.add((index, place))
        return self._take_slots(due, now)

    def take_grown(self, now: float) -> list[HandOver]:
        """What can be handed over because the width of a map became known."""
        grown, self._grown = self._grown, set()
        return self._take_tasks(sorted({*grown, *self.graph.below(grown)}), now) if grown else []

    def take_from(self, runs: Iterable[tuple[int, int]], now: float) -> list[HandOver]:
        """What can be handed over of these task runs (task, map index) and below them."""
        return self._take_slots({(index, map_index + 1) for index, map_index in runs}, now)

    def _take_slots(self, slots: set[Slot], now: float) -> list[HandOver]:
        candidates, stack = set(slots), list(slots)
        while stack:
            for slot in self._dependents(*stack.pop()):
                if slot not in candidates:
                    index, place = slot
                    if not self.runs[index].is_out[place] and not self.is_done(index, place - 1):
                        candidates.add(slot)
                        stack.append(slot)
        return self._take(sorted(candidates), now)

    def _take_tasks(self, indices: Iterable[int], now: float) -> list[HandOver]:
        slots = (
            (index, place) for index in indices for place in range(len(self.runs[index].states))
        )
        return self._take(slots, now)

    def take_freed(self, now: float) -> list[HandOver]:
        """What can be handed over because others are out of flight."""
        freed: set[Slot] = set()
        for index, flights in self._flights.items():
            for _ in range(flights.limit - len(flights.places)):
                if flights.held_back:
                    freed.add((index, flights.held_back.popleft()))
        return self._take_slots(freed, now) if freed else []

    def _must_hold_back(self, index: int, place: int) -> bool:
        flights = self._flights.get(index)
        if flights is None or place == 0 or place in flights.places:
            return False
        if len(flights.places) >= flights.limit:
            flights.held_back.append(place)
            return True
        flights.places.add(place)
        return False

    def _land(self, index: int, place: int) -> None:
        """A child is done: it, or one that it is made from, may be out of flight."""
        for flights in self._flights.values():
            if place in flights.places and index in flights.chain:
                runs = [self.runs[below] for below in flights.chain]
                if all(
                    (place >= len(each.states) and each.undone == 0)
                    or (place < len(each.states) and is_final(each.states[place]))
                    for each in runs
                ):
                    flights.places.discard(place)

    def _take(self, slots: Iterable[Slot], now: float) -> list[HandOver]:
        """Those of `slots`, in order, that can be handed over now."""
        taken: list[HandOver] = []
        wholes: dict[int, Source | Whole | None] = {}
        for index, place in slots:
            runs = self.runs[index]
            if (
                runs.is_out[place]
                or self.is_done(index, place - 1)
                or self._waits(index, place, now)
            ):
                continue
            sources = self._sources(index, place, wholes)
            if sources is None or self._must_hold_back(index, place):
                continue
            start = self._start(index, place)
            runs.generation[place] += 1
            self._set_out(index, place, True)
            node = (index, place - 1, runs.generation[place])
            taken.append(HandOver(node, start, now, sources, self._picks(index, place)))
        return taken

    # ---- where a task run finds what it looks at

    def _sources(
        self, index: int, place: int, wholes: dict[int, Source | Whole | None]
    ) -> tuple[Source | Whole, ...] | None:
        """Where the states lie that a task run looks at; None where one of them will not be there."""
        sources: list[Source | Whole] = []
        for number, view in enumerate(self.graph.views[index]):
            above = view.upstream
            source: Source | Whole | None
            if not self.graph.is_mapped[above]:
                source = self._source(above, 0)
            elif place == 0 and self.graph.is_mapped[index] and view.take is not Take.FLAT:
                # A mapped parent asks how many there are, not for what they are.
                source = self._source(above, 0)
            elif place and view.take is Take.ITEM:
                source = self._source(above, place)
            elif place and view.take is Take.FLAT:
                source = self._source(above, self._flat_pick(index, number, place)[0] + 1)
            else:
                if above not in wholes:
                    wholes[above] = self._whole(above)
                source = wholes[above]
            if source is None:
                return None
            sources.append(source)
        return tuple(sources)

    def _source(self, index: int, place: int) -> Source | None:
        runs = self.runs[index]
        if place >= len(runs.states):
            # A child that is not there: its parent was not mapped after all, and says why.
            place = 0
        if not runs.is_out[place]:
            if not self.is_done(index, place - 1):
                return None
            given = self.given.get((index, place))
            if given is not None:
                return given
        return (index, place - 1, runs.generation[place])

    def _whole(self, index: int) -> Source | Whole | None:
        """A mapped task with all its children; None while one of them will not be there."""
        runs = self.runs[index]
        if runs.missing or (runs.width is None and runs.is_out[0]):
            return None
        parent = self._source(index, 0)
        if parent is None:
            return None
        children = (self._source(index, place) for place in range(1, len(runs.states)))
        return Whole(parent, tuple(child for child in children if child is not None))

    def _picks(self, index: int, place: int) -> tuple[Pick, ...] | None:
        if place == 0:
            return None
        views = self.graph.views[index]
        picks: list[Pick] = []
        for number, view in enumerate(views):
            if view.take is Take.FLAT:
                picks.append(self._flat_pick(index, number, place))
            elif view.take is Take.ITEM and not self.graph.is_mapped[view.upstream]:
                picks.append(place - 1)
            else:
                picks.append(None)
        return tuple(picks) if any(pick is not None for pick in picks) else None

    def _flat_pick(self, index: int, view: int, place: int) -> tuple[int, int]:
        return flat_pick(self.runs[index].lengths[view], place - 1)

    def _dependents(self, index: int, place: int) -> Iterator[Slot]:
        """The task runs that look at one."""
        is_mapped = self.graph.is_mapped[index]
        for below in self.graph.downstream[index]:
            count = len(self.runs[below].states)
            if not self.graph.is_mapped[below]:
                yield below, 0
                continue
            takes = {view.take for view in self.graph.views[below] if view.upstream == index}
            if is_mapped and takes == {Take.ITEM}:
                if place < count:
                    yield below, place
            else:
                for other in range(count):
                    yield below, other

    # ---- inside

    @staticmethod
    def _task_state(runs: TaskRuns) -> State:
        state, children = runs.states[0], runs.states[1:]
        if isinstance(state, Mapped) or all(type(child) is Pending for child in children):
            return state
        # A run that ended in the middle: children whose number was known beforehand may be ahead of the parent.
        return Mapped("Some children have begun.", map_states=children, context=state.context)

    def _grow(self, index: int, width: int, lengths: Mapping[int, list[int]] | None = None) -> None:
        runs = self.runs[index]
        runs.add(width - (len(runs.states) - 1))
        runs.width = width
        runs.lengths = {view: list(accumulate(each)) for view, each in (lengths or {}).items()}
        self._grown.add(index)

    def _settle_parent(self, index: int) -> None:
        """A mapped parent is over: its children come into being, or there are none."""
        runs = self.runs[index]
        parent = runs.states[0]
        if not isinstance(parent, Mapped):
            for place in range(1, len(runs.states)):
                self._set_out(index, place, False)
            runs.cut()
            # What waited for its width goes on without one.
            self._grown.add(index)
        else:
            if runs.width is None:
                self._grow(index, parent.width, parent.lengths)
            parent.map_states = runs.states[1:]

    def _set_state(self, index: int, place: int, state: State) -> None:
        runs = self.runs[index]
        was_done, was_there = self.is_done(index, place - 1), self._is_there(index, place)
        runs.states[place] = state
        if place:
            parent = runs.states[0]
            if isinstance(parent, Mapped) and len(parent.map_states) >= place:
                parent.map_states[place - 1] = state
        runs.undone += was_done - self.is_done(index, place - 1)
        runs.missing += was_there - self._is_there(index, place)

    def _set_out(self, index: int, place: int, is_out: bool) -> None:
        runs = self.runs[index]
        if runs.is_out[place] != is_out:
            was_there = self._is_there(index, place)
            runs.is_out[place] = is_out
            self._out_count += 1 if is_out else -1
            runs.missing += was_there - self._is_there(index, place)

    def _is_there(self, index: int, place: int) -> bool:
        """Whether a state is final, or will be told by what is under way."""
        return bool(self.runs[index].is_out[place]) or self.is_done(index, place - 1)

    def _give(self, index: int, place: int, state: State) -> None:
        self._given_count += 1
        self.given.pop((index, place), None)
        self._set_state(index, place, state)
        was_done = self.is_done(index, place - 1)
        self.given[index, place] = Given((index, place - 1, -self._given_count), state)
        # A given Cached state is no longer done once it is known to be given.
        runs = self.runs[index]
        changed = was_done - self.is_done(index, place - 1)
        runs.undone += changed
        runs.missing += changed

    def _give_tree(self, index: int, state: State) -> None:
        if not isinstance(state, Mapped) or not self.graph.is_mapped[index]:
            self._give(index, 0, state)
            return
        self._grow(index, len(state.map_states))
        # Two of our own: the caller's stays as it is, and what travels is without the children.
        parent, bare = (Mapped(state.message, context=state.context) for _ in range(2))
        bare.width = parent.width = len(state.map_states)
        parent.map_states = list(state.map_states)
        self._give(index, 0, parent)
        self.given[index, 0] = self.given[index, 0]._replace(state=bare)
        for place, child in enumerate(state.map_states, start=1):
            self._give(index, place, child)

    def _start(self, index: int, place: int) -> Source | None:
        given = self.given.get((index, place))
        if given is not None:
            return given
        runs = self.runs[index]
        if runs.generation[place] and type(runs.states[place]) is not Pending:
            # The execution before left there what the next one goes on from.
            return (index, place - 1, runs.generation[place])
        return None

    def _waits(self, index: int, place: int, now: float) -> bool:
        state = self.runs[index].states[place]
        return (
            isinstance(state, Scheduled)
            and not isinstance(state, Resume)
            and clock.to_seconds(state.start_time) > now
        )

    def _plan(self, index: int, place: int) -> None:
        state = self.runs[index].states[place]
        if isinstance(state, Scheduled) and state.start_time < NEVER:
            moment = clock.to_seconds(state.start_time)
            heapq.heappush(self._due, (moment, index, place, self.runs[index].generation[place]))

    def _hold_below(self, index: int, place: int) -> None:
        """What was handed over below comes back undone: its outcome does not count."""
        stack = [(index, place)]
        while stack:
            for below, other in self._dependents(*stack.pop()):
                if self.runs[below].is_out[other]:
                    self._set_out(below, other, False)
                    stack.append((below, other))
