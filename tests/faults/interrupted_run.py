"""Run as a program by test_interrupt.py: a flow that is interrupted, and what was left of it.

Prints one JSON document after Ctrl-C has ended the run.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from prefect_dask import Flow
from prefect_dask.engine.errors import RunInterrupted
from prefect_dask.executors import Executor, LocalDaskExecutor, LocalExecutor
from tests.faults.bodies import add, holding, note, number
from tests.faults.watching import Watch


def executor_of(kind: Any, address: str) -> Executor:
    if kind == "local":
        return LocalExecutor()
    if kind == "dask":
        from prefect_dask.executors import DaskExecutor

        if address:
            return DaskExecutor(address)
        return DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1})
    return LocalDaskExecutor(kind, num_workers=2)


def main(kind: str, folder: Path, address: str) -> None:
    with Flow("interrupted") as flow:
        first = number(41)
        held = holding(folder, upstream_tasks=[first])
        below = add(first, upstream_tasks=[held])
    watch = Watch("holding", "Running", lambda record: note(folder, "holding-known"))
    try:
        flow.run(executor=executor_of(kind, address), on_state=watch)
    except RunInterrupted as interrupt:
        assert isinstance(interrupt, KeyboardInterrupt)
        tasks = interrupt.state.result
        told = {
            "flow": type(interrupt.state).__name__,
            "states": {task.name: type(state).__name__ for task, state in tasks.items()},
            "first": tasks[first].result if tasks[first].is_successful() else None,
            "below": str(tasks[below].message),
            # That of the ledger stays for a while: the next run needs it.
            "threads": [
                t.name
                for t in threading.enumerate()
                if t.name.startswith("prefect") and t.name != "prefect-dask-ledger"
            ],
            "children": [p.cmdline() for p in psutil.Process().children(recursive=True)],
        }
        print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
