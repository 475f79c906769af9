"""What one seed means: a flow, where it runs, and what goes wrong when. Plain data, drawn from one number."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

#: What a task does: gives a list, takes each item of one, sums up, decides a branch, joins the branches.
Kind = Literal["list", "each", "total", "branch", "merge"]

Place = Literal["this thread", "threads", "processes", "cluster"]

#: Where the run is recorded.
Store = Literal["sqlite", "postgresql"]

#: The tag of tasks that fall under a limit.
SCARCE = "scarce"

#: Larger than what is kept with the record.
BIG_BYTES = 40_000

#: Of the points at which a process may be killed, those that it passes where its bodies run.
WORKING_POINTS = (
    "before execute",
    "after execute",
    "before store",
    "within store",
    "after store",
    "before send",
    "after send",
)

#: Those that only the coordinating process passes.
COORDINATING_POINTS = (
    "before record",
    "within record",
    "after record",
    "before release",
    "after release",
    "before take up",
    "after take up",
    "before end",
)


#: Those that a process passes once at most.
ONCE = ("before take up", "after take up", "before end")


@dataclass(frozen=True)
class TaskPlan:
    """One task.

    Attributes:
        number: Its place in the flow.
        kind: What it does.
        above: The tasks whose results it takes.
        width: Of a list: how many items.
        branch: Within which branch of which task it is.
        fails: Which of its children, or -1 for itself, fail, and how often.
        retry_seconds: How long a retry waits.
        is_big: Whether its results are too large to be kept with the record.
        is_durable: Whether its results are stored.
        seconds: How long its body takes.
        max_in_flight: How many items may be under way at once.
        is_scarce: Whether it has the tag `SCARCE`.
        is_named: Whether its results are written to named places.
    """

    number: int
    kind: Kind
    above: tuple[int, ...] = ()
    width: int = 0
    branch: tuple[int, bool] | None = None
    fails: Mapping[int, int] = field(default_factory=dict)
    retry_seconds: float = 0
    is_big: bool = False
    is_durable: bool = True
    seconds: float = 0
    max_in_flight: int | None = None
    is_scarce: bool = False
    is_named: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def retries(self) -> int:
        return max(self.fails.values(), default=0)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: "kill", "stop" (for a while), "stale" (stopped until another one has finished its run), "crash" (at
            a point), "full" (no room for files, for a while), "abort" (of connections), "delay" (of what travels),
            "restart" (in good order).
        target: "coordinator", "worker", "nanny", "scheduler", "ledger"; of connections: at whose end.
        after: When so many bodies have begun.
        seconds: For how long.
        point: Where in the code; the process dies when it comes there for the `nth` time.
        nth: See `point`.
    """

    kind: Literal["kill", "stop", "stale", "crash", "full", "abort", "delay", "restart"]
    target: Literal["coordinator", "worker", "nanny", "scheduler", "ledger"]
    after: int = 0
    seconds: float = 0
    point: str = ""
    nth: int = 1

    def __str__(self) -> str:
        if self.kind == "crash":
            return f"{self.target} is killed {self.point}, the {self.nth}. time"
        lasting = f" for {self.seconds:g} s" if self.seconds else ""
        return f"{self.kind} {self.target}{lasting} when {self.after} bodies have begun"


@dataclass(frozen=True)
class Case:
    """One seed's run.

    Attributes:
        seed: The seed.
        place: Where it runs.
        tasks: Its flow.
        faults: What goes wrong.
        keeps_all: Whether each result is kept until the end, or let go when nothing needs it any more.
        store: Where it is recorded.
        limits: How many task runs may be at work at once, by the name of the limit.
    """

    seed: int
    place: Place
    tasks: tuple[TaskPlan, ...]
    faults: tuple[Fault, ...]
    keeps_all: bool = True
    store: Store = "sqlite"
    limits: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        kept = "" if self.keeps_all else ", results are released"
        limits = f", limits {dict(self.limits)}" if self.limits else ""
        lines = [f"seed {self.seed}, on {self.place}, {self.store}{limits}{kept}", "flow:"]
        lines += [f"    {task}" for task in self.tasks]
        lines += ["faults:", *(f"    {fault}" for fault in self.faults)]
        return "\n".join(lines)


def case_of(seed: int) -> Case:
    """The case of a seed; the same each time."""
    draw = random.Random(seed)
    place: Place = draw.choices(
        ("this thread", "threads", "processes", "cluster"), weights=(1, 2, 2, 4)
    )[0]
    tasks = _draw_tasks(draw)
    bodies = sum(max(1, width) for width in widths_of(tasks).values())
    faults = tuple(_draw_fault(draw, place, bodies) for _ in range(draw.choice((1, 1, 2, 3))))
    case = Case(seed, place, tasks, faults, keeps_all=draw.random() < 0.6)
    # Of its own, so that a seed has the same flow and faults as before there was this.
    more = random.Random(f"more of {seed}")
    if more.random() < 0.25:
        case = _recorded_in_postgresql(case, more, bodies)
    if more.random() < 0.4:
        case = _with_limits(case, more)
    # Of its own, too. Where there is no room, what has to be written fails its task.
    names = random.Random(f"names of {seed}")
    if names.random() < 0.4 and not any(fault.kind == "full" for fault in case.faults):
        case = _with_names(case, names)
    return case


def _recorded_in_postgresql(case: Case, draw: random.Random, bodies: int) -> Case:
    restarts = tuple(
        Fault(draw.choice(("kill", "restart")), "ledger", draw.randint(1, max(1, 3 * bodies // 4)))
        for _ in range(draw.randint(1, 3))
    )
    return replace(case, store="postgresql", faults=case.faults + restarts)


def _with_limits(case: Case, draw: random.Random) -> Case:
    tasks = tuple(
        replace(task, is_scarce=task.kind != "merge" and draw.random() < 0.5) for task in case.tasks
    )
    limits = {f"tag:{SCARCE}": draw.randint(1, 3)}
    if draw.random() < 0.5:
        mapped = draw.choice([task for task in tasks if task.kind == "each"])
        limits[f"task:{mapped.name}"] = draw.randint(1, 2)
    return replace(case, tasks=tasks, limits=limits)


def _with_names(case: Case, draw: random.Random) -> Case:
    tasks = tuple(
        replace(task, is_named=task.kind != "merge" and draw.random() < 0.5) for task in case.tasks
    )
    return replace(case, tasks=tasks)


def _draw_tasks(draw: random.Random) -> tuple[TaskPlan, ...]:
    tasks: list[TaskPlan] = []

    def add(kind: Kind, *above: int, **more: object) -> int:
        number = len(tasks)
        width = widths_of(tasks)[above[0]] if kind == "each" else 0
        indices = range(width) if kind == "each" else [-1]
        fails = {i: draw.choice((1, 1, 2)) for i in indices if draw.random() < 0.12}
        common: dict[str, object] = {
            "fails": fails,
            "retry_seconds": draw.choice((0, 0, 0.3)),
            "is_big": draw.random() < 0.25,
            "is_durable": draw.random() < 0.85,
            "seconds": draw.choice((0, 0, 0.02, 0.1)),
        }
        tasks.append(TaskPlan(number, kind, above, **{**common, **more}))  # type: ignore[arg-type]  # drawn above
        return number

    ends = []
    for _ in range(draw.choice((1, 1, 2))):
        last = add("list", width=draw.randint(2, 12))
        for _ in range(draw.randint(1, 3)):
            last = add("each", last, max_in_flight=draw.choice((None, None, 2, 3)))
        ends.append(add("total", last))
    for _ in range(draw.randint(0, 2)):
        ends.append(add("total", draw.choice(ends)))
    if draw.random() < 0.5:
        decides = add("branch", ends[-1], is_big=False)
        parts = [add("total", draw.choice(ends), branch=(decides, way)) for way in (True, False)]
        ends.append(add("merge", *parts))
    add("total", *dict.fromkeys(ends))
    return tuple(tasks)


def _draw_fault(draw: random.Random, place: Place, bodies: int) -> Fault:
    after = draw.randint(1, max(1, 3 * bodies // 4))
    if place != "cluster":
        kind = draw.choice(("kill", "crash", "crash", "crash", "stop", "stale", "full"))
        target = "coordinator"
    else:
        kind, target = draw.choice(
            (
                ("kill", "coordinator"),
                ("kill", "worker"),
                ("kill", "worker"),
                ("kill", "nanny"),
                ("kill", "scheduler"),
                ("crash", "coordinator"),
                ("crash", "coordinator"),
                ("crash", "worker"),
                ("crash", "worker"),
                ("stop", "coordinator"),
                ("stop", "worker"),
                ("stop", "nanny"),
                ("stop", "scheduler"),
                ("stale", "coordinator"),
                ("full", "coordinator"),
                ("full", "worker"),
                ("abort", "worker"),
                ("abort", "coordinator"),
                ("delay", "worker"),
                ("delay", "coordinator"),
            )
        )
    if kind == "crash":
        points = list(COORDINATING_POINTS) if target == "coordinator" else list(WORKING_POINTS)
        if place in ("this thread", "threads"):
            points += WORKING_POINTS[:-2]
        point, nth = draw.choice(points), draw.randint(1, 4)
        return Fault("crash", target, point=point, nth=1 if point in ONCE else nth)  # type: ignore[arg-type]  # drawn above
    lasts = kind in ("stop", "full", "delay")
    seconds = draw.choice((0.2, 0.5, 1.5)) if lasts else 0
    return Fault(kind, target, after, seconds)  # type: ignore[arg-type]  # drawn above


def widths_of(tasks: Sequence[TaskPlan]) -> dict[int, int]:
    """How many items each task gives, or children it has; 0 where it is one value."""
    widths: dict[int, int] = {}
    for task in tasks:
        widths[task.number] = widths[task.above[0]] if task.kind == "each" else task.width
    return widths


def value_of(task: TaskPlan, map_index: int, inputs: Sequence[int]) -> int:
    """What a body comes to from what the bodies above came to: wrong wherever one of these is."""
    if task.kind == "merge":
        return inputs[0]
    return (sum(inputs) * 31 + task.number * 7 + map_index + 1) % 10_007


def expected(tasks: Sequence[TaskPlan]) -> dict[int, int | list[int] | None]:
    """What each task comes to; None where it is skipped."""
    found: dict[int, int | list[int] | None] = {}
    for task in tasks:
        if task.branch is not None:
            decides, way = task.branch
            if bool(found[decides]) is not way:
                found[task.number] = None
                continue
        inputs = [found[above] for above in task.above]
        if task.kind == "list":
            found[task.number] = items_of(task)
        elif task.kind == "each":
            (items,) = inputs
            assert isinstance(items, list)
            found[task.number] = [value_of(task, i, [item]) for i, item in enumerate(items)]
        elif task.kind == "merge":
            found[task.number] = next(each for each in inputs if each is not None)
        else:
            flat = [n for each in inputs for n in (each if isinstance(each, list) else [each])]
            value = value_of(task, -1, [n for n in flat if n is not None])
            found[task.number] = value % 2 if task.kind == "branch" else value
    return found


def items_of(task: TaskPlan) -> list[int]:
    """What a task gives that gives a list."""
    return [task.number * 100 + i for i in range(task.width)]
