"""Flow runs of other processes, shown below a cell while they go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from prefect_dask.engine.logs import get_logger
from prefect_dask.notebook.kernel import Place, cell_and_request, new_place
from prefect_dask.notebook.runs import Failures, progress_html
from prefect_dask.notebook.screen import plain_text
from prefect_dask.progress.watch import FlowProgress

LOOK_SECONDS: Final = 0.5
"""How often it is looked what a run is at."""

_live: dict[str, LiveRun] = {}
"""The runs that are shown now, by id."""

_lock = threading.Lock()


def show(
    run_id: str, look: Callable[[], tuple[FlowProgress, str, bool]], cancel: Callable[[], None]
) -> None:
    """Show below the cell that runs now what a run is at, until it is over; this returns at once.

    A run that is shown already is shown by the same thread. What a cell showed is not followed any further when
    that cell is run again.

    Args:
        run_id: The run.
        look: Says what it is at, its graph as SVG, and whether it is over; called in another thread.
        cancel: Called when somebody presses the button for it.
    """
    cell, request = cell_and_request()
    with _lock:
        old = [
            live
            for live in _live.values()
            if cell and live.cell == cell and live.request != request
        ]
        shown = _live.get(run_id)
    for live in old:
        if live is not shown:
            live.stop()
    if shown is not None and shown.show_again(cell, request):
        return
    live = LiveRun(run_id, look, cancel, cell, request)
    if live.is_over:
        return
    with _lock:
        _live[run_id] = live
    live.start()


def settle(run_id: str) -> None:
    """Bring what is shown of a run that is over up to date, now."""
    with _lock:
        live = _live.get(run_id)
    if live is not None:
        live.stop()


class LiveRun:
    """A run that is shown, and the thread that does.

    Attributes:
        is_over: Whether it was over when somebody looked last.
    """

    def __init__(
        self,
        run_id: str,
        look: Callable[[], tuple[FlowProgress, str, bool]],
        cancel: Callable[[], None],
        cell: str,
        request: str,
    ) -> None:
        self.run_id, self.cell, self.request = run_id, cell, request
        self._look, self._failures = look, Failures()
        self._html, self._plain, self.is_over = "", "", False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefect-dask-notebook", daemon=True)
        self._take()
        buttons = {} if self.is_over else {"Cancel the run": cancel}
        self._place: Place = new_place(self._html, self._plain, buttons)
        if self.is_over:
            self._place.settle(self._html, self._plain)

    def start(self) -> None:
        """Follow it."""
        self._thread.start()

    def show_again(self, cell: str, request: str) -> bool:
        """Show it below another cell too; False where it is followed no more."""
        with _lock:
            if self.run_id not in _live:
                return False
            self.cell, self.request = cell, request
            self._place.show_again()
        return True

    def stop(self) -> None:
        """Show what it is at for good, and follow it no further."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.is_over and not self._stopped.wait(LOOK_SECONDS):
            if self._is_taken():
                self._place.show(self._html)
        self._is_taken()
        with _lock:  # together: what is not there any more has settled
            _live.pop(self.run_id, None)
            self._place.settle(self._html, self._plain)

    def _is_taken(self) -> bool:
        """Look, where that can be done: the ledger may be away for a while, and the run goes on."""
        try:
            self._take()
        except Exception:
            get_logger("progress").debug("flow run %s was not seen", self.run_id, exc_info=True)
            return False
        return True

    def _take(self) -> None:
        progress, graph, self.is_over = self._look()
        self._failures.take(progress.failures)
        self._html = progress_html(progress, self._failures, graph)
        self._plain = plain_text(progress)
