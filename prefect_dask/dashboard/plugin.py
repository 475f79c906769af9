"""On the scheduler: takes what flow runs report, and asks them for it while somebody looks at the page."""

from __future__ import annotations

import logging
from typing import Any, Final

import distributed
from distributed.diagnostics.plugin import SchedulerPlugin

from prefect_dask.dashboard.board import Board, FlowRunReport, ShownRun
from prefect_dask.engine import clock

#: The topic on which coordinating processes report.
REPORTS: Final = "prefect_dask-flow-runs"

#: The topic on which they are asked to.
ASKS: Final = "prefect_dask-flow-runs-asked"

#: How often they are asked while somebody looks, seconds.
ASK_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class FlowRunsPlugin(SchedulerPlugin):
    """Knows the flow runs on its cluster, and adds the page that shows them where the scheduler has a dashboard."""

    name = "prefect_dask-flow-runs"
    idempotent = True

    async def start(self, scheduler: distributed.Scheduler) -> None:
        """Called by the scheduler when the plugin arrives."""
        self.scheduler, self.board = scheduler, Board()
        self._asked = -ASK_SECONDS
        try:
            from prefect_dask.dashboard.server import add_page

            add_page(scheduler, self.look)
        except (
            Exception
        ):  # a bokeh or distributed that is not as we know it: flows run all the same
            logger.warning("the page of flow runs cannot be added to the dashboard", exc_info=True)

    def look(self) -> list[ShownRun]:
        """The runs to be shown; what it asks for is there at the next look."""
        now = clock.monotonic()
        if now - self._asked >= ASK_SECONDS:
            self._asked = now
            if self.board.ask(now):
                self.scheduler.log_event(ASKS, {})
        return self.board.runs(now)

    def log_event(self, topic: str, msg: Any) -> None:
        """Called by the scheduler for each event, after it was sent to those who listen."""
        if topic == REPORTS:
            try:
                self.board.take(FlowRunReport.of_message(msg), clock.monotonic())
            except (KeyError, TypeError):
                logger.debug("a report of a flow run was not understood: %r", msg)
        if topic in (REPORTS, ASKS):
            # Else the scheduler would keep the last thousands.
            self.scheduler._broker.truncate(topic)

    def remove_client(self, scheduler: distributed.Scheduler, client: str) -> None:
        """Called by the scheduler when a client leaves, or its process died."""
        # Dask keeps who listens for ever.
        scheduler.unsubscribe_topic(ASKS, client=client)
        self.board.lose(client, clock.monotonic())
