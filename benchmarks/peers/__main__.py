"""Run the comparison: `python -m benchmarks.peers [--only ray,parsl] [--works wide,chain] [--rounds 3]`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from . import report
from .alone import run_alone
from .catalogue import PEERS, WORKS, Peer
from .environment import NotInstalled, packages_of, python_of, variables_for
from .report import Figure, Row

HERE = Path(__file__).parent


def measure(
    peer: Peer, python: Path, place: str, work: str, *, rounds: int, most: int, seconds: float
) -> Figure | str:
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
                *(str(min(most, peer.most)), str(rounds), str(found)),
            ],
            variables_for(peer, python, scratch),
            scratch,
            timeout_seconds=seconds,
        )
        return report.read_figure(found) or why


def measure_peer(peer: Peer, works: list[str], options: argparse.Namespace) -> list[Row]:
    """A row for each of its places."""
    rows = [
        Row(peer.title, "", place, taken=report.now(), commit=report.commit())
        for place in peer.places
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
            python = python_of(peer, Path(scratch))
    except NotInstalled as error:
        return [replace(row, why={"all": f"not installed: {error}"}) for row in rows]
    packages = packages_of(python)
    rows = [replace(row, version=packages[peer.package], packages=packages) for row in rows]
    for row in rows:
        for work in works:
            got = measure(
                peer,
                python,
                row.place,
                work,
                rounds=options.rounds,
                most=options.most,
                seconds=options.deadline,
            )
            if isinstance(got, Figure):
                row.figures[work] = got
                said = f"{report.number(got.value(work))} {WORKS[work]}"
            else:
                row.why[work] = said = got
            print(f"{row.title}, {row.place}, {work}: {said}", file=sys.stderr, flush=True)
    return rows


def chosen(names: str, known: list[str]) -> list[str]:
    """The names of an option, in the order in which they are known.

    Raises:
        SystemExit: One of them is not known.
    """
    wanted = names.split(",")
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"{', '.join(unknown)}: not known; there are {', '.join(known)}")
    return [name for name in known if name in wanted]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    modules = [peer.module for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument(
        "--only",
        help="systems, with commas; the rows of all others stay in the report as they are",
    )
    parser.add_argument("--works", default=",".join(WORKS), help="kinds of work, with commas")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--most", type=int, default=10_001, help="at most so many tasks a graph")
    parser.add_argument(
        "--deadline", type=float, default=240, help="seconds for one figure, with its rounds (240)"
    )
    parser.add_argument("--json", type=Path, default=Path("bench-peers.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    # As Ctrl-C does: on the way out, what was started is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    only = chosen(options.only, modules) if options.only else modules
    works = chosen(options.works, list(WORKS))
    kept = report.read(options.json) if options.only else []
    for peer in PEERS:
        if peer.module in only:
            new = measure_peer(peer, works, options)
            kept = in_order([row for row in kept if row.title != peer.title] + new)
            report.write(options.json, kept, options.rounds)
    print(report.as_text(kept))
    return 0


def in_order(rows: list[Row]) -> list[Row]:
    """As the catalogue has them."""
    titles = [peer.title for peer in PEERS]
    return sorted(rows, key=lambda row: titles.index(row.title))


if __name__ == "__main__":
    raise SystemExit(main())
