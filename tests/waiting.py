"""Waiting in tests: for something to become true, with a deadline, never for time to pass."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: How often a condition is looked at, seconds.
LOOK_SECONDS = 0.01


def wait_until(predicate: Callable[[], T], timeout_seconds: float = 20.0, *, what: str = "") -> T:
    """The first true answer of `predicate`.

    Raises:
        TimeoutError: There was none within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            what = what or getattr(predicate, "__name__", repr(predicate))
            raise TimeoutError(f"{what}: not true within {timeout_seconds:g} s")
        pause.wait(LOOK_SECONDS)
    return answer


def wait_for_file(path: Path, timeout_seconds: float = 20.0) -> str:
    """The text of a file, once it is there and not empty."""

    def text() -> str:
        try:
            return path.read_text()
        except OSError:
            return ""

    return wait_until(text, timeout_seconds, what=f"text in {path.name}")
