"""What is done to a ledger as a whole: how large it is, bringing its tables up to date, emptying it."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from prefect_dask.engine import clock
from prefect_dask.ledger.configured import home_of_ledgers
from prefect_dask.ledger.errors import RunAlive
from prefect_dask.ledger.facts import Contents, RunContents
from prefect_dask.ledger.leases import AT_WORK, Held, cause_of_death
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.migrations import latest_version, ways_down
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.store import Store
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


class Loss(NamedTuple):
    """What is lost on one step of the way down: in words, and how many rows."""

    what: str
    rows: int


def losses(ledger: Ledger, version: int) -> list[Loss]:
    """What a ledger loses on the way down to an earlier version of its tables; the latest step is first.

    Args:
        ledger: The ledger; it is brought up to date first.
        version: From 1 to the latest one.

    Raises:
        NothingRecorded: There is none.
    """
    with ledger.opened() as store:
        found = []
        for way in reversed(ways_down()[version - 1 :]):
            tables = re.findall(r"^DROP TABLE (\w+);$", way.step, re.M)
            rows = [store.execute(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
            found.append(Loss(way.loses, sum(map(int, rows))))
        return found


def downgrade(ledger: Ledger, version: int) -> None:
    """Bring a ledger's tables down to an earlier version, for an older prefect_dask.

    What both versions know stays as it is. A process of this version that opens the ledger brings it up again.

    Args:
        ledger: The ledger.
        version: From 1 to the latest one.

    Raises:
        NothingRecorded: There is none.
        RunAlive: A process is at a run; nothing was changed.
        CannotGoDown: The database is too old; nothing was changed.
        LedgerAway: The same; it cannot be written now.
    """
    with ledger.opened() as store:
        try:
            with store.transaction():
                store.lock_tables()
                _raise_if_at_work(store)
                store.migrate_down(version)
        except Exception as error:
            store.raise_away(error)
            raise


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
            _raise_if_at_work(store)
            # What others point to comes first in TABLES.
            for table in reversed(TABLES.values()):
                store.execute(f"DELETE FROM {table.name}")
    results: Path = home_of_ledgers() / "results"
    for run_id in run_ids:
        shutil.rmtree(results / run_id, ignore_errors=True)


def _raise_if_at_work(store: Store) -> None:
    """See within a transaction that no process is at a run.

    Raises:
        RunAlive: One is.
    """
    for run, *values in store.ask("held_runs"):
        held = Held(*values)
        if held.state in AT_WORK and cause_of_death(held, clock.now(), clock.monotonic()) is None:
            query = f"SELECT run_id FROM flow_runs WHERE id = {store.mark}"
            [(run_id,)] = store.execute(query, (run,))
            raise RunAlive(run_id, held.coordinator)
