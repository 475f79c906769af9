"""Which tasks of a large flow are shown as one box: pure decisions, in linear time a step.

A box may hold tasks that have no path between them, or a path that leaves nothing out: seen from outside the boxes
wait for each other without a cycle, as the tasks do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Final, TypeAlias

from prefect_dask.pictures.outline import Outline, OutlineTask

MOST_BOXES: Final = 60
"""A picture with so many boxes can still be read; a flow with more tasks is grouped."""

BEARABLE_BOXES: Final = 150
"""So many are borne before tasks of different kinds come into one box because of their place alone."""

FEWEST: Final = 4
"""Fewer alike tasks than these stay as they are: a box for each says more than a number."""

#: Of each task, the number of the box that it is in.
Parts: TypeAlias = list[int]

_NUMBER = re.compile(r"\d+")

#: What a flow makes of what is written in it; their names are values, and tell nothing of what they do.
_NAMED_BY_VALUE = frozenset({"constant", "case"})


def grouped(outline: Outline, most: int = MOST_BOXES) -> list[list[int]]:
    """The tasks of a flow in at most about `most` boxes; tasks that do the same thing at the same place share one.

    Tried are, one after the other, until the boxes are few enough: alike tasks with like neighbours; alike tasks at
    the same depth; with either, boxes that stand in a row as one; and any tasks at about the same depth.

    Args:
        outline: The flow.
        most: How many boxes can be read.

    Returns:
        The tasks of each box, in order; each task is in one of them. More than `most`, but at most
        `BEARABLE_BOXES`, only where fewer would put different things into one box.

    Example:
        >>> from prefect_dask.pictures.outline import OutlineEdge
        >>> tasks = [OutlineTask("load", f"load-{i}") for i in range(5)] + [OutlineTask("add", "add-1")]
        >>> grouped(Outline("sums", tuple(tasks), tuple(OutlineEdge(i, 5, f"x{i}") for i in range(5))))
        [[0, 1, 2, 3, 4], [5]]
    """
    links = _Links(outline)
    likeness = [_likeness(task) for task in outline.tasks]
    bearable: list[list[list[int]]] = []
    for parts in _ways(links, likeness):
        boxes = _members(parts)
        if len(boxes) <= most:
            return boxes
        if len(boxes) <= BEARABLE_BOXES:
            bearable.append(boxes)
    return bearable[0] if bearable else _members(_bands(links, most))


def _ways(links: _Links, likeness: Sequence[Hashable]) -> Iterator[Parts]:
    """Ways to put tasks into boxes that keep different things apart, those that tell most first."""
    neighbours = _alike_neighbours(links, likeness, rows=_same)
    if neighbours is not None:
        yield neighbours
        yield _rows_of_boxes(links, neighbours, likeness, rows=_same)
    neighbours = _alike_neighbours(links, likeness, rows=_any)
    if neighbours is not None:
        yield _rows_of_boxes(links, neighbours, likeness, rows=_any)
    depths = _without_few(_numbered(list(zip(links.depths(), likeness, strict=True))))
    yield depths
    yield _rows_of_boxes(links, depths, likeness, rows=_same)
    yield _rows_of_boxes(links, depths, likeness, rows=_any)


def _likeness(task: OutlineTask) -> Hashable:
    """Equal for tasks that seem to do the same; `load 1` and `load 2` do."""
    name = "" if task.shown_as in _NAMED_BY_VALUE else _NUMBER.sub("#", task.name)
    return name, task.shown_as, task.is_mapped


class _Links:
    """What each task, or box, waits for, and what waits for it."""

    def __init__(self, outline: Outline) -> None:
        count = len(outline.tasks)
        self.above: list[set[int]] = [set() for _ in range(count)]
        self.below: list[set[int]] = [set() for _ in range(count)]
        for edge in outline.edges:
            self.above[edge.below].add(edge.above)
            self.below[edge.above].add(edge.below)

    def between(self, parts: Parts) -> _Links:
        """The links between boxes."""
        count = max(parts, default=-1) + 1
        whole = object.__new__(_Links)
        whole.above = [set() for _ in range(count)]
        whole.below = [set() for _ in range(count)]
        for task, above in enumerate(self.above):
            mine = parts[task]
            for other in {parts[each] for each in above} - {mine}:
                whole.above[mine].add(other)
                whole.below[other].add(mine)
        return whole

    def depths(self) -> list[int]:
        """How long the longest way from the top is to each."""
        depths = [0] * len(self.above)
        for each in TopologicalSorter(dict(enumerate(self.above))).static_order():
            depths[each] = 1 + max([depths[above] for above in self.above[each]], default=-1)
        return depths


_Rows: TypeAlias = Callable[[Hashable, Hashable], bool]


def _same(one: Hashable, other: Hashable) -> bool:
    return one == other


def _any(one: Hashable, other: Hashable) -> bool:
    return True


def _alike_neighbours(links: _Links, likeness: Sequence[Hashable], *, rows: _Rows) -> Parts | None:
    """Alike tasks whose neighbours are alike, in both directions and as far as one goes; None where these are many.

    Rows come first: in a row each task has other neighbours.
    """
    parts = _in_rows(links, likeness, rows)
    between = links.between(parts)
    seen_as: list[Hashable] = [
        tuple(dict.fromkeys(likeness[task] for task in members)) for members in _members(parts)
    ]
    classes = _numbered(seen_as)
    count = max(classes, default=-1) + 1
    # Of tasks one below the other no two come into one class.
    if 1 + max(between.depths(), default=0) > BEARABLE_BOXES:
        return None
    while count <= BEARABLE_BOXES:
        refined = _numbered(
            [
                (
                    mine,
                    frozenset([classes[each] for each in above]),
                    frozenset([classes[each] for each in below]),
                )
                for mine, above, below in zip(classes, between.above, between.below, strict=True)
            ]
        )
        before, count = count, max(refined, default=-1) + 1
        classes = refined
        if count == before:
            classes = _without_few(classes)
            return [classes[part] for part in parts]
    return None


def _rows_of_boxes(links: _Links, parts: Parts, likeness: Sequence[Hashable], rows: _Rows) -> Parts:
    """The boxes that stand in a row, in one box."""
    seen_as: list[Hashable] = [
        tuple(dict.fromkeys(likeness[task] for task in members)) for members in _members(parts)
    ]
    parts = _numbered(parts)
    row_of = _in_rows(links.between(parts), seen_as, rows)
    return [row_of[part] for part in parts]


def _bands(links: _Links, most: int) -> Parts:
    """All tasks that are about equally far from the top."""
    depths = links.depths()
    deepest = max(depths, default=0) + 1
    return [depth if deepest <= most else depth * most // deepest for depth in depths]


def _in_rows(links: _Links, likeness: Sequence[Hashable], rows: _Rows) -> Parts:
    """At least `FEWEST` in a row, each waiting for the one before alone and awaited by none but the next."""

    def next_of(task: int) -> int | None:
        if len(links.below[task]) == 1:
            [below] = links.below[task]
            if len(links.above[below]) == 1 and rows(likeness[task], likeness[below]):
                return below
        return None

    following = [next_of(task) for task in range(len(likeness))]
    parts: Parts = list(range(len(likeness)))
    for first in set(range(len(likeness))) - set(following):
        row = [first]
        while (after := following[row[-1]]) is not None:
            row.append(after)
        if len(row) >= FEWEST:
            for task in row:
                parts[task] = first
    return _numbered(parts)


def _without_few(parts: Parts) -> Parts:
    """Boxes of fewer than `FEWEST` taken apart."""
    sizes: dict[int, int] = defaultdict(int)
    for part in parts:
        sizes[part] += 1
    return _numbered(
        [(part, -1 if sizes[part] >= FEWEST else task) for task, part in enumerate(parts)]
    )


def _numbered(things: Sequence[Hashable]) -> Parts:
    """Numbers for things, equal for equal ones, from 0 on in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(thing, len(numbers)) for thing in things]


def _members(parts: Parts) -> list[list[int]]:
    """The tasks of each box, in order of the first of them."""
    members: dict[int, list[int]] = {}
    for task, part in enumerate(parts):
        members.setdefault(part, []).append(task)
    return list(members.values())
