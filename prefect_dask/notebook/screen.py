"""Draws a flow run below the cell that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_dask.notebook.graph import Graph
from prefect_dask.notebook.kernel import Place, new_place
from prefect_dask.notebook.markup import card
from prefect_dask.notebook.runs import MOST_TASKS, Failures, progress_html
from prefect_dask.progress.lines import duration, in_words
from prefect_dask.progress.watch import FlowProgress, Watch


class CellScreen:
    """A place below the cell that runs now; see `progress.drawing.Screen`."""

    most_tasks: int | None = MOST_TASKS

    #: Sees the run: what all of its tasks are at, for the graph.
    watch: Watch | None = None

    def __init__(self) -> None:
        self._place: Place | None = None
        self._run_id = ""
        self._failures = Failures()
        self._graph: Graph | None = None
        self._html, self._plain = "", ""

    def open(self) -> None:
        self._place = new_place(card("<p>The flow run is being set up.</p>"), "a flow run")

    def draw(self, progress: FlowProgress, *, is_last: bool = False) -> None:
        if progress.run_id != self._run_id:  # the next run of a schedule
            self._run_id, self._failures = progress.run_id, Failures()
            outline = self.watch.outline() if self.watch is not None else None
            self._graph = Graph.of(outline) if outline is not None else None
        self._failures.take(progress.failures)
        shown = self._graph.html(self.watch) if self._graph and self.watch else ""
        self._html = progress_html(progress, self._failures, shown)
        self._plain = plain_text(progress)
        if self._place is not None:
            self._place.show(self._html)

    def close(self) -> None:
        if self._place is not None:
            self._place.settle(self._html, self._plain)
            self._place = None

    @contextmanager
    def standing_aside(self) -> Iterator[None]:
        yield  # nobody is asked here


def plain_text(progress: FlowProgress) -> str:
    """What a run is at, in a line for who shows no HTML."""
    return (
        f"{progress.flow_name}: {progress.state}, {in_words(progress.states) or 'no task run'}, "
        f"{duration(progress.seconds)}"
    )
