"""What was measured: as a table for the terminal, as Markdown for a page, as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .catalogue import WORKS
from .shapes import WORK_COUNT, WORK_SECONDS

ROOT = Path(__file__).parents[2]
CORES = 2
DASH = "–"


@dataclass(frozen=True)
class Figure:
    """One kind of work: how many tasks, and the wall time of each round that counts, in seconds."""

    tasks: int
    seconds: list[float]

    def value(self, work: str) -> float:
        """µs a task; of the work, % of two cores; of a hello-world, seconds: the median of the rounds."""
        wall = statistics.median(self.seconds)
        if work == "hello":
            return wall
        if work == "work":
            return 100 * WORK_COUNT * WORK_SECONDS / CORES / wall
        return wall / self.tasks * 1e6


@dataclass(frozen=True)
class Row:
    """One system in one place."""

    title: str
    version: str
    place: str
    taken: str = ""
    commit: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    """The reason for each figure that is not there; of "all", why none is."""

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Row:
        figures = {work: Figure(**each) for work, each in document["figures"].items()}
        return cls(**{**document, "figures": figures})

    def cells(self) -> list[str]:
        """What stands in the table."""
        return [
            f"{self.title} {self.version}".strip(),
            self.place,
            *(self.cell(work) for work in WORKS),
        ]

    def cell(self, work: str) -> str:
        """A figure, or a dash where it could not be had, or nothing where nobody asked for it."""
        if work in self.figures:
            return number(self.figures[work].value(work))
        return DASH if work in self.why or "all" in self.why else ""

    def notes(self) -> list[str]:
        """The reasons for the dashes."""
        return [
            f"{self.title}, {self.place}{'' if work == 'all' else ', ' + work}: {why}"
            for work, why in self.why.items()
        ]


HEADER = ["system", "where", *(f"{work}, {unit}" for work, unit in WORKS.items())]


def read_figure(path: Path) -> Figure | None:
    """What a measurement wrote, without the round that warmed up; None where no other is there."""
    if not path.exists():
        return None
    rounds = [json.loads(line) for line in path.read_text("utf-8").splitlines()][1:]
    return Figure(rounds[0]["tasks"], [each["seconds"] for each in rounds]) if rounds else None


def number(value: float) -> str:
    """With three digits or more, and no more decimals than these need.

    Example:
        >>> [number(x) for x in (0.1234, 12.34, 123.4, 12345.6)]
        ['0.12', '12.3', '123', '12,346']
    """
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def as_text(rows: list[Row]) -> str:
    """Columns of equal width, and the reasons for the dashes below them."""
    table = [HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    return "\n".join([*lines, "", *(note for row in rows for note in row.notes())]).rstrip()


def as_markdown(rows: list[Row]) -> str:
    """The same as Markdown."""
    table = [HEADER, ["---", "---", *["---:"] * len(WORKS)], *(row.cells() for row in rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([*lines, "", *(f"- {note}" for row in rows for note in row.notes())]).rstrip()


def write(path: Path, rows: list[Row], rounds: int) -> None:
    """JSON to `path`, and Markdown beside it."""
    document = {**facts(), "rounds": rounds, "units": WORKS, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_suffix(".md").write_text(as_markdown(rows) + "\n", "utf-8")


def read(path: Path) -> list[Row]:
    """The rows of an earlier report; [] where there is none."""
    if not path.exists():
        return []
    return [Row.from_json(each) for each in json.loads(path.read_text("utf-8"))["rows"]]


def facts() -> dict[str, Any]:
    """The machine, the moment and the commit."""
    return {
        "taken": now(),
        "commit": commit(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def commit() -> str:
    """The commit of the sources; "" where there is no git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return ""
    return done.stdout.strip()
