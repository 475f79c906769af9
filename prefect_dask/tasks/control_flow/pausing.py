"""pause_task(): a task asks in the middle of its work whether it may go on."""

from __future__ import annotations

from prefect_dask.engine.context import context
from prefect_dask.engine.signals import PAUSE


def pause_task(message: str | None = None) -> None:
    """Pause the running task until somebody lets it go on; then its body runs from the start.

    On a terminal the run asks; elsewhere it ends in Paused, and can be resumed.

    Args:
        message: Why, for the person who is asked.

    Raises:
        PAUSE: The signal, unless the task was told to go on.
    """
    if not context.get("resume"):
        raise PAUSE(message or "the task asked for a pause")
