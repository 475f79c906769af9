"""Dask's performance report of a flow run on a cluster, written when the run ends."""

from __future__ import annotations

import html
import pkgutil
from pathlib import Path
from typing import Any, Final, Literal

import distributed

from ..artifacts import artifact_of
from ..context import RunInfo
from ..errors import NoPlaceForReport, ReportNotPossible
from ..failures import text_of
from ..home import report_file
from ..logs import get_logger
from ..stream import ArtifactMade
from .dask_asking import LAST_ANSWER_SECONDS, ask_workers

#: Stands in a path for the run's id.
RUN_ID: Final = "{flow_run_id}"


class PerformanceReport:
    """What happens on a cluster while a flow run is on it; made by the scheduler.

    Args:
        client: The cluster's.
        path: Where it is written; `RUN_ID` in it becomes the run's id. True: in the home folder.
        info: The run.

    Raises:
        ReportNotPossible: The scheduler, which makes it, has no bokeh.
        NoPlaceForReport: It was to be in the home folder, and this user has none.
    """

    def __init__(
        self, client: distributed.Client, path: str | Literal[True], info: RunInfo
    ) -> None:
        self._client, self._info = client, info
        self.path = path_of_report(path, info)
        try:
            client.run_on_scheduler(pkgutil.resolve_name, "bokeh:__version__")
        except ImportError as error:
            raise ReportNotPossible(self.path, text_of(error)) from error
        self._report: Any = distributed.performance_report(self.path)
        # Dask's report looks for the current client both times; in between, the current one is the user's.
        with client.as_current():
            self._report.__enter__()

    def write(self) -> list[ArtifactMade]:
        """Write it.

        Returns:
            The link to it, for the record of the run; nothing where it cannot be written: the states of the run
            matter more.
        """
        run = f"flow {self._info.flow_name!r}, run {self._info.flow_run_id}"
        try:
            if "://" not in self.path:
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            # Dask leaves out what a worker saw since its last full second: all of a run that is short.
            ask_workers(self._client, _end_cycle_of_profile, seconds=LAST_ANSWER_SECONDS)
            with self._client.as_current():
                # Where Dask would have the code around here; it takes it for HTML.
                self._client.sync(
                    self._report.__aexit__, None, None, None, code=html.escape(run, quote=False)
                )
        except Exception as error:
            get_logger("DaskExecutor").warning(
                "the performance report %s was not written: %s", self.path, text_of(error)
            )
            return []
        link = self.path if "://" in self.path else Path(self.path).as_uri()
        return [ArtifactMade(-1, -1, artifact_of("link", "performance report", link))]


def _end_cycle_of_profile(dask_worker: distributed.Worker) -> None:
    """On a worker: have what its profiler saw until now count."""
    dask_worker.cycle_profile()


def path_of_report(path: str | Literal[True], info: RunInfo) -> str:
    """Where the report of a run is written: a whole path, or an address that fsspec knows."""
    if path is True:
        if not info.results.home:
            raise NoPlaceForReport
        return str(report_file(info.results.home, info.flow_run_id))
    path = path.replace(RUN_ID, info.flow_run_id)
    return path if "://" in path else str(Path(path).absolute())
