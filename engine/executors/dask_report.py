"""Dask's performance report of what ran on a cluster, written when that ends."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager

import distributed

from ..errors import ReportNotPossible
from ..failures import text_of
from ..logs import get_logger


@contextmanager
def performance_report(client: distributed.Client, path: str) -> Iterator[None]:
    """Write a report of what runs on the cluster within the block.

    Raises:
        ReportNotPossible: The scheduler, which makes it, has no bokeh.
    """
    try:
        client.run_on_scheduler(pkgutil.resolve_name, "bokeh:__version__")
    except ImportError as error:
        raise ReportNotPossible(path, text_of(error)) from error
    report = distributed.performance_report(path)
    # Dask's report looks for the current client both times; in between, the current one is the user's.
    with client.as_current():
        report.__enter__()
    yield
    try:
        with client.as_current():
            report.__exit__(None, None, None)
    except Exception as error:
        # The run is over, and its states matter more.
        get_logger("DaskExecutor").warning(
            "the performance report %s was not written: %s", path, text_of(error)
        )
