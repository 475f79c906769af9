"""Points in the product at which a process kills itself, put around its functions from outside.

The product knows nothing of them. Which one a process dies at says the variable CHAOS_CRASHES; each happens once,
in whichever process comes there for the last of the times that are counted, over all of them.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "CHAOS_CRASHES"

#: Says of a process what it is, to those that it starts as well.
ROLE = "CHAOS_ROLE"


class Crash(NamedTuple):
    """One death.

    Attributes:
        target: The role of the process.
        point: Where.
        nth: At which time that one of these processes comes there.
        mark: The file that is made just before, for it to happen once; beside it the times are counted.
    """

    target: str
    point: str
    nth: int
    mark: str


_crashes: list[Crash] = []


def as_text(crashes: list[Crash]) -> str:
    """The value of the variable."""
    return json.dumps(crashes)


def reach(point: str) -> None:
    """Die here, where that is planned."""
    for crash in _crashes:
        if crash.point == point and _count(crash) >= crash.nth and _is_first(crash):
            os.kill(os.getpid(), signal.SIGKILL)


def _count(crash: Crash) -> int:
    """How often somebody has come there, with this time."""
    file = os.open(f"{crash.mark}.count", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, b".")
        return os.fstat(file).st_size
    finally:
        os.close(file)


def _is_first(crash: Crash) -> bool:
    try:
        Path(crash.mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def arm() -> None:
    """Put the points around functions, where this process is meant to die at one."""
    planned = [Crash(*each) for each in json.loads(os.environ.get(VARIABLE, "[]"))]
    _crashes[:] = [each for each in planned if each.target == os.environ.get(ROLE)]
    if not _crashes:
        return
    from prefect_dask import resuming
    from prefect_dask.engine import durable, files, stream
    from prefect_dask.engine.executors import dask_run, local
    from prefect_dask.ledger import recording
    from prefect_dask.ledger.postgresql import PostgresStore
    from prefect_dask.ledger.sqlite import SqliteStore
    from prefect_dask.ledger.store import Store

    _around(durable.Storing, "small", "store")
    _around(durable.Storing, "store", "store")
    # A draft of the file is there by then.
    _before(files, "checksum_of", "within store")
    _around(stream.Batcher, "flush", "send")
    _around(Store, "write", "record")
    # Within a transaction: some of it is written, and none of it counts.
    for store in (SqliteStore, PostgresStore):
        _before(store, "insert", "within record")
    for kind in (dask_run.DaskRun, local.InlineRun, local.PooledRun):
        _around(kind, "release", "release")
    _around(resuming, "take_up", "take up")
    _before(recording.Recording, "end", "before end")


def _around(owner: Any, name: str, what: str) -> None:
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach(f"before {what}")
        value = function(*args, **kwargs)
        reach(f"after {what}")
        return value

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, point: str) -> None:
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach(point)
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)
