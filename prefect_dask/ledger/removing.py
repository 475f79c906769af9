"""Forgetting a flow run: its rows in all tables, and its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from prefect_dask.ledger.errors import RunAlive
from prefect_dask.ledger.facts import RecordedFlowRun
from prefect_dask.ledger.leases import AT_WORK, held_run
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.store import Store

#: How the names of folders begin that are on their way out.
REMOVED: Final = ".removed-"


def remove_run(store: Store, run: RecordedFlowRun, results: Path) -> None:
    """Remove a run, unless a process is at it.

    The folder with its results is renamed while the run is locked, so that nobody takes it up meanwhile, and
    emptied afterwards. What a process that died in between has left there goes with the next run.

    Args:
        store: An open store.
        run: The run.
        results: Where each run has its folder.

    Raises:
        UnknownRun: Somebody else has removed it.
        RunAlive: A process is at it.
        LedgerAway: Nothing was removed.
        OSError: The record is gone, and some files are not.
    """
    folder, leaving = results / run.run_id, results / f"{REMOVED}{run.run_id}"
    is_leaving = False
    try:
        with store.transaction():
            held = held_run(store, run.key)
            if held.state in AT_WORK:
                raise RunAlive(run.run_id, held.coordinator)
            _remove_rows(store, run.key)
            _sweep([leaving])
            if folder.is_dir():
                folder.rename(leaving)
                is_leaving = True
    except BaseException as error:
        if is_leaving:
            leaving.rename(folder)
        store.raise_away(error)
        raise
    _sweep(results.glob(f"{REMOVED}*"))


def _remove_rows(store: Store, run: int) -> None:
    m = store.mark
    [(flow,)] = store.execute(f"SELECT flow FROM flow_runs WHERE id = {m}", (run,))
    for table in TABLES.values():
        if "run" in table.names:
            store.execute(f"DELETE FROM {table.name} WHERE run = {m}", (run,))
    store.execute(f"DELETE FROM flow_runs WHERE id = {m}", (run,))
    store.execute(
        f"DELETE FROM flows WHERE id = {m} AND NOT EXISTS (SELECT 1 FROM flow_runs WHERE flow = {m})",
        (flow, flow),
    )


def _sweep(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(FileNotFoundError):  # another process is at it too
            shutil.rmtree(folder)
