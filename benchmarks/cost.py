"""What does a fixed run of 1,000 tasks cost in work, not in time? Held to what `cost.json` beside this file says.

    python -m benchmarks.cost [--record] [--instructions]

Prints lines of Python executed for each task run, and in which files: in this thread, and in the process that
coordinates a run on a cluster. `--record` writes the figures down, where a change of them is wanted;
`--instructions` lets valgrind count those of the processor, which sees C code as well and differs from build to
build of Python. The hash seed is fixed, the machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from benchmarks.core.bodies import numbers, one, start, total
from benchmarks.core.lines import LineCount
from benchmarks.core.machine import ROOT
from benchmarks.core.running import run_flow
from prefect_dask import Flow, task
from prefect_dask.executors import Executor, LocalExecutor

Place = Literal["this thread", "coordinator"]

RECORD = Path(__file__).with_name("cost.json")

#: How far a figure may be from the recorded one: versions of Python differ by 4 %, and the coordinator is woken by
#: what comes as it comes, which makes 3 % more.
TOLERANCE: dict[Place, float] = {"this thread": 0.06, "coordinator": 0.1}

MAPPED, CHAINED, WIDE = 300, 100, 296

#: 1,000: children, chain and wide layer; the list that is mapped over, two reduces, the list that one takes.
TASK_RUNS = 2 * MAPPED + CHAINED + WIDE + 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took.

    Attributes:
        lines: Lines of Python, per task run.
        by_file: The files with the most of them, per task run.
    """

    lines: float
    by_file: dict[str, float]

    def as_json(self) -> str:
        """A line that `Cost(**json.loads(line))` reads."""
        return json.dumps(asdict(self))


def fixed_flow() -> Flow:
    """The run: two maps in a row and their sum, a chain, a wide layer and its sum."""
    first, next_one, adder = task(start), task(one), task(total)
    with Flow("fixed") as flow:
        adder(next_one.map(next_one.map(task(numbers)(MAPPED))))
        last = first(0)
        for _ in range(CHAINED - 1):
            last = next_one(last)
        adder([first(i) for i in range(WIDE)])
    return flow


def here() -> Cost:
    """LocalExecutor; everything."""
    count = LineCount()
    with count.in_new_threads():
        return _count(count, LocalExecutor())


def coordinating() -> Cost:
    """The process that calls `flow.run`, on a cluster whose processes are all elsewhere."""
    from benchmarks.core.options import Options
    from benchmarks.core.places import cluster_apart
    from prefect_dask.executors import DaskExecutor

    count = LineCount()
    with count.in_new_threads(), cluster_apart(Options()):
        return _count(count, DaskExecutor())


def _count(count: LineCount, executor: Executor) -> Cost:
    flow = fixed_flow()
    run_flow(flow, executor, TASK_RUNS)  # imports, first connections, caches
    with count.counting():
        run_flow(flow, executor, TASK_RUNS)
    by_file: dict[str, float] = {}
    for file, lines in count.by_file.most_common(12):
        by_file["/".join(Path(file).parts[-2:])] = round(lines / TASK_RUNS, 1)
    return Cost(round(count.total / TASK_RUNS, 1), by_file)


CODE: dict[Place, str] = {"this thread": "here", "coordinator": "coordinating"}


def measure(place: Place) -> Cost:
    """The cost in a process of its own, whose hash seed is fixed."""
    name = CODE[place]
    code = f"from benchmarks.cost import {name}; print({name}().as_json())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def instructions() -> float | None:
    """Instructions of the processor per task run, in this thread; None without valgrind.

    What building the flow and everything around takes is taken off.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    build = "from benchmarks.cost import *; flow = fixed_flow()"
    both = f"{build}; flow.run(on_state=lambda records: None)"
    return (_instructions(valgrind, both) - _instructions(valgrind, build)) / TASK_RUNS


def _instructions(valgrind: str, code: str) -> int:
    command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind told no count: {done.stderr[-500:]}")
    return int(found[1])


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0", "PREFECT__LOGGING__LEVEL": "WARNING"}


def complaint(place: Place, lines: float) -> str | None:
    """What is wrong with a figure; None where it is within the tolerance of the recorded one."""
    record = json.loads(RECORD.read_text("utf-8"))
    recorded, tolerance = record[place], TOLERANCE[place]
    share = lines / recorded - 1
    if abs(share) <= tolerance:
        return None
    return (
        f"{place}: a task run of the fixed flow executes {lines:g} lines of Python, {share:+.0%} of the recorded "
        f"{recorded:g} (Python {record['python']}, dask {record['dask']}; here dask {version('dask')}); "
        f"`python -m benchmarks.cost` shows in which files. If that is wanted: make record-cost"
    )


def main() -> int:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the figures to cost.json")
    parser.add_argument("--instructions", action="store_true", help="by valgrind, this thread")
    chosen = parser.parse_args()
    costs = {place: measure(place) for place in CODE}
    for place, cost in costs.items():
        print(f"{place}: {cost.lines:g} lines of Python a task run, of these in")
        for file, lines in cost.by_file.items():
            print(f"{lines:>10.1f}  {file}")
    if chosen.instructions:
        counted = instructions()
        print("no valgrind here" if counted is None else f"{counted:,.0f} instructions a task run")
    if chosen.record:
        figures: dict[str, Any] = {place: cost.lines for place, cost in costs.items()}
        record = {**figures, "python": platform.python_version(), "dask": version("dask")}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return 0
    complaints = [c for place, cost in costs.items() if (c := complaint(place, cost.lines))]
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
