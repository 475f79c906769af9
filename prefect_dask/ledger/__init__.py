"""What happened, kept: each flow run is recorded here, with its task runs, states, log lines and results.

The way in is `recording`, which `flow.run` uses; the way out is `Ledger`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from prefect_dask.engine.logs import get_logger
from prefect_dask.ledger.ledger import Ledger, configured_place, journal_folder
from prefect_dask.ledger.places import Place, place_of
from prefect_dask.ledger.recording import Recording
from prefect_dask.ledger.writer import writer_for
from prefect_dask.settings import NoHomeFolder

__all__ = ["GivenLedger", "Ledger", "recording"]

#: What a user may give as a ledger.
GivenLedger: TypeAlias = Ledger | str | os.PathLike[str] | None


@contextmanager
def recording(given: GivenLedger = None) -> Iterator[Recording | None]:
    """What records one flow run within the block; None where it is not to be recorded.

    Args:
        given: A ledger, or what names one; when not given, what the configuration says.

    Raises:
        LedgerRefused: It cannot be used; nothing has run.
    """
    place = _place(given)
    if place is None:
        yield None
        return
    writer = writer_for(place, journal_folder())
    writer.check()
    observer = Recording(writer)
    with observer.listening():
        yield observer


def _place(given: GivenLedger) -> Place | None:
    if isinstance(given, Ledger):
        return given.place
    if given is not None:
        return place_of(given, journal_folder().parent)
    try:
        place = configured_place()
    except NoHomeFolder as error:
        _tell_unrecorded(str(error))
        return None
    if place is None or not place.is_default:
        return place
    folder = Path(place.target).parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        _tell_unrecorded(f"{type(error).__name__}: {error}")
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        _tell_unrecorded(f"{folder} cannot be written to")
        return None
    return place


def _tell_unrecorded(cause: str) -> None:
    get_logger("ledger").warning(
        "this run is not recorded: %s; set PREFECT_HOME or PREFECT_LEDGER_URL, or run with ledger='none'",
        cause,
    )
