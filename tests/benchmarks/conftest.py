"""What a benchmark leaves in this process, where its workers are threads of it."""

import logging
from collections.abc import Iterator

import pytest

from prefect_dask.engine.logs import ROOT, RecordForwarder


@pytest.fixture(autouse=True)
def forwards_no_lines_afterwards() -> Iterator[None]:
    """A worker of a coordinating process elsewhere forwards log lines, and does so until its process ends."""
    yield
    logger = logging.getLogger(ROOT)
    for handler in [h for h in logger.handlers if isinstance(h, RecordForwarder)]:
        logger.removeHandler(handler)
