"""The coordinating process of a case: runs its flow, or takes the run up again.

python -m tests.chaos.coordinator FOLDER EPOCH run|resume|restart [SCHEDULER]
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

from prefect_dask import restart, resume
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from tests.chaos import crash_points
from tests.chaos.bodies import flow_of
from tests.chaos.plan import Case


def executor_of(case: Case, scheduler: str) -> Any:
    """Where the case runs."""
    if case.place == "cluster":
        return DaskExecutor(scheduler)
    if case.place == "this thread":
        return LocalExecutor()
    return LocalDaskExecutor(case.place, num_workers=2)


def main(folder: Path, epoch: int, what: str, scheduler: str = "") -> None:
    """Do it, and write down in which state it ended."""
    # Armed by now; what it starts are workers.
    os.environ[crash_points.ROLE] = "worker"
    case: Case = pickle.loads((folder / "case.pickle").read_bytes())
    place = (folder / "place").read_text()
    flow = flow_of(case, folder)
    facts: dict[str, Any] = {
        "executor": executor_of(case, scheduler),
        "ledger": place,
        "context": {"traces": str(folder), "epoch": epoch},
        "return_tasks": None if case.keeps_all else [],
    }
    if what == "run":
        state = flow.run(**facts)
    else:
        take_up = resume if what == "resume" else restart
        state = take_up(Ledger(place).flow_runs()[0].run_id, flow, **facts)
    ended = folder / f"ended-{epoch}"
    ended.with_suffix(".draft").write_text(f"{type(state).__name__} {state.message}")
    ended.with_suffix(".draft").rename(ended)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
