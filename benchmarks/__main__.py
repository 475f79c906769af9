"""Asks the questions and prints one table; writes it as JSON, too.

python -m benchmarks [--only wide,chain-cluster] [--scale 1.0] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.catalogue import questions
from benchmarks.core.machine import facts
from benchmarks.core.options import Options
from benchmarks.core.rows import HEADER, Row, line

#: What a program returns that Ctrl-C has ended.
INTERRUPTED = 130


def main() -> int:
    """Ask, print each row as soon as it is there, write."""
    # The lines of a flow run would stand between those of the table, also in processes that are started. Before the
    # questions are imported: their tasks ask for settings, and those are read once.
    os.environ.setdefault("PREFECT__LOGGING__LEVEL", "WARNING")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="beginnings of names, with commas between")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes (1.0)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a figure (5)")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"), metavar="FILE")
    chosen = parser.parse_args()
    try:
        asked = questions(chosen.only)
    except ValueError as error:
        parser.error(str(error))
    options = Options(scale=chosen.scale, rounds=chosen.rounds)
    about = {**facts(), "scale": options.scale, "rounds": options.rounds}
    print(", ".join(f"{name} {value}" for name, value in about.items() if name != "versions"))
    print(", ".join(f"{name} {value}" for name, value in about["versions"].items()))
    print(HEADER, flush=True)
    rows: list[Row] = []
    try:
        for ask in asked.values():
            for row in ask(options):
                rows.append(row)
                print(line(row), flush=True)
            write(chosen.json, about, rows)
    except KeyboardInterrupt:
        print("interrupted; the rows above are all there are", file=sys.stderr)
        return INTERRUPTED
    if options.scale != 1:
        print(f"at scale {options.scale:g}; the bars speak of scale 1")
    held = [row for row in rows if row.bar is not None]
    print(f"{sum(row.is_met is True for row in held)} of {len(held)} bars met; {chosen.json}")
    return 0


def write(path: Path, about: dict[str, Any], rows: list[Row]) -> None:
    """The table as JSON, after each question: one that is stopped half-way has told something."""
    table = {**about, "rows": [row.as_json() for row in rows]}
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
