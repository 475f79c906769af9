"""When which waiting task run goes on: the times of retries and scheduled starts, though the clock be set back."""

from __future__ import annotations

import heapq
import math

from . import clock
from .state import NEVER, Resume, Retrying, Scheduled, State
from .task_runs import Position, TaskRuns


class DueTimes:
    """The times for which task runs wait.

    Args:
        runs: What is known of them.
    """

    def __init__(self, runs: TaskRuns) -> None:
        self._runs = runs
        #: By time: when, which task run, and the execution that asked for it.
        self._due: list[tuple[float, int, int, int]] = []
        #: How far the clock was ahead of one that nobody sets, seconds, when it set the times of the retries that
        #: wait; and the most of these, at least.
        self._ahead: dict[Position, float] = {}
        self._most_ahead = -math.inf

    def plan(self, index: int, place: int) -> None:
        """Have a task run go on at the time that its state says, if it says one."""
        state = self._runs.states[self._runs.row(index, place)]
        if not isinstance(state, Scheduled) or state.start_time >= NEVER:
            return
        if isinstance(state, Retrying) and not clock.is_turned():
            now = clock.now()
            # Made when this clock showed more, or by one of another machine that does.
            if (back := state._time - now) >= clock.SET_SECONDS:
                _bring_forward(state, back)
            ahead = self._ahead[index, place] = now - clock.monotonic()
            self._most_ahead = max(self._most_ahead, ahead)
        self._push(index, place, state)

    def _push(self, index: int, place: int, state: Scheduled) -> None:
        generation = self._runs.generation[self._runs.row(index, place)]
        moment = clock.to_seconds(state.start_time)
        heapq.heappush(self._due, (moment, index, place, generation))

    def next(self) -> float | None:
        """When the next one is due, seconds since the epoch; None when none waits for a time."""
        due = self.next_of()
        return None if due is None else due[0]

    def next_of(self) -> tuple[float, int, int] | None:
        """As `next`, and which task run that is: task, map index."""
        runs = self._runs
        while self._due:
            moment, index, place, generation = self._due[0]
            row = runs.row_of(index, place - 1)
            if row is not None and runs.generation[row] == generation and not runs.is_out[row]:
                return moment, index, place - 1
            heapq.heappop(self._due)
        return None

    def take(self, now: float) -> set[Position]:
        """Those whose time has come by `now`; they do not wait any more."""
        due: set[Position] = set()
        while (moment := self.next()) is not None and moment <= now:
            _, index, place, _ = heapq.heappop(self._due)
            due.add((index, place))
            self._ahead.pop((index, place), None)
        return due

    def heed_clock(self) -> None:
        """Have no retry wait the longer because the machine's clock was set back; to be called often."""
        now = clock.now()
        ahead = now - clock.monotonic()
        # Time servers slow a clock down by much less; to turn it is no accident.
        if self._most_ahead - ahead < clock.SET_SECONDS or clock.is_turned():
            return
        self._most_ahead = ahead
        for index, map_index, state in self._runs.in_state(Retrying):
            assert isinstance(state, Retrying)
            position = index, map_index + 1
            left = clock.to_seconds(state.start_time) - now
            # One that does not wait any more was due, and stays so.
            back = min(self._ahead.get(position, math.inf) - ahead, left)
            if back > 0:
                self._ahead[position] = ahead
                _bring_forward(state, back)
                self._push(*position, state)

    def forget(self) -> None:
        """Nothing waits for a time any more."""
        self._due.clear()
        self._ahead.clear()


def _bring_forward(state: Scheduled, seconds: float) -> None:
    state.start_time = clock.to_datetime(clock.to_seconds(state.start_time) - seconds)


def waits(state: State, now: float) -> bool:
    """Whether the time has yet to come for which a state asks, seconds since the epoch."""
    return (
        isinstance(state, Scheduled)
        and not isinstance(state, Resume)
        and clock.to_seconds(state.start_time) > now
    )
