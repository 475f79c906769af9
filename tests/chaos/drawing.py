"""What one seed means: a case, drawn from one number, whose faults all come if it runs as it should."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.chaos.plan import (
    COORDINATING_POINTS,
    ONCE,
    SCARCE,
    WORKING_POINTS,
    Case,
    Fault,
    Kind,
    Place,
    TaskPlan,
    expected,
    widths_of,
)

#: Longer than a lease and a worker's time to live where these are shortened.
LONG_STOP_SECONDS = 15

#: Dask allows a worker of a small cluster five seconds at least, and looks this often.
SHORT_TTL_SECONDS = 2

#: At which time somebody dies at a point, at most.
MOST_NTH = 4


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
    case = _with_long_stops(case, random.Random(f"stops of {seed}"))
    return replace(case, faults=within_reach(case))


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


def _with_long_stops(case: Case, draw: random.Random) -> Case:
    faults = tuple(
        replace(fault, seconds=LONG_STOP_SECONDS)
        if fault.kind == "stop" and draw.random() < 0.15
        else fault
        for fault in case.faults
    )
    is_short = case.place == "cluster" and draw.random() < 0.3
    return replace(case, faults=faults, worker_ttl_seconds=SHORT_TTL_SECONDS if is_short else None)


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
    add("total", *dict.fromkeys(ends), is_last=True)
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
        point, nth = draw.choice(points), draw.randint(1, MOST_NTH)
        return Fault("crash", target, point=point, nth=1 if point in ONCE else nth)  # type: ignore[arg-type]  # drawn above
    lasts = kind in ("stop", "full", "delay")
    seconds = draw.choice((0.2, 0.5, 1.5)) if lasts else 0
    return Fault(kind, target, after, seconds)  # type: ignore[arg-type]  # drawn above


# ---- what can come


def within_reach(case: Case) -> tuple[Fault, ...]:
    """The faults of a case, each changed as little as it takes for it to come."""
    begun = sum(bodies_of(case).values())
    faults: list[Fault] = []
    for fault in case.faults:
        if fault.kind != "crash":
            faults.append(replace(fault, after=1 + (fault.after - 1) % begun))
            continue
        # After a death just before its end a run may be over.
        is_second_end = fault.point == "before end" and fault in faults
        if is_second_end or not passes_of(case, fault):
            point = "after record" if fault.target == "coordinator" else "after execute"
            fault = replace(fault, point=point)
        faults.append(replace(fault, nth=min(fault.nth, passes_of(case, fault))))
    return tuple(faults)


def bodies_of(case: Case) -> dict[int, int]:
    """How many bodies each task has that run, attempts that fail not counted."""
    values, widths = expected(case.tasks), widths_of(case.tasks)
    counts = {}
    for task in case.tasks:
        runs = task.kind != "merge" and values[task.number] is not None
        counts[task.number] = (widths[task.number] if task.kind == "each" else 1) if runs else 0
    return counts


def passes_of(case: Case, fault: Fault) -> int:
    """How often the processes that a crash is meant for come to its point at least, all together."""
    _, _, what = fault.point.partition(" ")
    counts = bodies_of(case)
    if what == "execute":
        return sum(counts.values())
    if what == "store":
        needs_file = fault.point.startswith("within")
        return sum(
            counts[task.number]
            for task in case.tasks
            if task.is_durable and not task.is_named and (task.is_big or not needs_file)
        )
    if what == "release":
        return 0 if case.keeps_all else MOST_NTH
    if what == "take up":
        return int(any(is_taken_up_after(other) for other in case.faults))
    # The smallest flow is recorded in three transactions: its begin, its states, its end.
    return {"end": 1, "record": 3}.get(what, MOST_NTH)


def is_taken_up_after(fault: Fault) -> bool:
    """Whether it ends a coordinating process whose run is recorded by then, and not over."""
    if fault.kind == "crash":
        # Before its first record nobody knows the run, and before its end it may be recorded how it came out.
        is_within = fault.point.partition(" ")[2] not in ("record", "take up", "end")
        return fault.target == "coordinator" and is_within
    return fault.target == "coordinator" and fault.kind in ("kill", "stale")
