"""What a turn of a loop costs, and what a long one holds.

    python benchmarks/loop.py [--turns 100000] [--only local,threads,Dask]

Prints µs of wall time a turn, and how much the process that runs the turns and the one that coordinates the run
have grown between the first tenth of the turns and the last one, in MiB. Each turn passes 10 kB on.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil

from prefect_dask import Flow, Task, context
from prefect_dask.engine.signals import LOOP
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor

MIB = 2**20


class Turn(Task):
    """Loops; returns how many bytes its process has grown since the first tenth of the turns."""

    def run(self, turns: int) -> int:
        count = context.task_loop_count
        _, early = context.task_loop_result or (b"", 0)
        if count == turns // 10:
            early = psutil.Process().memory_info().rss
        if count < turns:
            raise LOOP(result=(os.urandom(10_000), early))
        grown: int = psutil.Process().memory_info().rss - early
        return grown


class Watch:
    """A listener that measures the coordinating process."""

    def __init__(self, turns: int) -> None:
        self.turns, self.count, self.early, self.late = turns, 0, 0, 0

    def __call__(self, records: list[StateRecord]) -> None:
        self.count += sum(record.state == "Looped" for record in records)
        self.late = psutil.Process().memory_info().rss
        if self.count <= max(self.turns // 10, 2_000):
            self.early = self.late

    @property
    def grown(self) -> int:
        return self.late - self.early


def measure(executor: Executor, turns: int) -> tuple[float, int, int]:
    """Seconds of a run, and the bytes by which worker and coordinating process grew."""
    with Flow("loop") as flow:
        turn = Turn()(turns)
    watch = Watch(turns)
    begun = time.perf_counter()
    state = flow.run(executor=executor, on_state=watch)
    seconds = time.perf_counter() - begun
    return seconds, state.result[turn].result, watch.grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--only", default="local,threads,Dask")
    args = parser.parse_args()
    with ExitStack() as stack:

        def cluster() -> Executor:
            from distributed import LocalCluster

            made = stack.enter_context(
                LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
            )
            return DaskExecutor(made.scheduler_address)

        makers: dict[str, Callable[[], Executor]] = {
            "local": LocalExecutor,
            "threads": lambda: LocalDaskExecutor(num_workers=1),
            "Dask": cluster,
        }
        print(f"{args.turns:,} turns of 10 kB each")
        print(f"{'':>8} {'µs a turn':>10} {'worker grew':>14} {'coordinator grew':>18}")
        for name in args.only.split(","):
            seconds, worker, coordinator = measure(makers[name](), args.turns)
            print(
                f"{name:>8} {1e6 * seconds / args.turns:>10.0f} {worker / MIB:>10.1f} MiB "
                f"{coordinator / MIB:>14.1f} MiB"
            )


if __name__ == "__main__":
    main()
