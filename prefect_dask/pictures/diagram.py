"""What a picture of a flow shows: boxes and arrows, as plain data. Where they stand, `layout` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Final, Literal, TypeAlias

from prefect_dask.engine.graph import ShownAs
from prefect_dask.pictures.counts import StateCounts, summed
from prefect_dask.pictures.grouping import MOST_BOXES, grouped
from prefect_dask.pictures.outline import Outline, OutlineEdge

#: What an arrow tells of its edges: a result is handed over, item by item, or only a state counts.
ArrowKind: TypeAlias = Literal["data", "mapped", "state"]

#: Whether tasks share boxes: as soon as there are too many to be read, wherever they can, never.
Grouping: TypeAlias = Literal["auto"] | bool

MOST_ARROWS: Final = 150
"""With more arrows nothing is seen: where tasks share boxes, and where a run goes on in the picture, those are left
out that only say once more that one box waits for another."""

FEW_NAMES: Final = 3
"""So many names are told of what shares a box or an arrow."""


@dataclass(frozen=True, slots=True)
class Box:
    """What stands in one place of a picture: a task with its children, or several tasks.

    Attributes:
        number: Its place in `Diagram.boxes`.
        tasks: The places of its tasks in the flow.
        title: What it is called: a name, or a few of them.
        slugs: The slugs of its tasks.
        shown_as: What its tasks are shown as; "task" where they differ.
        is_mapped: Whether its tasks, all of them, have children.
        layers: How many of its tasks run one after the other at most: 1 where none waits for another.
        states: How many of their runs are at which state; {} where nothing is known.
    """

    number: int
    tasks: tuple[int, ...]
    title: str
    slugs: tuple[str, ...]
    shown_as: ShownAs
    is_mapped: bool
    layers: int
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Arrow:
    """The edges of one kind between two boxes.

    Attributes:
        above: The number of the box that it leaves.
        below: The number of the box that it leads to.
        kind: What its edges hand over.
        keys: The arguments that receive results, each once.
        flattened: Whether one level of nesting is taken off.
        count: How many edges it stands for.
    """

    above: int
    below: int
    kind: ArrowKind
    keys: tuple[str, ...]
    flattened: bool
    count: int


@dataclass(frozen=True, slots=True)
class Diagram:
    """What a picture of a flow shows.

    Attributes:
        flow: The flow's name.
        boxes: In the order of their first tasks.
        arrows: Between them.
        box_of: For each task of the flow, the number of its box.
    """

    flow: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    box_of: tuple[int, ...]


def diagram_of(
    outline: Outline, counts: StateCounts | None = None, group: Grouping = "auto"
) -> Diagram:
    """What a picture of a flow shows.

    Args:
        outline: The flow.
        counts: How many runs of each task are at which state; not known when not given.
        group: Whether alike tasks share boxes: "auto" where there are more than `MOST_BOXES` tasks, True wherever
            they can, False never.

    Example:
        >>> from prefect_dask.pictures.outline import OutlineTask
        >>> tasks = OutlineTask("load", "load-1"), OutlineTask("save", "save-1")
        >>> diagram = diagram_of(Outline("etl", tasks, (OutlineEdge(0, 1, "rows"),)))
        >>> [box.title for box in diagram.boxes], [arrow.keys for arrow in diagram.arrows]
        (['load', 'save'], [('rows',)])
    """
    count = len(outline.tasks)
    if group is True or (group == "auto" and count > MOST_BOXES):
        members = grouped(outline)
    else:
        members = [[task] for task in range(count)]
    box_of = [0] * count
    for number, tasks in enumerate(members):
        for task in tasks:
            box_of[task] = number
    own = _own_names(outline)
    layers = _layers(outline, box_of)
    boxes = tuple(
        _box(outline, number, tasks, own, counts or {}, layers[number])
        for number, tasks in enumerate(members)
    )
    arrows = _arrows(outline.edges, box_of, boxes)
    diagram = Diagram(outline.name, boxes, arrows, tuple(box_of))
    return without_implied(diagram) if len(boxes) < count else diagram


def without_implied(diagram: Diagram) -> Diagram:
    """The diagram; where arrows are too many, without those beside which there is a longer way."""
    if len(diagram.arrows) <= MOST_ARROWS:
        return diagram
    return replace(diagram, arrows=_telling(diagram.arrows, len(diagram.boxes)))


def _own_names(outline: Outline) -> list[str]:
    """What each task is called: its slug, where its name says too little."""
    seen: dict[str, int] = {}
    for task in outline.tasks:
        seen[task.name] = seen.get(task.name, 0) + 1
    return [
        task.name if seen[task.name] == 1 or task.shown_as in ("case", "constant") else task.slug
        for task in outline.tasks
    ]


def _box(
    outline: Outline,
    number: int,
    tasks: Sequence[int],
    own_names: Sequence[str],
    counts: StateCounts,
    layers: int,
) -> Box:
    its = [outline.tasks[task] for task in tasks]
    names = [own_names[tasks[0]]] if len(tasks) == 1 else [task.name for task in its]
    kinds = {task.shown_as for task in its}
    return Box(
        number,
        tuple(tasks),
        few(names),
        tuple(task.slug for task in its),
        kinds.pop() if len(kinds) == 1 else "task",
        all(task.is_mapped for task in its),
        layers,
        summed(counts, tasks),
    )


def few(names: Sequence[str]) -> str:
    """Names, each once; of many the first, the last, and how many there are.

    >>> few(["load", "load"]), few(["a", "b", "c"]), few([f"load {i}" for i in range(9)])
    ('load', 'a, b, c', 'load 0 … load 8')
    """
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= FEW_NAMES:
        return ", ".join(distinct)
    return f"{distinct[0]} … {distinct[-1]}"


def _layers(outline: Outline, box_of: Sequence[int]) -> list[int]:
    """How many tasks of each box run one after the other at most."""
    layers = [0] * (max(box_of, default=-1) + 1)
    depths = [1] * len(box_of)
    above: dict[int, list[int]] = {}
    for edge in outline.edges:
        if box_of[edge.above] == box_of[edge.below]:
            above.setdefault(edge.below, []).append(edge.above)
    for task, box in enumerate(box_of):
        depths[task] += max([depths[each] for each in above.get(task, ())], default=0)
        layers[box] = max(layers[box], depths[task])
    return layers


def _arrows(
    edges: Sequence[OutlineEdge], box_of: Sequence[int], boxes: Sequence[Box]
) -> tuple[Arrow, ...]:
    together: dict[tuple[int, int, ArrowKind], list[OutlineEdge]] = {}
    for edge in edges:
        above, below = box_of[edge.above], box_of[edge.below]
        if above != below:
            together.setdefault((above, below, _kind_of(edge)), []).append(edge)
    return tuple(
        Arrow(above, below, kind, _keys(its, boxes[below]), any(e.flattened for e in its), len(its))
        for (above, below, kind), its in together.items()
    )


def _telling(arrows: Sequence[Arrow], box_count: int) -> tuple[Arrow, ...]:
    """The arrows between boxes between which there is no longer way."""
    above: list[set[int]] = [set() for _ in range(box_count)]
    for arrow in arrows:
        above[arrow.below].add(arrow.above)
    #: From where each box is reached, as bits.
    reached = [0] * box_count
    telling: set[tuple[int, int]] = set()
    order = list(TopologicalSorter(dict(enumerate(above))).static_order())
    place = {box: each for each, box in enumerate(order)}
    for box in order:
        for other in sorted(above[box], key=lambda each: -place[each]):
            if not reached[box] >> other & 1:
                telling.add((other, box))
            reached[box] |= reached[other] | 1 << other
    return tuple(arrow for arrow in arrows if (arrow.above, arrow.below) in telling)


def _kind_of(edge: OutlineEdge) -> ArrowKind:
    if edge.mapped:
        return "mapped"
    return "state" if edge.key is None else "data"


def _keys(edges: Sequence[OutlineEdge], below: Box) -> tuple[str, ...]:
    if below.shown_as == "collection":
        return ()  # the arguments of a collection are places in it
    return tuple(dict.fromkeys(edge.key for edge in edges if edge.key is not None))
