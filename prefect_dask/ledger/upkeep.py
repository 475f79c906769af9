"""What is done to a ledger as a whole: how large it is, bringing its tables up to date, emptying it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from prefect_dask.engine import clock
from prefect_dask.ledger.configured import home_of_ledgers
from prefect_dask.ledger.errors import RunAlive
from prefect_dask.ledger.facts import Contents, RunContents
from prefect_dask.ledger.leases import AT_WORK, Held, cause_of_death
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.migrations import latest_version
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.writer import open_store


def tables_version(place: Place) -> tuple[int, int]:
    """The version of a ledger's tables, 0 where there are none, and the latest one; changes nothing.

    Raises:
        LedgerRefused: There is something else.
        LedgerAway: It cannot be reached now.
    """
    with closing(open_store(place)) as store:
        return store.tables_version(), latest_version()


def upgrade(place: Place) -> tuple[int, int]:
    """Bring a ledger's tables up to date; where there is no ledger one is made.

    Returns:
        Their version before, and now.

    Raises:
        LedgerRefused: It cannot be done; nothing was changed.
        LedgerAway: It cannot be reached now.
    """
    with closing(open_store(place)) as store:
        before = store.tables_version()
        store.open()
        return before, latest_version()


def contents(ledger: Ledger) -> Contents:
    """How much a ledger holds.

    Raises:
        NothingRecorded: There is none.
    """
    with ledger.opened() as store:
        [row] = store.ask("contents")
        return Contents(*map(int, row))


def contents_of_run(ledger: Ledger, run_id: str) -> RunContents:
    """How much a ledger holds of a flow run.

    Args:
        ledger: The ledger.
        run_id: The run's id, or as much of the beginning as tells it from others.

    Raises:
        UnknownRun: There is none, or several begin like this.
    """
    key = ledger.flow_run(run_id).key
    with ledger.opened() as store:
        store.unpack(key)
        [row] = store.ask("contents_of_run", (key, key, key))
        return RunContents(*map(int, row))


def reset(ledger: Ledger) -> None:
    """Empty a ledger: all that was recorded, and the files with results of these runs, are gone.

    Raises:
        NothingRecorded: There is none.
        RunAlive: A process is at a run; nothing was removed.
        LedgerAway: The same; it cannot be written now.
    """
    with ledger.opened() as store:
        run_ids = [run_id for (run_id,) in store.ask("run_ids", (1 << 31,))]
        with store.transaction():
            for run, *values in store.ask("held_runs"):
                held = Held(*values)
                if (
                    held.state in AT_WORK
                    and cause_of_death(held, clock.now(), clock.monotonic()) is None
                ):
                    [(run_id,)] = store.execute(
                        f"SELECT run_id FROM flow_runs WHERE id = {store.mark}", (run,)
                    )
                    raise RunAlive(run_id, held.coordinator)
            # What others point to comes first in TABLES.
            for table in reversed(TABLES.values()):
                store.execute(f"DELETE FROM {table.name}")
    results: Path = home_of_ledgers() / "results"
    for run_id in run_ids:
        shutil.rmtree(results / run_id, ignore_errors=True)
