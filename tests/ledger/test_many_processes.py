"""Several processes record their runs in one file at once, and one reads it: nothing is lost, and nobody waits for
long."""

import json
import subprocess
import sys
import threading
from collections import Counter

from prefect_dask import attach
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import NothingRecorded

#: 500 task runs a process, in runs short enough that there are writes enough to speak of their p99.
PROCESSES, RUNS, TASK_RUNS = 8, 10, 50

#: p99 of the time that one batch may take, seconds.
SLOWEST_SECONDS = 0.5

RECORDS = """
import json, sys, time
from prefect_dask import Flow, task, unmapped
from prefect_dask.ledger.sqlite import SqliteStore

took = []
write = SqliteStore.write
def timed(store, entries):
    start = time.monotonic()
    try:
        return write(store, entries)
    finally:
        took.append(time.monotonic() - start)
SqliteStore.write = timed

@task
def same(x):
    return x

with Flow(sys.argv[2]) as flow:
    same.map(list(range(int(sys.argv[3]))))
print("ready", flush=True)
sys.stdin.readline()
states = [flow.run(ledger=sys.argv[1]) for _ in range(int(sys.argv[4]))]
print(json.dumps([all(state.is_successful() for state in states), took]))
"""


def test_eight_processes_write_one_file(tmp_path):
    place = str(tmp_path / "its.sqlite")

    took = run_at_once(place)

    check_nothing_is_lost(Ledger(place))
    assert len(took) >= PROCESSES * RUNS
    assert p99_of(took) < SLOWEST_SECONDS


def run_at_once(place: str) -> list[float]:
    """Run the processes; how long each write took, seconds."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RECORDS, place, f"flow {number}", str(TASK_RUNS), str(RUNS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    check_reading(Ledger(place), processes)
    took = []
    for process in processes:
        said, errors = process.communicate(timeout=50)
        assert process.returncode == 0, errors
        is_successful, seconds = json.loads(said)
        assert is_successful, errors
        assert "locked" not in errors and "cannot be reached" not in errors
        took += seconds
    return took


def check_reading(ledger: Ledger, processes: list[subprocess.Popen[str]]) -> None:
    """Read while they write: what was there once is there again."""
    seen: Counter[str] = Counter()
    pause = threading.Event()
    while any(process.poll() is None for process in processes):
        pause.wait(0.1)
        try:
            runs = ledger.flow_runs()
        except NothingRecorded:
            continue
        assert seen.keys() <= {run.run_id for run in runs}
        for run in runs[:2]:
            told = len(ledger.states(run.run_id))
            assert told >= seen[run.run_id]
            seen[run.run_id] = told
    assert seen.total(), "nothing was read meanwhile"


def p99_of(took: list[float]) -> float:
    return sorted(took)[max(0, int(len(took) * 0.99) - 1)]


def check_nothing_is_lost(ledger: Ledger) -> None:
    runs = ledger.flow_runs()
    assert Counter(run.flow_name for run in runs) == {f"flow {n}": RUNS for n in range(PROCESSES)}
    for run in runs:
        assert run.state == "Success"
        told = ledger.states(run.run_id)
        assert [s.state for s in told if s.task < 0] == ["Running", "Success"]
        states = Counter(s.state for s in told if s.map_index >= 0)
        assert states == {"Running": TASK_RUNS, "Success": TASK_RUNS}
        whole = attach(run.run_id, ledger=ledger).wait().result["same-1"]
        assert whole.result == list(range(TASK_RUNS))
