"""Run the comparison: `python -m benchmarks.peers [--only ray,parsl] [--works wide,chain] [--rounds 3]`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from . import report
from .catalogue import PEERS
from .compare import Wanted, rows_of


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    default = Wanted()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="The same work in other workflow systems, side by side.",
        epilog="Names are those of the table, with commas between them; of systems those of their files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", help="systems; the report keeps the rows of all others")
    parser.add_argument("--places", help="where they run")
    parser.add_argument("--works", help="kinds of work")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="rounds that count")
    parser.add_argument("--most", type=int, default=default.most, help="tasks of a graph, at most")
    parser.add_argument(
        "--deadline", type=float, default=default.deadline_seconds, help="seconds for one figure"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("bench-peers.json"), help="report; a table beside it"
    )
    options = parser.parse_args(arguments)
    only = chosen(options.only, [peer.module for peer in PEERS])
    wanted = Wanted(
        works=chosen(options.works, default.works),
        places=frozenset(chosen(options.places, sorted(default.places))),
        rounds=options.rounds,
        most=options.most,
        deadline_seconds=options.deadline,
    )
    rows = report.read(options.json) if options.only else []
    order = [peer.title for peer in PEERS]
    for peer in PEERS:
        if peer.module in only:
            rows = [row for row in rows if row.title != peer.title] + rows_of(peer, wanted)
            rows.sort(key=lambda row: order.index(row.title))
            report.write(options.json, rows, wanted.rounds)
    print(report.as_text(rows))
    return 0


def chosen(names: str | None, known: Iterable[str]) -> tuple[str, ...]:
    """The names of an option, in the order in which they are known; all where it was not given.

    Raises:
        SystemExit: One of them is not known.
    """
    if names is None:
        return tuple(known)
    asked = set(names.split(","))
    if unknown := asked.difference(known):
        raise SystemExit(f"not known: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(name for name in known if name in asked)


if __name__ == "__main__":
    # As Ctrl-C does: on the way out, what was started is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    raise SystemExit(main())
