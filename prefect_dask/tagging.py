"""tags(): words that every task made in a block gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_dask.engine.context import context


@contextmanager
def tags(*names: str) -> Iterator[None]:
    """Give these tags to every task that is made, copied or called within the block.

    Blocks nest: the tags of all enclosing blocks unite.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tags() takes words, each a string; got {name!r}")
    with context(tags=frozenset(names) | (context.get("tags") or frozenset())):
        yield
