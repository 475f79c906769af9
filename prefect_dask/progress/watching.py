"""Who follows a flow run, from what `flow.run(progress=…)` is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_dask.progress.watch import Watch


@contextmanager
def watching(progress: bool | Watch) -> Iterator[Watch | None]:
    """What follows a flow run within the block.

    Args:
        progress: Whether it is drawn on standard error; or who follows it.
    """
    if isinstance(progress, Watch):
        yield progress
    elif progress:
        from prefect_dask.progress.drawing import Drawn

        with Drawn().drawing() as watch:
            yield watch
    else:
        yield None
