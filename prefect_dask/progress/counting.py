"""What the tasks of a flow run are at, counted: changes of state in, numbers out. No clock, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.state import (
    Failed,
    Finished,
    Looped,
    Mapped,
    Pending,
    Running,
    State,
    Success,
    TriggerFailed,
)
from prefect_dask.engine.stream import StateChange

#: A task run: index of the task, map index.
TaskRun: TypeAlias = tuple[int, int]

#: Over so many seconds a rate is taken: long enough to be calm, short enough to follow a cluster that grows.
RATE_SECONDS = 10.0

#: So many tasks of which something was heard last are known: as many as a terminal has lines for.
RECENT = 40

#: So many tasks every terminal has lines for.
FEW_TASKS = 5


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """What one task is at.

    Attributes:
        index: Its place in the flow.
        name: Its name; its slug where several tasks have that name.
        is_mapped: Whether it has children.
        width: How many task runs it has: 1, or its children; None where these are not known yet.
        states: How many of its task runs are at which state; those of which nothing was heard are left out.
        done: How many of its task runs are over.
        begun: When it was first looked at after it began, seconds on the caller's clock; None before.
        ended: The same for its end.
        rate: How many of its task runs are over in a second, of late; None where nobody can say.
    """

    index: int
    name: str
    is_mapped: bool
    width: int | None
    states: Mapping[str, int]
    done: int
    begun: float | None
    ended: float | None
    rate: float | None

    @property
    def seconds_left(self) -> float | None:
        """How long it takes at this rate until all are over; None where nobody can say."""
        if not self.rate or self.width is None or self.ended is not None:
            return None
        return (self.width - self.done) / self.rate


@dataclass(frozen=True, slots=True)
class Failure:
    """A task run came to Failed, or to a state that is one; not one that did not run because of others."""

    task_run: str
    state: str
    message: str | None


_NONE: Mapping[type[State], int] = {}


class Rate:
    """How many task runs are over in a second, of late.

    Args:
        begun: Since when is counted, seconds on the caller's clock.
        done: How many were over then.
    """

    def __init__(self, begun: float, done: int = 0) -> None:
        self._samples = [(begun, done)]

    def at(self, now: float, done: int) -> float | None:
        """The rate now that so many are over; None where nobody can say."""
        samples = self._samples
        if samples[-1][0] < now:
            samples.append((now, done))
        while len(samples) > 2 and samples[1][0] < now - RATE_SECONDS:
            samples.pop(0)
        since, before = samples[0]
        return (done - before) / (now - since) if now > since and done > before else None


class TaskLabel(Protocol):
    """What a task is called."""

    @property
    def name(self) -> str: ...

    @property
    def slug(self) -> str: ...


class Counts:
    """How many task runs of each task are at which state.

    Args:
        is_mapped: Of each task of the flow, whether it has children.
        label_of: Gives what a task is called, from its place in the flow.
    """

    def __init__(self, is_mapped: Iterable[bool], label_of: Callable[[int], TaskLabel]) -> None:
        self._label_of = label_of
        self._is_mapped = list(is_mapped)
        self._widths: dict[int, int] = {}
        #: Per task, how many are at Success.
        self._succeeded = [0] * len(self._is_mapped)
        #: Per task, how many are at each other state.
        self._others: dict[int, dict[type[State], int]] = {}
        #: Which task runs these are. Running apart: it is left soon, and most leave it untold.
        self._running: dict[TaskRun, type[State]] = {}
        self._elsewhere: dict[TaskRun, type[State]] = {}
        #: Of which tasks something was heard last.
        self._recent: deque[int] = deque(maxlen=RECENT)
        #: When a task was first looked at after it began, and how many of its runs were over then.
        self._begun: dict[int, tuple[float, int]] = {}
        self._ended: dict[int, float] = {}
        self._rates: dict[int, Rate] = {}

    @classmethod
    def of(cls, graph: FlowGraph) -> Counts:
        """The counts of a flow of which nothing has run."""
        return cls(graph.is_mapped, lambda index: graph.nodes[index].label)

    @property
    def task_count(self) -> int:
        """How many tasks the flow has."""
        return len(self._is_mapped)

    def take(self, changes: Sequence[StateChange]) -> list[Failure]:
        """Count changes of state, in their order.

        Returns:
            What failed.
        """
        succeeded, elsewhere = self._succeeded, self._elsewhere
        failures: list[Failure] = []
        latest, count = 0, 0
        success = Success
        for (index, map_index, _), _, state, is_over, _, began, _ in changes:
            # Nearly all: Running is told together with it, and nothing was told of this task run before.
            if state.__class__ is success and is_over and began is not None and not elsewhere:
                if index == latest:
                    count += 1
                    continue
                succeeded[latest] += count
                latest, count = index, 1
                continue
            self._take_one((index, map_index), state, is_over=is_over)
            if isinstance(state, Failed) and not isinstance(state, TriggerFailed):
                child = f"[{map_index}]" if map_index >= 0 else ""
                failures.append(
                    Failure(self._name(index) + child, type(state).__name__, state.message)
                )
        succeeded[latest] += count
        if len(succeeded) > FEW_TASKS:
            self._recent.extend([change[0][0] for change in changes[-RECENT:]])
        return failures

    def _take_one(self, task_run: TaskRun, state: State, *, is_over: bool) -> None:
        index, kind = task_run[0], type(state)
        others = self._others.setdefault(index, {})
        old = self._running.pop(task_run, None) or self._elsewhere.pop(task_run, None)
        if old is not None:
            others[old] -= 1
        if isinstance(state, Mapped):
            self._is_mapped[index] = True
            self._widths[index] = state.width
        elif kind is Success and is_over:
            self._succeeded[index] += 1
        elif kind is not Pending:
            (self._running if kind is Running else self._elsewhere)[task_run] = kind
            others[kind] = others.get(kind, 0) + 1

    def take_back(self, index: int) -> None:
        """Of a task, one run that was at Success has to run again: what it came to is lost."""
        self._succeeded[index] -= 1

    def take_states(self, states: Mapping[int, State]) -> None:
        """Count the states that a run begins with, by task index."""
        for index, state in states.items():
            self._take_one((index, -1), state, is_over=True)
            for map_index, child in enumerate(
                state.map_states if isinstance(state, Mapped) else ()
            ):
                self._take_one((index, map_index), child, is_over=True)

    # ---- looking

    def totals(self) -> tuple[dict[str, int], int, int]:
        """How many task runs of the flow are at which state, how many are over, and how many are known of."""
        states: dict[str, int] = {}
        done = sum(self._succeeded)
        if done:
            states["Success"] = done
        for others in self._others.values():
            for kind, count in others.items():
                if count:
                    states[kind.__name__] = states.get(kind.__name__, 0) + count
                    done += count if _is_over(kind) else 0
        known = self._is_mapped.count(False) + sum(self._widths.values())
        return states, done, max(known, done)

    def states_of(self, tasks: Iterable[int]) -> dict[str, int]:
        """How many runs of these tasks, all together, are at which state; those not heard of are Pending.

        The runs of a map are known when it begins; until then it counts as one. An empty map is Mapped.
        """
        succeeded = known = 0
        states: dict[str, int] = {}
        for index in tasks:
            succeeded += self._succeeded[index]
            known += self._widths.get(index, 1)
            for kind, count in self._others.get(index, _NONE).items():
                if count:
                    states[kind.__name__] = states.get(kind.__name__, 0) + count
        pending = known - succeeded - sum(states.values())
        if succeeded:
            states["Success"] = succeeded
        if pending > 0:
            states["Pending"] = pending
        return states or {"Mapped": 1}

    def tasks(self, at: float, most: int | None = None) -> tuple[TaskProgress, ...]:
        """What the tasks are at, in running order.

        Args:
            at: Now, in seconds on a clock that does not go back; the same one for each call.
            most: Not more tasks than these: those where something goes on, then those of which something was heard
                last, then those that come first.
        """
        count = len(self._is_mapped)
        shown: Iterable[int] = range(count)
        if most is not None and count > most:
            shown = sorted(self._most_telling(most))
        return tuple([self._task(index, at) for index in shown])

    def _most_telling(self, most: int) -> set[int]:
        chosen: set[int] = set()
        busy = (index for index, _ in self._running)
        open_maps = (index for index in self._widths if index not in self._ended)
        waiting = (index for (index, _), kind in self._elsewhere.items() if not _is_over(kind))
        for some in (busy, open_maps, waiting, reversed(self._recent), range(len(self._is_mapped))):
            for index in some:
                if len(chosen) == most:
                    return chosen
                chosen.add(index)
        return chosen

    def _task(self, index: int, at: float) -> TaskProgress:
        succeeded = self._succeeded[index]
        others = {kind: n for kind, n in self._others.get(index, {}).items() if n}
        states = {"Success": succeeded} if succeeded else {}
        states.update((kind.__name__, n) for kind, n in others.items())
        done = succeeded + sum(n for kind, n in others.items() if _is_over(kind))
        is_mapped = self._is_mapped[index]
        width = self._widths.get(index) if is_mapped else 1
        if is_mapped and width is None and (index, -1) in self._elsewhere:
            is_mapped, width = False, 1  # it failed or was skipped as a whole
        if states or width == 0:
            self._begun.setdefault(index, (at, done))
        if width is not None and done >= width:
            self._ended.setdefault(index, at)
        else:
            self._ended.pop(index, None)
        rate = self._rate(index, at, done) if is_mapped else None
        begun = self._begun[index][0] if index in self._begun else None
        ended = self._ended.get(index)
        return TaskProgress(
            index, self._name(index), is_mapped, width, states, done, begun, ended, rate
        )

    def _name(self, index: int) -> str:
        label = self._label_of(index)
        # The second task of a name is told by its slug.
        return label.name if label.slug.endswith("-1") else label.slug

    def _rate(self, index: int, at: float, done: int) -> float | None:
        begun = self._begun.get(index)
        if begun is None:
            return None
        if index in self._ended:
            seconds, count = self._ended[index] - begun[0], done - begun[1]
            return count / seconds if seconds > 0 and count > 0 else None
        rate = self._rates.get(index)
        if rate is None:
            rate = self._rates[index] = Rate(*begun)
        return rate.at(at, done)


def _is_over(kind: type[State]) -> bool:
    return issubclass(kind, Finished) and not issubclass(kind, Looped)
