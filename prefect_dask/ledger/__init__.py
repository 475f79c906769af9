"""What happened, kept: each flow run is recorded here, with its task runs, states, log lines and results.

The way in is `record_run`, which `flow.run` uses; the way out is `Ledger`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.failures import type_and_text_of
from prefect_dask.engine.logs import get_logger
from prefect_dask.ledger.configured import configured_place, home_of_ledgers, journal_folder
from prefect_dask.ledger.places import Place, place_of
from prefect_dask.settings import NoHomeFolder

if TYPE_CHECKING:
    from prefect_dask.engine.steering import Steering
    from prefect_dask.ledger.ledger import Ledger
    from prefect_dask.ledger.recording import Recording

__all__ = ["Ledger", "record_run"]


@contextmanager
def record_run(
    given: Ledger | str | os.PathLike[str] | None = None,
    *,
    origin: str | None = None,
    steering: Steering | None = None,
) -> Iterator[Recording | None]:
    """What records one flow run within the block; None where it is not to be recorded.

    Args:
        given: A ledger, or what names one; when not given, what the configuration says.
        origin: The file in which the flow was made, where it was made in one.
        steering: Is told what other processes ask of the run.

    Raises:
        LedgerRefused: It cannot be used; nothing has run.
    """
    place = place_given(given)
    if place is None:
        yield None
        return
    from prefect_dask.ledger.recording import Recording
    from prefect_dask.ledger.writer import writer_for

    writer = writer_for(place, journal_folder())
    writer.check()
    observer = Recording(writer, origin=origin, steering=steering)
    with observer.listening():
        yield observer


def place_given(given: Ledger | str | os.PathLike[str] | None) -> Place | None:
    """Where a run is recorded for which this is given; None where it is not recorded, or cannot be."""
    if isinstance(given, str | os.PathLike):
        return place_of(given, home_of_ledgers())
    if given is not None:
        return given.place
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
        _tell_unrecorded(type_and_text_of(error))
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


def __getattr__(name: str) -> Any:
    # Most processes record runs and read none.
    if name == "Ledger":
        from prefect_dask.ledger.ledger import Ledger

        return Ledger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
