"""Flow runs that go on in other processes: following them, and having them cancelled."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal

from prefect_dask.engine import clock
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.outcome import TaskStates
from prefect_dask.engine.result import ResultRules
from prefect_dask.engine.state import State
from prefect_dask.engine.steering import GRACE_SECONDS
from prefect_dask.kept_results import kept_results
from prefect_dask.ledger.configured import home_of_ledgers
from prefect_dask.ledger.facts import RecordedFlowRun, RecordedLine, RecordedState
from prefect_dask.ledger.leases import end_unheld, is_unheld
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.requests import ask, who_asks
from prefect_dask.pictures.counts import counts_of_record
from prefect_dask.pictures.outline import Outline
from prefect_dask.pictures.picture import Picture, draw
from prefect_dask.progress.watch import FlowProgress
from prefect_dask.recorded_states import Tree, flow_state, task_states
from prefect_dask.running import result_rules
from prefect_dask.task_graph import TaskGraph

if TYPE_CHECKING:
    from prefect_dask.animation.animation import Animation
    from prefect_dask.progress import Watch

FIRST_LOOK_SECONDS: Final = 0.05
LONGEST_LOOK_SECONDS: Final = 0.5
"""How often the ledger is asked whether a run went on: at first often, for many a run is short."""


def attach(run_id: str, flow: TaskGraph | None = None, *, ledger: Any = None) -> RunHandle:
    """Follow a recorded flow run, also one that another process runs now.

    Args:
        run_id: The run's id, or as much of the beginning as tells it from others.
        flow: The flow, where it is at hand: the states of tasks are then found by task, as in what `Flow.run`
            returns, and by slug otherwise.
        ledger: Where the run is recorded, as for `Flow.run`.

    Raises:
        UnknownRun: There is no such run.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def add(x, y):
        ...     return x + y
        >>> with Flow("sums") as flow:
        ...     total = add(1, 2)
        >>> ledger = Ledger(":memory:")
        >>> _ = flow.run(ledger=ledger)
        >>> handle = attach(ledger.flow_runs(flow_name="sums")[0].run_id, flow, ledger=ledger)
        >>> handle.wait().result[total].result
        3
    """
    where = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    return RunHandle(where, where.flow_run(run_id), flow)


def cancel(
    run_id: str, *, ledger: Any = None, grace_seconds: float = GRACE_SECONDS, wait: bool = True
) -> State:
    """Cancel a flow run, from any process.

    No other task run begins. Bodies at work see `prefect_dask.context.cancelled`; those that have not ended after
    the time of grace are stopped, as far as their isolation allows. What resource managers had set up is cleaned
    up. What had not begun becomes Cancelled, and so does the run. To ask again is allowed, also with less grace.

    Args:
        run_id: The run's id, or as much of the beginning as tells it from others.
        ledger: Where the run is recorded, as for `Flow.run`.
        grace_seconds: How long bodies may take to end by themselves, >= 0.
        wait: Whether to wait until the run is over.

    Returns:
        The run's state: Cancelled, or what it came to where it was faster; with `wait=False` the one of now.

    Raises:
        UnknownRun: There is no such run.
        RunIsOver: It had come to another final state before.
    """
    return attach(run_id, ledger=ledger).cancel(grace_seconds=grace_seconds, wait=wait)


class RunHandle:
    """A recorded flow run, wherever it runs; `attach` and `Flow.run(detach=True)` make it.

    Iterating gives each change of state from the beginning, and the next ones as they come, until the run is over.

    Attributes:
        run_id: The run's id.
        flow_name: The flow's name.
    """

    def __init__(self, ledger: Ledger, run: RecordedFlowRun, flow: TaskGraph | None = None) -> None:
        self.run_id, self.flow_name = run.run_id, run.flow_name
        self._ledger, self._flow = ledger, flow

    def __repr__(self) -> str:
        return f"<RunHandle: {self.flow_name!r}, {self.run_id}>"

    def _repr_html_(self) -> str:
        from prefect_dask.notebook.runs import MOST_TASKS, Failures, progress_html

        (progress, graph), failures = self._looking(MOST_TASKS)(), Failures()
        failures.take(progress.failures)
        return progress_html(progress, failures, graph)

    def _ipython_display_(self) -> None:
        from prefect_dask.notebook import kernel

        if kernel.kernel_shell() is None:
            raise NotImplementedError  # IPython takes another way to show it
        from prefect_dask.notebook import live
        from prefect_dask.notebook.runs import MOST_TASKS

        progress = self._looking(MOST_TASKS)

        def look() -> tuple[FlowProgress, str, bool]:
            is_over = self._is_over()  # first, as when iterating
            return *progress(), is_over

        def cancel() -> None:
            with suppress(RunIsOver):
                self.cancel(wait=False)

        live.show(self.run_id, look, cancel)

    # ---- looking

    @property
    def state(self) -> State:
        """The run's state now; its result, read when asked for, has the state of each task."""
        return self._state_of(self._ledger.flow_run(self.run_id))

    def states(self, after: int = -1) -> list[RecordedState]:
        """The changes of state until now, in order: the run's own and those of its task runs.

        Args:
            after: Only those with a greater number: what came since.
        """
        return self._ledger.states(self.run_id, after=after)

    def logs(self, after: int = -1) -> list[RecordedLine]:
        """The log lines until now, in order; `after` is as for `states`."""
        return self._ledger.logs(self.run_id, after=after)

    def animate(self) -> Animation:
        """The run to be played: in a notebook, as a file, or in the browser while it goes on.

        Raises:
            BokehMissing: Bokeh is not installed.
        """
        return self._ledger.animate(self.run_id)

    def __iter__(self) -> Iterator[RecordedState]:
        after = -1
        looks = _Looks()
        while True:
            # First: what it told before it was over is there then.
            is_over = self._is_over()
            states = self.states(after)
            yield from states
            if is_over:
                return
            after = max([after, *(state.number for state in states)])
            looks.wait(has_news=bool(states))

    def wait(
        self,
        timeout_seconds: float | None = None,
        *,
        progress: bool | Watch = False,
        on_line: Callable[[RecordedLine], object] | None = None,
    ) -> State:
        """Wait until the run is over, or waits for somebody's word itself; its state then.

        Args:
            timeout_seconds: How long to wait at most; as long as it takes when not given.
            progress: Whether it is shown meanwhile how far the run is, as for `Flow.run`.
            on_line: Called with each line that the run logs from now on.

        Raises:
            RunNotOver: It goes on; it is a TimeoutError.
        """
        until = None if timeout_seconds is None else clock.monotonic() + timeout_seconds
        looks = _Looks()
        with self._showing(progress, on_line) as show:
            while True:
                # First: what it told before it was over is there then.
                is_over = self._is_over()
                has_news = show()
                if is_over:
                    break
                if until is not None and clock.monotonic() >= until:
                    raise RunNotOver(self.run_id, timeout_seconds or 0.0)
                looks.wait(has_news=has_news, until=until)
        self._settle_display()
        return self.state

    def visualize(
        self,
        filename: str | PathLike[str] | None = None,
        format: str | None = None,
        *,
        rankdir: str = "TB",
        group: Literal["auto"] | bool = "auto",
        legend: bool = False,
    ) -> Picture:
        """A picture of the flow as it ran, coloured by the states of now; from the record alone.

        The arguments and errors are those of `Flow.visualize`.
        """
        outline = Outline.of_record(self._ledger.flow(self.run_id))
        return draw(
            outline,
            counts_of_record(self.states(), len(outline.tasks)),
            filename=filename,
            format=format,
            rankdir=rankdir,
            group=group,
            legend=legend,
        )

    # ---- steering

    def cancel(self, *, grace_seconds: float = GRACE_SECONDS, wait: bool = True) -> State:
        """Cancel the run; see `cancel`."""
        run = self._ledger.flow_run(self.run_id)
        if run.ended is None:
            self._ask(run, grace_seconds)
            if wait:
                return self.wait()
            run = self._ledger.flow_run(self.run_id)
        elif run.state != "Cancelled":
            raise RunIsOver(run.run_id, run.state)
        return self._state_of(run)

    def _ask(self, run: RecordedFlowRun, grace_seconds: float) -> None:
        with self._ledger.opened() as store:
            store.unpack(run.key)
            if not end_unheld(store, run.key, f"cancelled: asked by {who_asks()}", clock.now()):
                ask(store, run.key, "cancel", {"grace_seconds": grace_seconds})
        self._ledger.look_soon()

    # ---- inside

    @contextmanager
    def _showing(
        self, progress: bool | Watch, on_line: Callable[[RecordedLine], object] | None
    ) -> Iterator[Callable[[], bool]]:
        """What shows what came since it was called last, and says whether there was anything."""
        if progress is False and on_line is None:
            yield lambda: False
            return
        from prefect_dask.progress import Watch, watching
        from prefect_dask.recorded_progress import RecordedProgress

        with watching(progress) as watch:
            run = self._ledger.flow_run(self.run_id)
            recorded = RecordedProgress(self._ledger, run, watch or Watch())

            def show() -> bool:
                has_news = recorded.look()
                if on_line is not None:
                    for line in recorded.lines():
                        on_line(line)
                return has_news

            yield show

    def _looking(self, most_tasks: int) -> Callable[[], tuple[FlowProgress, str]]:
        """What says what the run is at, each time with the failures that came since, and its graph as SVG."""
        from prefect_dask.notebook.graph import Graph
        from prefect_dask.progress import Watch
        from prefect_dask.recorded_progress import RecordedProgress

        watch = Watch()
        recorded = RecordedProgress(self._ledger, self._ledger.flow_run(self.run_id), watch)
        outline = watch.outline()
        graph = None if outline is None else Graph.of(outline)

        def look() -> tuple[FlowProgress, str]:
            recorded.look()
            shown = graph.html(watch) if graph is not None else ""
            return recorded.timed(watch.look(most_tasks)), shown

        return look

    def _settle_display(self) -> None:
        """Bring what a notebook shows of the run up to date: it may be saved next."""
        live = sys.modules.get("prefect_dask.notebook.live")
        if live is not None:
            live.settle(self.run_id)

    def _is_over(self) -> bool:
        run = self._ledger.flow_run(self.run_id)
        if run.ended is not None:
            return True
        with self._ledger.opened() as store:
            return is_unheld(store, run.key)

    def _state_of(self, run: RecordedFlowRun) -> State:
        last = self._ledger.states(self.run_id, -1)
        time = clock.to_seconds(last[-1].time if last else run.begun)
        return flow_state(run.state, run.message, time, Tree(self._task_states))

    def _task_states(self) -> TaskStates:
        tasks = self._ledger.flow(self.run_id).tasks
        graph, rules = None, ResultRules(home=str(home_of_ledgers()))
        keys: Mapping[str, Any] = {}
        if self._flow is not None:
            graph, rules = self._flow.describe(), result_rules(self._flow)
            keys = {node.label.slug: node.task for node in graph.nodes}
        told = self._ledger.states(self.run_id)
        # Afterwards, so that the results of all that was told are among them.
        results = kept_results(graph, rules, self._ledger.results(self.run_id))
        states = task_states(tasks, told, results)
        return TaskStates(
            (keys.get(task.slug, task.slug), state)
            for task, state in zip(tasks, states, strict=True)
        )


class _Looks:
    """Waits between looks, ever longer while there is no news."""

    def __init__(self) -> None:
        self._seconds, self._pause = FIRST_LOOK_SECONDS, threading.Event()

    def wait(self, *, has_news: bool = False, until: float | None = None) -> None:
        """Wait until the next look is due, or the time has come."""
        self._seconds = FIRST_LOOK_SECONDS if has_news else self._seconds
        left = self._seconds if until is None else min(self._seconds, until - clock.monotonic())
        self._pause.wait(max(0.0, left))
        self._seconds = min(2 * self._seconds, LONGEST_LOOK_SECONDS)


# ---- what goes wrong


class RunIsOver(PrefectDaskError):
    """Something is asked of a run that came to its final state before."""

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(
            f"flow run {run_id} is over: it came to {state}, and nothing of it is left to be cancelled"
        )
        self.run_id, self.state = run_id, state


class RunNotOver(PrefectDaskError, TimeoutError):
    """A run was waited for, and goes on."""

    def __init__(self, run_id: str, seconds: float) -> None:
        super().__init__(
            f"flow run {run_id} is not over after {seconds:g} s; wait longer, or cancel it"
        )
        self.run_id, self.seconds = run_id, seconds
