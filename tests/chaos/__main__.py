"""Chaos for as long as one likes: `python -m tests.chaos --hours 1 --seed 5`."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time

from tests.chaos.drawing import case_of
from tests.chaos.report import run_case


def main() -> int:
    """Run seeds until the time is over; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; drawn and printed when not given")
    parser.add_argument(
        "--hours", type=float, default=0, help="how long; 0 runs the first seed alone"
    )
    parser.add_argument("--limit", type=float, default=120, help="how long one may take, seconds")
    given = parser.parse_args()
    first = random.randrange(1_000_000) if given.seed is None else given.seed
    until = time.monotonic() + 3600 * given.hours
    failed: list[int] = []
    planned = missed = 0
    for seed in itertools.count(first):
        began = time.monotonic()
        case = case_of(seed)
        try:
            outcome = run_case(case, limit_seconds=given.limit)
        except AssertionError as error:
            failed.append(seed)
            print(f"seed {seed} FAILED\n{error}\n", flush=True)
        else:
            planned += len(case.faults)
            missed += len(outcome.missed)
            print(f"seed {seed} kept its promises in {time.monotonic() - began:.1f} s", flush=True)
            for fault in outcome.missed:
                print(f"    this never came: {fault}", flush=True)
            if not given.hours:
                print("\n".join(outcome.told))
        if time.monotonic() > until:
            break
    if planned:
        share = 100 * missed / planned
        print(f"of {planned} faults {missed} never came ({share:.1f} %), failures not counted")
    print(f"{seed - first + 1} seeds, failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
