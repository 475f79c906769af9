"""Nannies tell how their workers end, also where this package is not installed."""

import subprocess
import sys

import cloudpickle

from prefect_dask.engine.executors.dask_exits import EXIT_TOPIC, exit_watch

ELSEWHERE = """
import asyncio, pickle, sys
from types import SimpleNamespace

sys.modules["prefect_dask"] = None  # its import fails
watch = pickle.load(sys.stdin.buffer)
told = []

async def log_event(topic, msg):
    told.append((topic, msg))

async def restart(exit_code):
    told.append(exit_code)

nanny = SimpleNamespace(
    worker_address="tcp://a:1",
    scheduler=SimpleNamespace(log_event=log_event),
    _on_worker_exit=restart,
)
watch.setup(nanny)
asyncio.run(nanny._on_worker_exit(-9))
print(told)
"""


def test_the_plugin_runs_in_a_nanny_that_lacks_this_package():
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=cloudpickle.dumps(exit_watch()),
        capture_output=True,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr.decode()
    said = [(EXIT_TOPIC, {"worker": "tcp://a:1", "exit_code": -9}), -9]
    assert done.stdout.decode().strip() == str(said)
