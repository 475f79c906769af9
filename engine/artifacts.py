"""What a task makes for people to look at, on its way from where the task runs to whoever keeps the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from . import clock, secrets


class Artifact(NamedTuple):
    """Something for people to look at.

    Attributes:
        kind: "markdown" or "link".
        name: What it is called; "" where it has no name.
        text: The markdown, or the address.
        time: When it was made, seconds since the epoch.
    """

    kind: str
    name: str
    text: str
    time: float


TakesArtifact: TypeAlias = Callable[[Artifact], None]

#: Who takes what is made here: asked in the thread that makes it; None outside tasks.
_taker: list[Callable[[], TakesArtifact | None]] = []


def give_artifacts_to(current: Callable[[], TakesArtifact | None]) -> None:
    """Have artifacts of this process taken.

    Args:
        current: Says for the thread that asks who takes what is made in it; None where it runs no task.
    """
    _taker[:] = [current]


def taker_here() -> TakesArtifact | None:
    """Who takes what is made in this thread; None where it runs no task."""
    return _taker[0]() if _taker else None


def artifact_of(kind: str, name: str, text: str) -> Artifact:
    """An artifact that is made now, with the secrets that this process knows masked."""
    return Artifact(kind, secrets.masked(name), secrets.masked(text), clock.now())
