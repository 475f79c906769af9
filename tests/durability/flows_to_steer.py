"""A flow that is followed and cancelled from outside, and programs that run it.

    python flows_to_steer.py KIND LEDGER FOLDER [BRIEFS]   runs it here
    python flows_to_steer.py detach LEDGER FOLDER          leaves it running and ends; prints the run's id

Bodies leave marks in FOLDER, and go on when the file `go` is there.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from prefect_dask import Flow, context, task, unmapped
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.resources import ResourceManager
from tests.faults.bodies import hold, note
from tests.faults.cluster import REPOSITORY
from tests.waiting import wait_until


class Room:
    def __init__(self, folder):
        self.folder = folder

    def setup(self):
        note(self.folder, "set-up")
        return 41

    def cleanup(self, room):
        note(self.folder, "cleaned")


@task
def holding(folder, x):
    context.logger.info("holding %s", x)
    hold(folder, "holding")
    return x + 1


@task
def until_cancelled(folder):
    note(folder, "asked-began")
    wait_until(lambda: context.cancelled, 50)
    return "asked"


@task
def stubborn(folder):
    note(folder, "stubborn-began")
    while not (folder / "go").exists():
        time.sleep(0.01)


@task
def brief(folder, x):
    note(folder, "brief-began", str(time.monotonic()))
    # A body that has to last: a worker is to be in one whenever it is asked to end.
    time.sleep(0.05)


@task
def half(x):
    return x / 2


def flow_to_follow(folder: Path) -> Flow:
    with Flow("to follow") as flow:
        half.map([holding(folder, 41), 2])
    return flow


def flow_to_cancel(folder: Path, *, briefs: int = 0) -> Flow:
    """Beside what ends when it is asked to, and what does not, so many short task runs."""
    with Flow("to cancel") as flow, ResourceManager(Room)(folder) as room:
        asked = until_cancelled(folder, upstream_tasks=[room])
        stubborn(folder, upstream_tasks=[room])
        half(asked)
        if briefs:
            brief.map(unmapped(folder), list(range(briefs)), upstream_tasks=[unmapped(room)])
    return flow


def executor_of(kind: str) -> object:
    if kind == "dask":
        return DaskExecutor(cluster_kwargs={"n_workers": 3, "threads_per_worker": 1})
    if kind == "local":
        return LocalExecutor()
    return LocalDaskExecutor(kind, num_workers=3)  # type: ignore[arg-type]  # names of schedulers


def begin(kind: str, place: Path, folder: Path, *, briefs: int = 0) -> "subprocess.Popen[str]":
    """Run this program in a session of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, kind, str(place), str(folder), str(briefs)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def main(kind: str, ledger: str, folder: Path, briefs: int = 0) -> None:
    if kind == "detach":
        handle = flow_to_follow(folder).run(detach=True, ledger=ledger)
        print(handle.run_id)
    elif kind == "follow":
        flow_to_follow(folder).run(ledger=ledger, executor=executor_of("threads"))
    else:
        flow_to_cancel(folder, briefs=briefs).run(ledger=ledger, executor=executor_of(kind))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))
