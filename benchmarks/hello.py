"""How long does the smallest flow take as a whole process, from the shell's point of view? Beside `dask.get`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

from benchmarks.core.machine import ROOT
from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate

OURS = """
from prefect_dask import Flow, task

@task
def hello():
    return "hello"

with Flow("hello") as flow:
    said = hello()
assert flow.run(on_state=lambda records: None).result[said].result == "hello"
"""

RAW = """
import dask

assert dask.get({"hello": (lambda: "hello",)}, "hello") == "hello"
"""

#: Processes take a fifth of a second each, and differ a lot: more of them than rounds of other questions.
PROCESSES_PER_ROUND = 4


def process(code: str, home: str) -> float:
    """Seconds of wall time of a process of its own, which records its runs in that home folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": home}
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - begun


def hello(options: Options) -> list[Row]:
    """The median of 20 processes of each, where there are 5 rounds."""
    many = replace(options, rounds=options.rounds * options.size(PROCESSES_PER_ROUND, least=1))
    with tempfile.TemporaryDirectory() as home:
        ours, raw = alternate(
            many, lambda: process(OURS, home), lambda: process(RAW, home), lambda: None
        )
    return [
        Row(
            "hello world, whole process, this thread",
            "s",
            statistics.median(ours),
            statistics.median(raw),
            Bar(0.2, of="ours"),
            1,
        )
    ]


QUESTIONS: Questions = {"hello": hello}
