"""Bodies of tasks that die, hold, or count how often they ran. Markers are files: they survive a process."""

import os
import uuid
from pathlib import Path

from prefect_dask import task
from tests.waiting import wait_until


def note(folder: Path, name: str, text: str = "") -> None:
    """Leave a mark: one more file whose name begins with `name`, so that marks can be counted."""
    final = folder / f"{name}.{uuid.uuid4().hex}"
    draft = final.with_name(f"draft.{final.name}")
    draft.write_text(text or str(os.getpid()))
    draft.rename(final)


def marks(folder: Path, name: str) -> list[Path]:
    """The marks of a name, oldest first."""
    return sorted(folder.glob(f"{name}.*"), key=lambda path: path.stat().st_mtime_ns)


def hold(folder: Path, name: str, timeout_seconds: float = 50.0) -> None:
    """Leave the mark `<name>-began`; go on when the file `go` is there; leave `<name>-ended` whatever happens."""
    try:
        note(folder, f"{name}-began")
        wait_until((folder / "go").exists, timeout_seconds)
    finally:
        note(folder, f"{name}-ended")


@task
def number(value: int = 1) -> int:
    return value


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def divide(x: int, y: int) -> float:
    return x / y


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def holding(folder: Path, name: str = "holding") -> str:
    """Runs until the test lets it go."""
    hold(folder, name)
    return "let go"


def wait_to_be_seen(folder: Path, name: str) -> int:
    """Leave a mark, and wait until the test says that it knows of this attempt; the attempt's number, from 1."""
    note(folder, name)
    attempt = len(marks(folder, name))
    wait_until((folder / f"seen-{attempt}").exists)
    return attempt


@task
def dying(folder: Path, times: int) -> str:
    """Ends its process so many times, as a fault in a C library would, and then survives."""
    if wait_to_be_seen(folder, "dying") <= times:
        os._exit(3)
    return "survived"


@task
def dying_at_once(folder: Path, times: int) -> str:
    """As `dying`, before anybody can know that it began."""
    note(folder, "dying")
    if len(marks(folder, "dying")) <= times:
        os._exit(3)
    return "survived"


@task
def counted(folder: Path, name: str, value: int = 1) -> int:
    """Leaves a mark each time it runs."""
    note(folder, name)
    return value
