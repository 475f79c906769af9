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
        #: By how much the machine's clock was set back since the run began, seconds, at least.
        self._set_back = 0.0
        #: Those whose times were set by the clock as it is, since somebody last looked whether it was set back.
        self._fitted: set[Position] = set()
        #: How far the clock was ahead of one that nobody sets, seconds, when the times of waiting retries were set
        #: by it; and the most of these. It may have been set forwards and back since, between two looks.
        self._ahead: dict[Position, float] = {}
        self._most_ahead = -math.inf

    def plan(self, index: int, place: int) -> None:
        """Have a task run go on at the time that its state says, if it says one."""
        row = self._runs.row(index, place)
        state = self._runs.states[row]
        if isinstance(state, Scheduled) and state.start_time < NEVER:
            moment = clock.to_seconds(state.start_time)
            if isinstance(state, Retrying):
                # Never longer from now than the delay: else the clock was set back before anybody heard of it.
                latest = clock.now() + max(0.0, moment - state._time)
                if moment > latest + clock.SET_SECONDS and not clock.is_turned():
                    self._set_back = max(self._set_back, moment - latest)
                    moment = latest
                    state.start_time = clock.to_datetime(moment)
                    self._fitted.add((index, place))
                if not clock.is_turned():
                    ahead = self._ahead[index, place] = clock.now() - clock.monotonic()
                    self._most_ahead = max(self._most_ahead, ahead)
            self._push(moment, index, place)

    def _push(self, moment: float, index: int, place: int) -> None:
        generation = self._runs.generation[self._runs.row(index, place)]
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

    def note_set_back(self, seconds: float) -> None:
        """Note that the machine's clock was set back: what waits for a delay does not wait the longer for that.

        Args:
            seconds: By how much since the last time; 0 where it was not.
        """
        fitted, self._fitted = self._fitted, set()
        if seconds:
            self._set_back += seconds
            for index, map_index, state in self._runs.in_state(Retrying):
                if (index, map_index + 1) not in fitted:
                    self._bring_forward(index, map_index + 1, state, seconds)
        ahead = clock.now() - clock.monotonic()
        if self._most_ahead - ahead >= clock.SET_SECONDS and not clock.is_turned():
            self._heed_unseen(ahead)

    def _heed_unseen(self, ahead: float) -> None:
        """As `note_set_back`, for each by how much less the clock is ahead than when the time was set."""
        most = 0.0
        for index, map_index, state in self._runs.in_state(Retrying):
            back = self._ahead.get((index, map_index + 1), ahead) - ahead
            if back >= clock.SET_SECONDS:
                most = max(most, back)
                self._bring_forward(index, map_index + 1, state, back)
        self._set_back += most
        self._most_ahead = max(self._ahead.values(), default=-math.inf)

    def _bring_forward(self, index: int, place: int, state: State, seconds: float) -> None:
        assert isinstance(state, Retrying)
        moment = clock.to_seconds(state.start_time) - seconds
        state.start_time = clock.to_datetime(moment)
        self._push(moment, index, place)
        if (index, place) in self._ahead:
            self._ahead[index, place] -= seconds

    def as_of(self, now: float) -> float:
        """What `now` is to nodes: the states that they go on from were made before the clock was set back."""
        return now + self._set_back

    def forget(self) -> None:
        """Nothing waits for a time any more."""
        self._due.clear()
        self._ahead.clear()


def waits(state: State, now: float) -> bool:
    """Whether the time has yet to come for which a state asks, seconds since the epoch."""
    return (
        isinstance(state, Scheduled)
        and not isinstance(state, Resume)
        and clock.to_seconds(state.start_time) > now
    )
