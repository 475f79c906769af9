"""What recording costs a run, and how many state changes a second one writer brings into a ledger.

    python benchmarks/recording.py [--tasks 10000] [--rounds 7] [--postgresql URL] [--json FILE]

Each run is timed with the ledger and without it, in turn, its states streaming to a listener both times. The cost
is the median of the ratios of the pairs, once of wall time, once of the CPU time of this process, which other
programs disturb less. The ledger is an SQLite file on the disk of the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect_dask import Flow, Task, __version__, task, unmapped
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger.entries import Begun, Entry, Rows
from prefect_dask.ledger.places import place_of
from prefect_dask.ledger.writer import close_writers, open_store

#: State changes in a batch, about what a fast run makes in the time that a writer waits for company.
BATCH = 2_000

#: A record's values, as a task that succeeds has them.
RUNNING = (1, "Running", None, 1.7e9, "tcp://127.0.0.1:40000", None, None)
SUCCESS = (1, "Success", "Task run succeeded.", 1.7e9, "tcp://127.0.0.1:40000", None, None)


class Noop(Task):
    """Does nothing, and takes no argument."""

    def run(self) -> None:
        return None


@task
def identity(x: int, y: int) -> int:
    """Its first argument."""
    return x


def wide(count: int) -> Flow:
    """So many independent tasks and one that waits for all."""
    tasks = [Noop(name="noop") for _ in range(count)]
    last = Noop(name="last")
    flow = Flow("wide", tasks=[*tasks, last])
    for each in tasks:
        flow.add_edge(each, last, validate=False)
    return flow


def mapped(count: int) -> Flow:
    """One task, mapped over so many items."""
    with Flow("mapped") as flow:
        identity.map(list(range(count)), unmapped(1))
    return flow


@contextmanager
def places() -> Iterator[dict[str, Executor]]:
    """Where the flows run; the cluster has 2 worker processes of 1 thread."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield {
            "this thread": LocalExecutor(),
            "2 threads": LocalDaskExecutor("threads", num_workers=2),
            "cluster 2 × 1": DaskExecutor(),
        }


@dataclass(frozen=True)
class Took:
    """Seconds of one run."""

    wall: float
    cpu: float


def seconds_of(flow: Flow, executor: Executor, ledger: str, count: int) -> Took:
    """What one run takes."""
    heard: list[object] = []
    start, start_cpu = time.perf_counter(), time.process_time()
    state = flow.run(executor=executor, on_state=heard.extend, ledger=ledger)
    took = Took(time.perf_counter() - start, time.process_time() - start_cpu)
    if not state.is_successful() or len(heard) < 2 * count:
        raise SystemExit(f"{state}, {len(heard)} records")
    return took


def cost_of_recording(
    flow: Flow, executor: Executor, count: int, rounds: int, folder: Path
) -> tuple[Took, Took, float, float]:
    """Without and with a ledger, medians; what recording adds, as shares of wall and CPU time.

    Rounds alternate, after one to warm up.
    """
    without, recorded = [], []
    for number in range(rounds + 1):
        order = ["none", str(folder / "runs.sqlite")]
        for ledger in order if number % 2 else reversed(order):
            took = seconds_of(flow, executor, ledger, count)
            (without if ledger == "none" else recorded).append(took)
    pairs = list(zip(without[1:], recorded[1:], strict=True))
    return (
        Took(statistics.median(a.wall for a, _ in pairs), 0.0),
        Took(statistics.median(b.wall for _, b in pairs), 0.0),
        statistics.median(b.wall / a.wall - 1 for a, b in pairs),
        statistics.median(b.cpu / a.cpu - 1 for a, b in pairs),
    )


def entries(batch: int, start: int) -> Entry:
    """A batch of a map that runs: of each child Running, then Success."""
    values: list[object] = []
    for child in range(start // 2, (start + batch) // 2):
        values += (0, child, *RUNNING, 0, child, *SUCCESS)
    return Rows("a" * 32, 0, "states", start, values)


def changes_a_second(url: str, count: int) -> float:
    """State changes that one store writes in a second, a batch a transaction."""
    place = place_of(url, Path())
    assert place is not None
    store = open_store(place)
    store.write([Begun("a" * 32)])
    batches = [entries(BATCH, start) for start in range(0, count, BATCH)]
    start = time.perf_counter()
    for batch in batches:
        store.write([batch])
    took = time.perf_counter() - start
    store.close()
    return count / took


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks of a run (10000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds a measurement (7)")
    parser.add_argument("--only", default="", help="one of the places")
    parser.add_argument("--postgresql", help="also write a ledger at this URL; it should be empty")
    parser.add_argument("--json", help="write the figures to this file, too")
    options = parser.parse_args()
    logging.getLogger("prefect_dask").setLevel(logging.WARNING)
    rows: list[dict[str, object]] = []
    print(
        f"prefect_dask {__version__}, SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PREFECT_HOME"] = str(folder / "home")
        targets = {"SQLite": str(folder / "writer.sqlite")}
        if options.postgresql:
            targets["PostgreSQL"] = options.postgresql
        for database, url in targets.items():
            rate = changes_a_second(url, 200_000)
            print(f"{database}: {rate:,.0f} state changes/s, one writer, batches of {BATCH:,}")
            rows.append({"database": database, "changes_per_second": round(rate)})
        print(
            f"{'graph':>8} {'where':>14} {'tasks':>7} {'without':>9} {'with':>9} {'cost':>7} {'in CPU':>7}"
        )
        shapes: dict[str, Callable[[int], Flow]] = {"wide": wide, "mapped": mapped}
        with places() as everywhere:
            for shape, make in shapes.items():
                for where, executor in everywhere.items():
                    if options.only and options.only != where:
                        continue
                    flow = make(options.tasks)
                    without, recorded, cost, cpu_cost = cost_of_recording(
                        flow, executor, options.tasks, options.rounds, folder
                    )
                    print(
                        f"{shape:>8} {where:>14} {options.tasks:>7} {without.wall:>8.3f}s "
                        f"{recorded.wall:>8.3f}s {cost:>+7.1%} {cpu_cost:>+7.1%}",
                        flush=True,
                    )
                    rows.append(
                        {
                            "graph": shape,
                            "where": where,
                            "tasks": options.tasks,
                            "without_seconds": round(without.wall, 4),
                            "with_seconds": round(recorded.wall, 4),
                            "cost": round(cost, 4),
                            "cpu_cost": round(cpu_cost, 4),
                        }
                    )
        close_writers()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"python": sys.version, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
