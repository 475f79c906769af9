"""Flows whose bodies tell the ledger outside the engine that they were begun, and a program that runs one.

python flows_of_deaths.py LEDGER NOTES SECONDS
"""

import ctypes
import os
import signal
import sys
import uuid
from datetime import timedelta
from pathlib import Path

from prefect_dask import Flow, Parameter, context, task, triggers, unmapped
from prefect_dask.engine.clock import settable
from prefect_dask.engine.signals import LOOP
from tests.outside_ledger import counts_in, note_execution
from tests.waiting import wait_until


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def double(notes: Path, x: int) -> int:
    note_execution(notes)
    return 2 * x


@task
def increase(notes: Path, x: int, wait_from: int) -> int:
    """Of a great `x`, goes on when the file `go` lies beside the notes."""
    note_execution(notes)
    if x >= wait_from:
        wait_until(notes.with_name("go").exists, 50)
    return x + 1


@task
def total(notes: Path, xs: list[int]) -> int:
    note_execution(notes)
    return sum(xs)


def wide_flow(notes: Path, width: int, **settings: object) -> Flow:
    """A map over a map of `width` children, of which the second half waits for the file `go`, and the sum."""
    with Flow("wide") as flow:
        doubled = double.map(unmapped(notes), numbers(width), task_args=settings)
        total(notes, increase.map(unmapped(notes), doubled, unmapped(width)))
    return flow


@task
def hold(notes: Path, x: int) -> int:
    """Goes on when the file `go` lies beside the notes."""
    note_execution(notes)
    wait_until(notes.with_name("go").exists, 50)
    return x


@task
def die(notes: Path) -> None:
    note_execution(notes)
    os._exit(3)


#: How often what should be given up ends its worker, so that a run ends also where it is not.
DEATHS_AT_MOST = 3


@task
def die_with(notes: Path, x: object) -> str:
    note_execution(notes)
    if counts_in(notes)["die_with-1", -1] <= DEATHS_AT_MOST:
        os._exit(3)
    return "given up by nobody"


class DeadlyList:
    """Ends the process that asks how long it is, and notes that in a file."""

    def __init__(self, asked: Path) -> None:
        self.asked = asked

    def __len__(self) -> int:
        with self.asked.open("a") as file:
            file.write("asked\n")
        if len(self.asked.read_text().split()) <= DEATHS_AT_MOST:
            os._exit(3)
        return 1

    def __getitem__(self, index: int) -> int:
        return index


@task
def deadly_list(notes: Path) -> DeadlyList:
    note_execution(notes)
    return DeadlyList(notes.with_name("asked"))


#: How long two bodies wait for each other that should not be at work at once, seconds.
MEETING_SECONDS = 1.0


@task
def die_beside(notes: Path) -> None:
    """Ends its worker: the first time when `outlast` is at work, later also where that does not begin."""
    note_execution(notes)
    begins_too(notes, "die_beside-1", "outlast-1")
    os._exit(3)


@task
def outlast(notes: Path) -> str:
    """Comes to its end where `die_beside` is not at work at the same time."""
    note_execution(notes)
    if begins_too(notes, "outlast-1", "die_beside-1"):
        wait_until(lambda: False, 50)
    return "there"


def begins_too(notes: Path, slug: str, other: str) -> bool:
    """Whether another body begins while this one is at work; the first time it does."""
    counts = counts_in(notes)
    if counts[slug, -1] == 1:
        return bool(wait_until(lambda: counts_in(notes)[other, -1], 50))
    try:
        before = counts[other, -1]
        return wait_until(lambda: counts_in(notes)[other, -1] > before, MEETING_SECONDS)
    except TimeoutError:
        return False


@task
def die_once(notes: Path, x: int) -> int:
    """Ends its worker, which alone has `x`, once it is known that there is `x`; the second time it succeeds."""
    note_execution(notes)
    wait_until(notes.with_name("known").exists, 50)
    if counts_in(notes)["die_once-1", -1] == 1:
        os._exit(3)
    return x


@task(max_retries=1, retry_delay=0)
def fail_twice(notes: Path) -> None:
    """Fails, ends its worker at its second attempt, and fails again."""
    note_execution(notes)
    if counts_in(notes)["fail_twice-1", -1] == 2:
        os._exit(3)
    raise ValueError("again")


@task
def turn(notes: Path, turns: int) -> list[int]:
    """Counts its turns, and ends its worker once, in the middle of the third."""
    note_execution(notes)
    count = context.task_loop_count
    before = context.get("task_loop_result") or []
    if count == 3 and not notes.with_name("died").exists():
        wait_until(notes.with_name("known").exists, 50)
        notes.with_name("died").touch()
        os._exit(3)
    if count < turns:
        raise LOOP(result=[*before, count])
    return [*before, count]


@task(trigger=triggers.all_finished)
def tidy_up(notes: Path) -> str:
    note_execution(notes)
    return "tidy"


@task
def hold_interpreter(notes: Path, seconds: float) -> None:
    """Keeps every other thread of the process from running, as a long call into C may."""
    note_execution(notes)
    notes.with_name("holds").touch()
    held_up = ctypes.PyDLL(None).usleep  # PyDLL: called without letting the interpreter go
    held_up(int(seconds * 1e6))


def flow_of_coordinator(notes: Path) -> Flow:
    """Stopped, held up in C, or killed by the test: its last task waits for the file `go`."""
    with Flow("coordinated") as flow:
        doubled = double.map(unmapped(notes), list(range(10)))
        busy = hold_interpreter(notes, Parameter("seconds", 0.0), upstream_tasks=[doubled])
        hold(notes, 1, upstream_tasks=[busy])
    return flow


def set_clock_when_told(notes: Path) -> None:
    """Set this process's clock by an hour: forwards at the first SIGUSR1, back by two at the next."""
    clock = settable().__enter__()
    steps = iter((timedelta(hours=1), timedelta(hours=-2)))

    def set_it(*_: object) -> None:
        clock.set_by(next(steps))
        notes.with_name(f"set-{uuid.uuid4().hex}").touch()

    signal.signal(signal.SIGUSR1, set_it)


if __name__ == "__main__":
    its_notes = Path(sys.argv[2])
    set_clock_when_told(its_notes)
    flow_of_coordinator(its_notes).run(seconds=float(sys.argv[3]), ledger=sys.argv[1])
