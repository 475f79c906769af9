"""What other processes ask of a run: rows that its coordinating process looks for, takes, and answers.

Any process may ask. A request is taken once, and answered when the run comes to its final state, in the same
transaction, whether it was taken or came too late.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from prefect_dask.engine import clock
from prefect_dask.ledger.errors import UnknownRun
from prefect_dask.ledger.leases import held_run, is_over
from prefect_dask.ledger.store import Store

LOOK_SECONDS: Final = 0.5
"""How often a coordinating process looks for requests: that costs it some 20 µs, and is soon enough for people."""


class Request(NamedTuple):
    """Something that is asked of a run.

    Attributes:
        number: What the tables know it by.
        run_id: The run.
        kind: What is asked, such as "cancel".
        details: How.
        asker: Who asked: user, host and process.
    """

    number: int
    run_id: str
    kind: str
    details: Mapping[str, Any]
    asker: str


def ask(store: Store, run: int, kind: str, details: Mapping[str, Any]) -> bool:
    """Ask something of a run; whether it was still going on.

    Args:
        store: An open store.
        run: The run's key.
        kind: What is asked.
        details: How; plain JSON data.
    """
    m = store.mark
    with store.transaction():
        if is_over(store, run):
            return False
        store.execute(
            f"INSERT INTO requests (run, kind, details, asked, asker) VALUES ({m}, {m}, {m}, {m}, {m})",
            (run, kind, json.dumps(details), clock.now(), who_asks()),
        )
    return True


def take_requests(store: Store, fences: Mapping[str, int]) -> list[Request]:
    """Those requests to some runs that nobody has taken yet, oldest first; they are taken now.

    Args:
        store: An open store.
        fences: Under which fence this process writes each of the runs. What is asked of one that another process
            has is left for that.
    """
    wanted = {run: run_id for run, run_id in _open_runs(store) if run_id in fences}
    if not wanted:
        return []
    with store.transaction():
        # Nobody takes a run over, nor its requests, before this is through.
        own = {run for run in sorted(wanted) if _fence_of(store, run) == fences[wanted[run]]}
        found = [
            Request(number, run_id, kind, json.loads(details), asker)
            for number, run, run_id, kind, details, asker in store.ask("open_requests")
            if run in own
        ]
        for request in found:
            store.execute(
                f"UPDATE requests SET taken = {store.mark} WHERE id = {store.mark}",
                (clock.now(), request.number),
            )
    return found


def _open_runs(store: Store) -> set[tuple[int, str]]:
    """Of which runs something is asked that nobody has taken: their keys and ids."""
    return {(run, run_id) for _, run, run_id, *_ in store.ask("open_requests")}


def _fence_of(store: Store, run: int) -> int | None:
    """Under which fence a run is written; None where it was removed."""
    try:
        return held_run(store, run).fence
    except UnknownRun:
        return None


def who_asks() -> str:
    """User, host and process, for people."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}:{os.getpid()}"
