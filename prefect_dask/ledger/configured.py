"""Which ledger is meant where none is named, and where its journal is."""

from __future__ import annotations

from pathlib import Path

from prefect_dask.engine.home import report_file
from prefect_dask.ledger.places import Place, place_of
from prefect_dask.settings import NoHomeFolder, config, home_folder


def configured_place() -> Place | None:
    """The ledger that the configuration names; None for "none".

    Raises:
        NoLedgerThere: It names no place.
        NoHomeFolder: It is the one in the home folder, and the system knows no home for this user.
    """
    url = config.ledger.url
    return place_of(url, home_of_ledgers() if url else home_folder())


def journal_folder() -> Path:
    """Where entries wait while a ledger is away."""
    told = config.ledger.journal
    return Path(told).expanduser().absolute() if told else home_of_ledgers() / "journals"


def log_of_detached(run_id: str) -> Path:
    """Where the process of a detached flow run writes what it has to say beside its record."""
    return home_of_ledgers() / "detached" / f"{run_id}.log"


def report_of(run_id: str) -> Path:
    """Where Dask's performance report of a flow run is, where that was written to the home folder."""
    return report_file(home_of_ledgers(), run_id)


def home_of_ledgers() -> Path:
    """The home folder; one among the temporary files where the system knows no home for this user."""
    try:
        return home_folder()
    except NoHomeFolder:
        import tempfile

        return Path(tempfile.gettempdir()) / "prefect_dask"
