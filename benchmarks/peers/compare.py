"""The rows of the table: each figure measured in a process of its own, in the environment of its system."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from . import report
from .alone import run_alone
from .catalogue import ALL, PEERS, WORKS, Peer
from .environment import NotInstalled, packages_of, python_of, variables_for
from .report import Figure, Row

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Wanted:
    """What is to be measured, and how long it may take."""

    works: tuple[str, ...] = tuple(WORKS)
    places: frozenset[str] = frozenset(place for peer in PEERS for place in peer.places)
    rounds: int = 3
    most: int = ALL
    """The most tasks of a graph, where the system is not given fewer anyway."""
    deadline_seconds: float = 240
    """For one figure, with all its rounds and the start of the system."""


def rows_of(peer: Peer, wanted: Wanted) -> list[Row]:
    """A row for each of its places; where it cannot be installed, they say so."""
    places = [place for place in peer.places if place in wanted.places]
    rows = [Row(peer.title, "", place, report.now(), report.commit()) for place in places]
    try:
        with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
            python = python_of(peer, Path(scratch))
    except NotInstalled as error:
        return [replace(row, why={"all": f"not installed: {error}"}) for row in rows]
    packages = packages_of(python)
    rows = [replace(row, version=packages[peer.package], packages=packages) for row in rows]
    for row in rows:
        for work in wanted.works:
            said = fill_in(row, work, measure(peer, python, row.place, work, wanted))
            print(f"{row.title}, {row.place}, {work}: {said}", file=sys.stderr, flush=True)
    return rows


def fill_in(row: Row, work: str, got: Figure | str) -> str:
    """Put a figure, or the reason why there is none, into the row; what to say of it."""
    if isinstance(got, str):
        row.why[work] = got
        return got
    row.figures[work] = got
    return f"{report.number(got.value(work))} {WORKS[work]}"


def measure(peer: Peer, python: Path, place: str, work: str, wanted: Wanted) -> Figure | str:
    """One figure, or why there is none; the process has folders of its own, which are removed."""
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        # A copy, because beside the original lie files that have the names of modules of Python.
        shutil.copytree(HERE, scratch / HERE.name, ignore=shutil.ignore_patterns("__pycache__"))
        found = scratch / "rounds.jsonl"
        why = run_alone(
            [
                str(python),
                *("-m", f"{HERE.name}.measure", peer.module, place, work),
                *(str(min(wanted.most, peer.most)), str(wanted.rounds), str(found)),
            ],
            variables_for(peer, python, scratch),
            scratch,
            timeout_seconds=wanted.deadline_seconds,
        )
        return report.read_figure(found) or why
