"""What a Dask node does: takes its task runs through their columns of checks, one after the other.

A node that takes long is cut: what has not begun is handed back, to be run by another one.
"""

from __future__ import annotations

import pickle
import threading
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from . import clock
from .collector import APART_SECONDS, CollectorHeld
from .node import (
    HostedRun,
    RunNotHosted,
    RunUnanswered,
    Unanswered,
    hosted,
    opened,
    whole_state,
)
from .state import Pending, State
from .stream import NodeId, NotBegun, without_result
from .task_runs import is_final
from .timeouts import BodyStopped
from .widths import Pick

CUT_SECONDS: Final = 1.0
"""After how long a node begins no other chain, and hands back those that are left."""

BATCH_CUT_SECONDS: Final = 0.5
"""The same for a node of several chains, which was meant to take two fifths of it."""

CUT_BYTES: Final = 64 * 2**20
"""The same for the size of the results: the value of a node moves as one, also to whom needs one result of it."""

SLOW_SECONDS: Final = 0.4
"""For how long a task run may keep others of its node waiting. With what it takes to see that, and to hand
them over again, none waits for longer than a second."""

STOPPED: Final = "it was stopped on its worker"
"""Why a member begins once more that was stopped after others of its node had come to their end."""

MANY: Final = 20
"""From so many members on, a node holds the collector of cycles back."""

HELD_SECONDS: Final = 0.1
"""For how long from its beginning it does so, at most. On a worker with all of Dask a full collection takes
50 ms."""

COMPRESS_FROM_BYTES: Final = 500
"""From so many bytes on, what a node is told travels compressed."""

#: With what a pickle begins, and nothing compressed does.
PICKLE_MARK: Final = pickle.dumps(None)[:1]

#: Types whose values need not be measured.
SMALL: Final = frozenset({type(None), bool, int, float})

#: Where a state lies: an argument; an item of an argument's list; with argument -1, of this node's own states.
Look: TypeAlias = "int | tuple[int, int]"


class Care(IntEnum):
    """How a node is run, after workers died that had its task run."""

    NONE = 0
    #: It is told before its body begins, such that the word outlives this process.
    ANNOUNCED = 1
    #: That, and while it runs no other such node does in this process.
    ONE_BY_ONE = 2


class Member(NamedTuple):
    """A task run of a node: which it is, where it goes on from, where it looks, and what it picks there; and
    whether its result is for the next member alone, and let go of when that needs it no more.

    A mapped task with its children is looked at as a list of two: where it lies, and where each of them does.
    """

    node: NodeId
    start: Look | None
    looks: Sequence[Look | list[Any]]
    picks: Sequence[Pick] | None
    is_passed_on: bool


def packed(
    number: int,
    as_of: float,
    members: Sequence[Member],
    ends: Sequence[int],
    care: Care = Care.NONE,
) -> bytes:
    """What a node is told, as it travels: bytes that the scheduler holds, and does not open; see `run_group`."""
    # Plain tuples: a class would be named in each.
    data = pickle.dumps(
        (number, as_of, [tuple(member) for member in members], tuple(ends), int(care))
    )
    return data if len(data) < COMPRESS_FROM_BYTES else zlib.compress(data, 1)


def opened_told(told: bytes) -> tuple[int, float, list[Member], Sequence[int], int]:
    """What was `packed`."""
    # From the client whose functions this process runs anyway.
    plain = told if told.startswith(PICKLE_MARK) else zlib.decompress(told)
    number, as_of, rows, ends, care = pickle.loads(plain)
    return number, as_of, [Member(*row) for row in rows], ends, care


def run_group(token: str, told: bytes, *arguments: Any) -> list[State]:
    """The function of each node of a Dask graph; its value is the states of its task runs, with their results.

    Args:
        token: The run.
        told: As from `packed`: the number of the node in the run; the moment for which a scheduled start counts as
            reached, seconds since the epoch; the task runs, in order; where each of its chains ends, in between
            nothing depends on what came before; and how carefully it is run.
        arguments: What they look at: the values of other nodes; states from outside the run, as pickles.

    Raises:
        RunNotHosted: The run was not brought to this process, or is over, or was ended.
        RunUnanswered: The coordinating process was silent for too long when a result was to get its name.
    """
    run = hosted(token)
    if run is None:
        raise RunNotHosted(token)
    number, as_of, members, ends, care = opened_told(told)
    group = GroupRun(run, number, as_of, members, ends, arguments)
    group.announces = care > Care.NONE
    try:
        with ExitStack() as stack:
            if care == Care.ONE_BY_ONE:
                stack.enter_context(run.one_by_one())
            if run.cutting is not None and len(members) >= MANY:
                held = stack.enter_context(CollectorHeld())
                run.cutting.call_later(HELD_SECONDS, held.let_go)
                if run.full_collections.keep_off():
                    run.cutting.call_later(APART_SECONDS, run.full_collections.let_come)
            return run.stoppably(group.run, group.at_work)
    except Unanswered:
        raise RunUnanswered(token) from None
    except BodyStopped:
        # Dask knows no such end, and whoever reads the value should not be stopped by it.
        raise RunNotHosted(token) from None


def run_once(token: str, told: bytes, *arguments: Any) -> list[State]:
    """As `run_group`, for a node that Dask must not repeat by itself: its task run has a slot for one execution."""
    return run_group(token, told, *arguments)


def repeat_refused(token: str, told: bytes, *_: Any) -> list[State]:
    """What Dask runs in the place of a `run_once` that it would repeat: hands its task runs back.

    Raises:
        RunNotHosted: The run was not brought to this process, or is over.
    """
    run = hosted(token)
    if run is None:
        raise RunNotHosted(token)
    number, _as_of, members, _ends, _care = opened_told(told)
    if run.cutting is not None:
        nodes = tuple(member.node for member in members)
        run.cutting.tell(NotBegun(number, nodes, run.worker, False))
    return [Pending() for _ in members]


def undo_group(told: bytes) -> list[State]:
    """The function of a node that Dask makes anew because its value was lost: it runs nothing.

    What is finished and kept must not run again, which only the coordinating process can tell. It hands over what
    has to; whatever looks at this value meanwhile finds that it has to wait.
    """
    return [Pending() for _ in opened_told(told)[2]]


class GroupRun:
    """One execution of one node; see `run_group`."""

    def __init__(
        self,
        run: HostedRun,
        number: int,
        as_of: float,
        members: Sequence[Member],
        ends: Sequence[int],
        arguments: Sequence[Any],
    ) -> None:
        self._run, self._number, self._as_of = run, number, as_of
        self._members, self._ends, self._arguments = members, ends, arguments
        self._states: list[State] = []
        #: States from outside the run, opened once, however many look at them.
        self._opened: dict[int, State] = {}
        self._opened_lists: dict[int, Sequence[State]] = {}
        #: Held while it is decided whether the next one begins here.
        self._guard = threading.Lock()
        self._end = len(members)
        self._position = 0
        self._at_work: NodeId | None = None
        self._size = 0
        self._began = clock.monotonic()
        #: Whether the one at work was stopped, after others had come to their end; whether it had begun.
        self._is_stopped = self._has_begun = False
        #: Whether it is told before each task run begins, such that the word outlives this process.
        self.announces = False

    def run(self) -> list[State]:
        """The states of the members; those that were handed back are Pending."""
        began, cutting = self._began, self._run.cutting
        until = began + CUT_SECONDS
        if len(self._ends) > 1:
            until = began + BATCH_CUT_SECONDS
            self._watch_after(SLOW_SECONDS)
        last = len(self._members) - 1
        for position, member in enumerate(self._members):
            with self._guard:
                now = clock.monotonic()
                if now > until or self._size > CUT_BYTES:
                    self._cut(self._end_of_chain(position - 1), is_held=False)
                if position >= self._end or self._run.is_ending:
                    break
                self._position, self._began, self._at_work = position, now, member.node
                self._has_begun = False
            if position == last and cutting is not None:
                cutting.enter_last(member.node)
            try:
                self._run.check_not_stopped()
                self._has_begun = True
                if self.announces:
                    with self._run.announced(member.node):
                        state = self._run_member(member)
                else:
                    state = self._run_member(member)
                self._states.append(state)
            except BodyStopped:
                if not self._states:
                    raise
                self._is_stopped = self._has_begun
                break  # what is finished stays
            if cutting is not None and type(state._result) not in SMALL:
                self._size += cutting.size_of(state._result)
        with self._guard:
            self._position = self._end = len(self._states)
            self._at_work = None
        self._let_go()
        if cutting is not None:
            cutting.leave(self._members[last].node)
        left = len(self._members) - len(self._states)
        # What had begun is told why it begins once more; the others have only to be handed over again.
        stopped = [Pending(STOPPED)] if self._is_stopped else []
        return self._states + stopped + [Pending()] * (left - len(stopped))

    def at_work(self) -> NodeId | None:
        """Which member is at work, or was so last; None where none has begun, or all are over."""
        with self._guard:
            return self._at_work

    def _let_go(self) -> None:
        for position, (state, after) in enumerate(pairwise(self._states)):
            # Why a task failed is worth its bytes.
            if self._members[position].is_passed_on and is_final(after) and not state.is_failed():
                self._states[position] = without_result(state)

    def _run_member(self, member: Member) -> State:
        return self._run.run(
            member.node,
            None if member.start is None else self._look(member.start),
            self._as_of,
            [self._look(look) for look in member.looks],
            member.picks,
        )

    def _look(self, look: Look | list[Any]) -> State:
        if isinstance(look, tuple):
            argument, item = look
            states: Sequence[State] = self._states if argument < 0 else self._list(argument)
            return states[item]
        if isinstance(look, list):
            parent, children = look
            return whole_state(self._look(parent), [self._look(child) for child in children])
        if look not in self._opened:
            self._opened[look] = opened(self._arguments[look])
        return self._opened[look]

    def _list(self, argument: int) -> Sequence[State]:
        """The states that an argument is."""
        states: Sequence[State] | bytes = self._arguments[argument]
        if not isinstance(states, bytes):
            return states
        # Children from outside the run; opened once.
        if argument not in self._opened_lists:
            self._opened_lists[argument] = pickle.loads(states)
        return self._opened_lists[argument]

    # ---- cutting

    def _watch_after(self, seconds: float) -> None:
        if self._run.cutting is not None:
            self._run.cutting.call_later(seconds, self._watch)

    def _watch(self) -> None:
        """Called now and then while it runs, in another thread: nobody waits for long behind a slow one."""
        with self._guard:
            if self._position >= self._end:
                return
            if clock.monotonic() - self._began >= SLOW_SECONDS:
                # What goes on from the slow one stays with it.
                self._cut(self._end_of_chain(self._position), is_held=True)
        self._watch_after(SLOW_SECONDS / 2)

    def _end_of_chain(self, position: int) -> int:
        return next(end for end in self._ends if end > position)

    def _cut(self, position: int, *, is_held: bool) -> None:
        """Hand back the members from a position on; they have not begun, and do not begin here."""
        if position < self._end and self._run.cutting is not None:
            left = tuple(member.node for member in self._members[position : self._end])
            self._end = position
            self._run.cutting.tell(NotBegun(self._number, left, self._run.worker, is_held))
