"""List, Tuple, Set, Dict: tasks that build a collection of what other tasks return.

Nobody has to write them: a flow makes one wherever a list, tuple, set or dict with tasks inside is
an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from prefect_dask.engine.graph import ShownAs
from prefect_dask.task import Task


class Collection(Task):
    """A task that builds a collection. Its inputs are named "0", "1", … in their order."""

    gathers: ClassVar[bool] = True
    shown_as: ClassVar[ShownAs] = "collection"
    echoes_inputs = True

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("checkpoint", False)
        super().__init__(**settings)


class List(Collection):
    """A list of its inputs."""

    def run(self, **items: Any) -> list[Any]:
        return in_order(items)


class Tuple(Collection):
    """A tuple of its inputs.

    Args:
        kind: The class of the tuple, for named ones.
        settings: As for `Task`.
    """

    def __init__(self, kind: type[tuple[Any, ...]] = tuple, **settings: Any) -> None:
        self.kind = kind
        super().__init__(**settings)

    def run(self, **items: Any) -> tuple[Any, ...]:
        make = getattr(self.kind, "_make", tuple)
        made: tuple[Any, ...] = make(in_order(items))
        return made


class Set(Collection):
    """A set of its inputs."""

    def run(self, **items: Any) -> set[Any]:
        return set(in_order(items))


class Dict(Collection):
    """A dict from `keys` to its other inputs."""

    def run(self, keys: Sequence[Any], **items: Any) -> dict[Any, Any]:
        return dict(zip(keys, in_order(items), strict=True))


def in_order(items: Mapping[str, Any]) -> list[Any]:
    """The values named "0", "1", … in the order of these numbers.

    >>> in_order({"1": "b", "0": "a"})
    ['a', 'b']
    """
    return [items[str(index)] for index in range(len(items))]
