"""Who follows a flow run, from what `flow.run(progress=…)` is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prefect_dask.engine.context import context
from prefect_dask.progress.watch import Watch


def watching(progress: bool | Watch | None) -> AbstractContextManager[Watch | None]:
    """What follows a flow run within the block.

    Args:
        progress: Whether it is drawn: below the cell of a notebook, else on standard error; or who follows it. With
            None it is drawn in a notebook only, and there not for a run within a task of another one.
    """
    if isinstance(progress, Watch):
        return nullcontext(progress)
    if progress is False:
        return nullcontext()
    return _drawing(is_wanted=bool(progress))


@contextmanager
def _drawing(*, is_wanted: bool) -> Iterator[Watch | None]:
    from prefect_dask.notebook import kernel
    from prefect_dask.progress.drawing import Drawn

    in_cell = kernel.is_here()
    if not is_wanted and (not in_cell or context.get("task_run_id") is not None):
        yield None
        return
    screen = None
    if in_cell:
        from prefect_dask.notebook.screen import CellScreen

        screen = CellScreen()
    drawn = Drawn(screen=screen)
    if screen is not None:
        screen.watch = drawn
    with drawn.drawing() as watch:
        yield watch
