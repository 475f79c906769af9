"""mapped(), unmapped(), flatten(): marks on an input that say how it meets its task."""

from __future__ import annotations

from typing import Any, NamedTuple


class EdgeAnnotation:
    """A mark on an input of a task. Marks nest; the outer one wins.

    Args:
        value: A task, a value, or an input that bears a mark already.
    """

    #: Whether the task is mapped over the input; None where the mark does not say.
    maps: bool | None = None
    #: Whether one level of nesting is taken off the input.
    flattens: bool = False

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class mapped(EdgeAnnotation):
    """Run the task once for each item of this input.

    >>> mapped([1, 2, 3])
    mapped([1, 2, 3])
    """

    maps = True


class unmapped(EdgeAnnotation):
    """Hand this input whole to each child of a mapped task."""

    maps = False


class flatten(EdgeAnnotation):
    """Take one level of nesting off this input: [[1, 2], [3]] arrives as [1, 2, 3]."""

    flattens = True


class MarkedInput(NamedTuple):
    """An input without its marks, and what they said."""

    value: Any
    mapped: bool
    flattened: bool


def read_marks(given: Any, *, mapped: bool = False) -> MarkedInput:
    """What the marks on an input say.

    Args:
        given: The input, marked or not.
        mapped: What holds where no mark says whether to map.

    Example:
        >>> read_marks(unmapped(flatten(7)), mapped=True)
        MarkedInput(value=7, mapped=False, flattened=True)
        >>> read_marks(flatten(7), mapped=True)
        MarkedInput(value=7, mapped=True, flattened=True)
    """
    maps: bool | None = None
    flattens = False
    while isinstance(given, EdgeAnnotation):
        maps = given.maps if maps is None else maps
        flattens = flattens or given.flattens
        given = given.value
    return MarkedInput(given, mapped if maps is None else maps, flattens)
