"""A case: a flow, where it runs, and what goes wrong when. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        is_last: Whether all others are over when it begins, and it waits until all faults that wait for bodies have
            happened, and are over: without a run there is nothing to disturb.
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
    is_last: bool = False

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
        point: Where in the code; who comes there for the `nth` time dies.
        nth: See `point`; counted over all processes that the target names.
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
    """One disturbed run.

    Attributes:
        seed: From which it was drawn; None where somebody made it up.
        place: Where it runs.
        tasks: Its flow.
        faults: What goes wrong.
        keeps_all: Whether each result is kept until the end, or let go when nothing needs it any more.
        store: Where it is recorded.
        limits: How many task runs may be at work at once, by the name of the limit.
        worker_ttl_seconds: How long a worker of the cluster may be silent; None where it is as long as Dask says.
    """

    seed: int | None
    place: Place
    tasks: tuple[TaskPlan, ...]
    faults: tuple[Fault, ...]
    keeps_all: bool = True
    store: Store = "sqlite"
    limits: Mapping[str, int] = field(default_factory=dict)
    worker_ttl_seconds: float | None = None

    def __str__(self) -> str:
        seed = "made up" if self.seed is None else f"seed {self.seed}"
        ttl = f", worker-ttl {self.worker_ttl_seconds:g} s" if self.worker_ttl_seconds else ""
        kept = "" if self.keeps_all else ", results are released"
        limits = f", limits {dict(self.limits)}" if self.limits else ""
        lines = [f"{seed}, on {self.place}, {self.store}{ttl}{limits}{kept}", "flow:"]
        lines += [f"    {task}" for task in self.tasks]
        lines += ["faults:", *(f"    {fault}" for fault in self.faults)]
        return "\n".join(lines)


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
