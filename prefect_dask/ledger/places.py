"""Where a ledger is: what a user gave, as a kind and a target."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prefect_dask.engine.results import without_password
from prefect_dask.ledger.errors import NoLedgerThere

FILE_NAME = "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is.

    Attributes:
        kind: What kind of ledger.
        target: A file's absolute path, a URL, or a name.
        is_default: Whether nobody asked for this one.
    """

    kind: Literal["sqlite", "memory", "postgresql"]
    target: str
    is_default: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return without_password(self.target)

    def __repr__(self) -> str:
        return f"<Place: {self}>"

    @property
    def digest(self) -> str:
        """A short text that tells this place from others; the same in each process."""
        return hashlib.sha256(self.target.encode()).hexdigest()[:16]


def place_of(given: str | os.PathLike[str], home: Path) -> Place | None:
    """The place that a path, a URL or a word names; None for "none".

    Args:
        given: `""` for the file in the home folder.
        home: The home folder.

    Raises:
        NoLedgerThere: It names no place.

    >>> place_of("sqlite:////data/runs.sqlite", Path("/home"))
    <Place: /data/runs.sqlite>
    >>> place_of("postgresql://me:secret@host/runs", Path("/home"))
    <Place: postgresql://me@host/runs>
    """
    text = os.fspath(given)
    if text.lower() == "none":
        return None
    if not text:
        return Place("sqlite", str(home / FILE_NAME), is_default=True)
    if text in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return Place("memory", ":memory:")
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        return Place("sqlite", str(Path(text).expanduser().absolute()))
    if scheme in ("postgresql", "postgres"):
        return Place("postgresql", text)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Place("sqlite", str(Path(rest[1:]).expanduser().absolute()))
    shown = without_password(text)
    raise NoLedgerThere(shown, f"there is no kind of ledger {scheme!r}")
