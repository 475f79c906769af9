"""What does a turn of a loop cost, and does a long one hold on to anything? 100,000 turns that pass 10 kB on."""

from __future__ import annotations

import os
import time

import psutil

from benchmarks.core.memory import MIB
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster
from benchmarks.core.rows import Row
from benchmarks.core.running import WrongRun
from prefect_dask import Flow, Parameter, Task, context
from prefect_dask.engine.signals import LOOP
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor

#: A process has its usual size after so many turns, or after the first tenth of them.
EARLY_TURNS = 2_000


class Turn(Task):
    """Loops; returns how many bytes its process has grown since the first tenth of the turns."""

    def run(self, turns: int) -> int:
        count = context.task_loop_count
        _, early = context.task_loop_result or (b"", 0)
        if count == max(1, turns // 10):
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
        if self.count <= max(self.turns // 10, EARLY_TURNS):
            self.early = self.late


def looped(work: str, executor: Executor, turns: int) -> Row:
    """One long loop; what the process of the turns and the coordinating one grew by is in the notes, MiB."""
    with Flow("loop") as flow:
        turn = Turn()(Parameter("turns"))
    watch = Watch(turns)
    begun = time.perf_counter()
    state = flow.run(turns=turns, executor=executor, on_state=watch, ledger="none")
    cost = (time.perf_counter() - begun) / turns * 1e6
    if not state.is_successful() or watch.count != turns - 1:
        raise WrongRun(f"{work}: {watch.count} of {turns - 1} turns, {state}")
    notes = {
        "worker grew, MiB": round(state.result[turn].result / MIB, 1),
        "coordinator grew, MiB": round((watch.late - watch.early) / MIB, 1),
    }
    return Row(work, "µs/task", cost, None, None, turns, notes=notes)


def loops(options: Options) -> list[Row]:
    """In this thread, in a thread, on a cluster."""
    turns = options.size(100_000)
    answer = [
        looped("loop, this thread", LocalExecutor(), turns),
        looped("loop, 1 thread", LocalDaskExecutor("threads", num_workers=1), turns),
    ]
    with cluster(options):
        return [*answer, looped("loop, cluster", DaskExecutor(), turns)]


QUESTIONS: Questions = {"loop": loops}
