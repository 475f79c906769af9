"""Follows a flow run for who looks now and then: a terminal, a notebook, a program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from prefect_dask.engine import clock
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.state import State
from prefect_dask.engine.stream import Observer, StateChange
from prefect_dask.pictures.outline import Outline
from prefect_dask.progress.counting import Counts, Failure, TaskProgress


@dataclass(frozen=True, slots=True)
class FlowProgress:
    """What a flow run is at.

    Attributes:
        flow_name: The flow; "" before the run begins.
        run_id: The run; "" before it begins.
        run_name: What the run is called.
        state: The flow's own state, such as "Running".
        message: That state's message.
        states: How many of all task runs are at which state.
        done: How many are over.
        known: How many there are; more when a map comes to know its width.
        tasks: What its tasks are at, in running order.
        task_count: How many tasks it has.
        failures: What failed since somebody looked last.
        seconds: Since when it runs.
        at: When this was so, seconds on a clock that does not go back.
    """

    flow_name: str
    run_id: str
    run_name: str
    state: str
    message: str | None
    states: dict[str, int]
    done: int
    known: int
    tasks: tuple[TaskProgress, ...]
    task_count: int
    failures: tuple[Failure, ...]
    seconds: float
    at: float


class Watch(Observer):
    """Sees a flow run and counts; any thread may look at the counts, at any time.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> with Flow("doubles") as flow:
        ...     _ = double.map([1, 2, 3])
        >>> watch = Watch()
        >>> _ = flow.run(progress=watch)
        >>> now = watch.look()
        >>> now.state, [(each.name, each.states) for each in now.tasks if each.is_mapped]
        ('Success', [('double', {'Success': 3})])
    """

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._counts: Counts | None = None
        self._outline: Callable[[], Outline] | None = None
        #: The flow, the run, and what that is called.
        self._names = ("", "", "")
        self._first_states: Mapping[int, State] = {}
        self._state = "Pending"
        self._message: str | None = None
        self._failures: list[Failure] = []
        self._begun = clock.monotonic()
        self._ended: float | None = None

    @contextmanager
    def while_asking(self) -> Iterator[None]:
        """A block within which a person is asked something: nothing is drawn meanwhile."""
        yield

    def asking(self, ask: Callable[[str, State], bool]) -> Callable[[str, State], bool]:
        """The same question, asked while nothing is drawn."""

        def ask_undrawn(name: str, state: State) -> bool:
            with self.while_asking():
                return ask(name, state)

        return ask_undrawn

    def start_from(self, states: Mapping[int, State]) -> None:
        """The run will begin with these states of its tasks, by task index."""
        self._first_states = states

    # ---- what the flow runner tells

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        counts = Counts.of(graph)
        counts.take_states(self._first_states)
        self.begin_with(
            counts,
            partial(Outline.of_graph, graph),  # made for who draws it: of a large flow it costs
            *(info.flow_name, info.flow_run_id, info.flow_run_name),
            begun=clock.monotonic(),
        )

    def begin_with(
        self,
        counts: Counts,
        outline: Callable[[], Outline],
        flow_name: str,
        run_id: str,
        run_name: str,
        *,
        begun: float,
    ) -> None:
        """A run is followed from now on.

        Args:
            counts: What its tasks are at.
            outline: Gives the flow as pictures see it.
            flow_name: The flow.
            run_id: The run.
            run_name: What it is called.
            begun: When it began, seconds on a clock that does not go back.
        """
        with self._counting:
            self._names, self._counts = (flow_name, run_id, run_name), counts
            self._outline = outline
            self._failures, self._begun, self._ended = [], begun, None

    def take_flow_state(self, state: State, at: float | None = None) -> None:
        """The run itself came to a state.

        Args:
            state: The state.
            at: When, seconds on a clock that does not go back; now when not given.
        """
        self._state, self._message = type(state).__name__, state.message
        is_over = state.is_finished()
        self._ended = (clock.monotonic() if at is None else at) if is_over else None

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        # At once: they are in the processor's cache still, and kept for later they would hold memory up.
        with self._counting:
            if self._counts is not None:
                self._failures += self._counts.take(changes)

    # ---- who looks

    def outline(self) -> Outline | None:
        """The flow that is followed, as pictures see it; None before a run begins."""
        return None if self._outline is None else self._outline()

    def states_of(self, groups: Iterable[Iterable[int]]) -> list[dict[str, int]]:
        """For each group of tasks, told by index, how many of their runs are at which state.

        Those of which nothing was heard are Pending; before the run begins there are none: [].
        """
        with self._counting:
            counts = self._counts
            return [] if counts is None else [counts.states_of(tasks) for tasks in groups]

    def look(self, most_tasks: int | None = None) -> FlowProgress:
        """What the run is at.

        Args:
            most_tasks: Not more tasks than these; see `Counts.tasks`.
        """
        with self._counting:
            failures, self._failures = tuple(self._failures), []
            at, counts = clock.monotonic(), self._counts
            states, done, known = counts.totals() if counts else ({}, 0, 0)
            return FlowProgress(
                *self._names,
                self._state,
                self._message,
                states,
                done,
                known,
                counts.tasks(at, most_tasks) if counts else (),
                counts.task_count if counts else 0,
                failures,
                (self._ended or at) - self._begun,
                at,
            )
