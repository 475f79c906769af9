"""Where the task runs of a flow find what they look at, and which of them look at one."""

from __future__ import annotations

from collections.abc import Iterator

from .graph import FlowGraph, Take
from .hand_over import Given, Source, Whole
from .state import Cached, Mapped, Pending, State
from .stream import without_result
from .task_runs import Position, TaskRuns
from .widths import Pick, flat_pick


class Sources:
    """Where the states lie that task runs look at: as values of nodes, or in the coordinating process.

    Args:
        graph: The flow.
        runs: What is known of its task runs.
    """

    def __init__(self, graph: FlowGraph, runs: TaskRuns) -> None:
        self._graph, self._runs = graph, runs
        #: States that did not come from a node of this run.
        self.given: dict[Position, Given] = {}
        self._given_count = 0

    def give(self, index: int, place: int, state: State) -> None:
        """Note a state that did not come from a node of this run; it is found here."""
        self.lay_out(index, place, state)
        # A Cached state is validated again.
        is_good = not isinstance(state, Cached)
        self._runs.set_state(index, self._runs.row(index, place), state, is_good=is_good)

    def give_parent(self, index: int, state: Mapped, width: int) -> None:
        """As `give`, for a mapped parent of so many children."""
        # Two of our own: the caller's stays as it is, and what travels is without the children.
        parent, bare = (Mapped(state.message, context=state.context) for _ in range(2))
        bare.width = parent.width = width
        bare.lengths = parent.lengths = state.lengths
        self.give(index, 0, parent)
        self.given[index, 0] = self.given[index, 0]._replace(state=bare)

    def lay_out(self, index: int, place: int, state: State) -> None:
        """Have a state found here, whatever a node makes of its task run."""
        self._given_count += 1
        self.given[index, place] = Given((index, place - 1, -self._given_count), state)

    def lay_out_for(self, index: int) -> None:
        """Have what a task looks at found here: it runs apart from what made that."""
        keyed = {edge.upstream_task.index for edge in self._graph.edges_to[index] if edge.key}
        for view in self._graph.views[index]:
            above = view.upstream
            for place in range(self._runs.child_count[above] + 1):
                state = self._runs.state(above, place - 1)
                if above not in keyed or isinstance(state, Mapped):
                    state = without_result(state)
                self.lay_out(above, place, state)

    def of(
        self, index: int, place: int, wholes: dict[int, Source | Whole | None]
    ) -> tuple[Source | Whole, ...] | None:
        """Where the states lie that a task run looks at; None where one of them will not be there."""
        sources: list[Source | Whole] = []
        for number, view in enumerate(self._graph.views[index]):
            above = view.upstream
            source: Source | Whole | None
            if not self._graph.is_mapped[above]:
                source = self._source(above, 0)
            elif place == 0 and self._graph.is_mapped[index] and view.take is not Take.FLAT:
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
        runs = self._runs
        row = runs.row_of(index, place - 1)
        if row is None:
            if index not in runs.width and runs.is_out[index]:
                return None  # how many children there are is still under way
            # A child that is not there: its parent was not mapped after all, and says why.
            row, place = index, 0
        if not runs.is_out[row]:
            if not runs.is_done[row]:
                return None
            if self.given:
                given = self.given.get((index, place))
                if given is not None:
                    return given
        return (index, place - 1, runs.generation[row])

    def _whole(self, index: int) -> Source | Whole | None:
        """A mapped task with all its children; None while one of them will not be there."""
        runs = self._runs
        if runs.missing[index] or (index not in runs.width and runs.is_out[index]):
            return None
        parent = self._source(index, 0)
        if parent is None:
            return None
        children = (self._source(index, place) for place in range(1, runs.child_count[index] + 1))
        return Whole(parent, tuple(child for child in children if child is not None))

    def picks(self, index: int, place: int) -> tuple[Pick, ...] | None:
        """Which item a child takes of each that it looks at; None where it takes all as they are."""
        picks: list[Pick] = []
        for number, view in enumerate(self._graph.views[index]):
            if view.take is Take.FLAT:
                picks.append(self._flat_pick(index, number, place))
            elif view.take is Take.ITEM and not self._graph.is_mapped[view.upstream]:
                picks.append(place - 1)
            else:
                picks.append(None)
        return tuple(picks) if any(pick is not None for pick in picks) else None

    def start(self, index: int, place: int) -> Source | None:
        """Where the state lies from which a task run goes on; None where it begins anew."""
        if self.given:
            given = self.given.get((index, place))
            if given is not None:
                return given
        row = self._runs.row(index, place)
        generation, state = self._runs.generation[row], self._runs.states[row]
        if generation and state is not None and type(state) is not Pending:
            # The execution before left there what the next one goes on from.
            return (index, place - 1, generation)
        return None

    def has_all_above(self, index: int, place: int) -> bool:
        """Whether all that a task run looks at is done."""
        is_done, is_mapped = self._runs.is_done, self._graph.is_mapped
        for number, view in enumerate(self._graph.views[index]):
            above = view.upstream
            if not is_mapped[above]:
                row: int | None = above
            elif place and view.take is Take.ITEM:
                row = self._runs.row_of(above, place - 1)
            elif place and view.take is Take.FLAT:
                row = self._runs.row_of(above, self._flat_pick(index, number, place)[0])
            elif self._runs.is_wholly_done(above):
                continue
            else:
                return False
            if not is_done[above if row is None else row]:
                return False
        return True

    def _flat_pick(self, index: int, view: int, place: int) -> tuple[int, int]:
        return flat_pick(self._runs.lengths[index][view], place - 1)

    def dependents(self, index: int, place: int) -> Iterator[Position]:
        """The task runs that look at one."""
        is_mapped = self._graph.is_mapped[index]
        for below in self._graph.downstream[index]:
            count = self._runs.child_count[below] + 1
            if not self._graph.is_mapped[below]:
                yield below, 0
                continue
            takes = {view.take for view in self._graph.views[below] if view.upstream == index}
            if is_mapped and takes == {Take.ITEM}:
                if place < count:
                    yield below, place
            else:
                for other in range(count):
                    yield below, other

    def hold_below(self, index: int, place: int) -> list[Position]:
        """What was handed over below comes back undone: its outcome does not count. Returns what that was."""
        stack = [(index, place)]
        held: list[Position] = []
        while stack:
            for below, other in self.dependents(*stack.pop()):
                row = self._runs.row(below, other)
                if self._runs.is_out[row]:
                    self._runs.set_out(below, row, is_out=False)
                    stack.append((below, other))
                    held.append((below, other))
        return held
