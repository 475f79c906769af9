"""raise_on_exception(): a failed run raises what its task raised, for looking into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prefect_dask.engine.context import context
from prefect_dask.engine.folded import noteworthy
from prefect_dask.engine.state import Mapped, State, TriggerFailed


@contextmanager
def raise_on_exception() -> Iterator[None]:
    """Within the block, `flow.run()` raises the first exception of a task, once the run is over.

    For tests and debuggers: the traceback leads into the task, where that ran in this process.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def broken() -> float:
        ...     return 1 / 0
        >>> with Flow("broken") as flow:
        ...     _ = broken()
        >>> with raise_on_exception():
        ...     flow.run()
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
    """
    with context(raise_on_exception=True):
        yield


def raise_first_failure(final: State) -> None:
    """Raise the exception of the first task that failed, where `raise_on_exception` asks for it.

    Args:
        final: The flow's state at the end of a run.
    """
    if not context.get("raise_on_exception") or not final.is_failed():
        return
    states = final.result if isinstance(final.result, Mapping) else {}
    for state in states.values():
        error = first_exception(state)
        if error is not None:
            raise error
    if isinstance(final.result, BaseException):
        raise final.result


def first_exception(state: State) -> BaseException | None:
    """What a task raised, or the first of its children that did; None where nothing ran and failed."""
    for _, child in noteworthy(state.map_states if isinstance(state, Mapped) else ()):
        error = first_exception(child)
        if error is not None:
            return error
    if not state.is_failed() or isinstance(state, TriggerFailed):
        return None
    return state.result if isinstance(state.result, BaseException) else None
