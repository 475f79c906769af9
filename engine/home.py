"""Where this user's files are: settings, kept results, the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

#: Names another folder than the one in the user's home.
HOME_VARIABLE = "PREFECT_HOME"


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of this user's files: `PREFECT_HOME`, or `~/.prefect_dask`. Need not exist.

    Raises:
        RuntimeError: `PREFECT_HOME` is not set and the system knows no home for this user.
    """
    environ = os.environ if environ is None else environ
    if told := environ.get(HOME_VARIABLE):
        return Path(told).expanduser().absolute()
    return Path.home() / ".prefect_dask"


def report_file(home: str | Path, run_id: str) -> Path:
    """Where Dask's performance report of a flow run lies that nobody named a place for."""
    return Path(home) / "reports" / f"{run_id}.html"
