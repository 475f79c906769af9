"""What is known of each task run of a flow run, in columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeAlias

from . import clock
from .folded import ChildStates, Folded
from .state import Finished, LazyResult, Looped, Mapped, Pending, Retrying, State, Success, state_at
from .stream import NodeId

#: Where a task run stands: index of the task, and its place among the task's runs (0: the task itself or the mapped
#: parent, i + 1: child i).
Position: TypeAlias = tuple[int, int]


class TaskRuns:
    """What is known of each task run of a flow, in columns, with a row for each.

    Row i is that of task i itself, or of the mapped parent. The rows of its children lie side by side, below all
    that were there when their number became known.

    Args:
        count: How many tasks there are.
        attempts: Of the task runs that are not at their first attempt, at which, by (task, map index); who hears
            of attempts keeps it up to date.
    """

    __slots__ = (
        "_attempts",
        "_began",
        "_task_count",
        "child_count",
        "first_child",
        "folded",
        "generation",
        "is_done",
        "is_out",
        "lengths",
        "missing",
        "out_count",
        "states",
        "undone",
        "width",
    )

    def __init__(self, count: int, attempts: Mapping[tuple[int, int], int] | None = None) -> None:
        self._task_count, self._began = count, clock.now()
        self._attempts = {} if attempts is None else attempts
        #: The state; None where nothing has happened yet, and where it is folded. `state` is for who looks.
        self.states: list[State | None] = [None] * count
        self.folded = Folded(count)
        #: How often each was handed over.
        self.generation = array("l", bytes(count * array("l").itemsize))
        #: Whether an execution is under way whose outcome counts.
        self.is_out = bytearray(count)
        #: Whether no further execution is needed.
        self.is_done = bytearray(count)
        #: How many executions are under way whose outcome counts.
        self.out_count = 0

        # Per task:
        self.first_child = [0] * count
        self.child_count = [0] * count
        #: How many children are not done, and how many are neither done nor under way.
        self.undone = [0] * count
        self.missing = [0] * count
        #: How many children there are; not in here before that is known, and where the task is not mapped.
        self.width: dict[int, int] = {}
        #: Per view that is flattened: how long each of its lists is, summed up.
        self.lengths: dict[int, dict[int, list[int]]] = {}

    def row(self, index: int, place: int) -> int:
        """The row of a task run that is there."""
        return index if place == 0 else self.first_child[index] + place - 1

    def row_of(self, index: int, map_index: int) -> int | None:
        """The row of a task run; None where there is no such child."""
        if map_index < 0:
            return index
        return self.first_child[index] + map_index if map_index < self.child_count[index] else None

    def state(self, index: int, map_index: int = -1) -> State:
        """The state of a task run."""
        row = self.row(index, map_index + 1)
        state = self.states[row]
        if state is None:
            if self.folded.has(row):
                state = self.folded.unfold(row, (index, map_index, self.generation[row]))
            else:
                state = state_at(Pending, self._began)
            self.states[row] = state
        return state

    def node_id(self, index: int, map_index: int = -1) -> NodeId:
        """The latest execution of a task run."""
        return (index, map_index, self.generation[self.row(index, map_index + 1)])

    def counts(self, node: NodeId) -> bool:
        """Whether the outcome of an execution still counts."""
        index, map_index, generation = node
        row = self.row_of(index, map_index)
        return row is not None and self.generation[row] == generation and bool(self.is_out[row])

    def is_settled(self, node: NodeId) -> bool:
        """Whether a node's task run is done, by this execution or another."""
        row = self.row_of(node[0], node[1])
        return row is not None and bool(self.is_done[row])

    def in_state(self, kind: type[State]) -> Iterator[tuple[int, int, State]]:
        """The task runs in a kind of state: task, map index, state."""
        for index in range(self._task_count):
            state = self.states[index]
            if isinstance(state, kind):
                yield index, -1, state
            for child in range(self.child_count[index]):
                state = self.states[self.first_child[index] + child]
                if isinstance(state, kind):
                    yield index, child, state

    def attempt_to_come(self, index: int, map_index: int) -> int:
        """At which attempt the next execution of a task run is; of one that is under way, at which that is."""
        state = self.state(index, map_index)
        if isinstance(state, Retrying):
            return (state.run_count or 0) + 1
        if type(state._context) is dict and "task_run_count" in state._context:
            return int(state._context["task_run_count"])
        return self._attempts.get((index, map_index), 1)

    def task_states(self) -> list[State]:
        """The state of each task; those of mapped ones hold the children's."""
        return [self._task_state(index) for index in range(self._task_count)]

    def _task_state(self, index: int) -> State:
        state = self.state(index)
        if not self.child_count[index]:
            return state
        children = self.children(index)
        if isinstance(state, Mapped):
            state.map_states = children
        elif any(type(child) is not Pending for child in children):
            # A run that ended in the middle: children whose number was known beforehand may be ahead of the
            # parent.
            state = Mapped("Some children have begun.", context=state.context)
            state.map_states, state.width = children, len(children)
        return state

    def is_wholly_done(self, index: int) -> bool:
        """Whether a task and all its children need no further execution."""
        return bool(self.is_done[index]) and self.undone[index] == 0

    def children(self, index: int) -> ChildStates:
        """The states of the children of a task."""
        return ChildStates(
            self.child_count[index], partial(self.state, index), partial(self._not_folded, index)
        )

    def _not_folded(self, index: int) -> Iterator[int]:
        first = self.first_child[index]
        return (i for i in range(self.child_count[index]) if not self.folded.has(first + i))

    def fold(self, index: int, map_index: int, state: State) -> None:
        """Hold the state of a child, just accepted, in columns, where it is done and one of those that can be."""
        row = self.row(index, map_index + 1)
        if self.is_done[row] and self.states[row] is state and self.folded.fold(row, state):
            self.states[row] = None

    def let_go(self, index: int, map_index: int, instead: LazyResult) -> None:
        """Have the result of a task run, which is not kept, told by `instead`."""
        row = self.row(index, map_index + 1)
        state = self.states[row]
        if state is not None:
            state._lazy, state._result = instead, None
        elif self.folded.has(row):
            self.folded.let_go(row, instead)

    def grow(self, index: int, count: int) -> None:
        """Give a task so many children."""
        self.first_child[index], self.child_count[index] = len(self.states), count
        self.undone[index] = self.missing[index] = count
        self.width[index] = count
        self.states += [None] * count
        self.folded.grow(count)
        self.generation.frombytes(bytes(count * self.generation.itemsize))
        self.is_out += bytes(count)
        self.is_done += bytes(count)

    def cut(self, index: int) -> None:
        """Take the children of a task away; none of them is under way."""
        first, count = self.first_child[index], self.child_count[index]
        self.states[first : first + count] = [None] * count
        self.folded.forget(first, count)
        self.child_count[index] = self.undone[index] = self.missing[index] = 0
        self.width.pop(index, None)
        self.lengths.pop(index, None)

    def set_state(self, index: int, row: int, state: State, *, is_good: bool = True) -> None:
        """Note the state of a task run.

        Args:
            index: Its task.
            row: Its row.
            state: The state.
            is_good: Whether it may be taken for the last one where it is final.
        """
        self.states[row] = state
        if self.is_done[row]:
            self.folded.forget(row)
        is_done = is_good and is_final(state)
        if is_done != self.is_done[row]:
            self.is_done[row] = is_done
            if row >= self._task_count:
                change = -1 if is_done else 1
                self.undone[index] += change
                if not self.is_out[row]:
                    self.missing[index] += change

    def finish(self, index: int, row: int, state: Success) -> None:
        """Note that an execution under way that counts came to plain success: most do, so it is one call."""
        self.states[row] = state
        self.is_out[row] = 0
        self.out_count -= 1
        self.is_done[row] = 1
        if row >= self._task_count:
            self.undone[index] -= 1

    def set_out(self, index: int, row: int, *, is_out: bool) -> None:
        """Note whether an execution of a task run is under way that counts."""
        if is_out != self.is_out[row]:
            self.is_out[row] = is_out
            self.out_count += 1 if is_out else -1
            if row >= self._task_count and not self.is_done[row]:
                self.missing[index] += -1 if is_out else 1


def is_final(state: State) -> bool:
    """Whether a state is the last one of its run."""
    return type(state) is Success or (isinstance(state, Finished) and not isinstance(state, Looped))
