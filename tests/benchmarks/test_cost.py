"""A run does not become dearer unnoticed: its work is counted, which a busy machine does not change."""

import json
import subprocess
import sys

import pytest

from benchmarks.core.lines import LineCount
from benchmarks.core.machine import ROOT
from benchmarks.cost import CODE, RECORD, complaint, measure


@pytest.mark.parametrize("place", CODE)
def test_a_task_run_executes_as_many_lines_as_recorded(place):
    said = complaint(place, measure(place).lines)
    assert said is None, said


def test_what_is_dearer_or_cheaper_than_recorded_is_said_and_how_to_record_it():
    recorded = json.loads(RECORD.read_text("utf-8"))["this thread"]

    assert "+50%" in (complaint("this thread", recorded * 1.5) or "")
    assert "make record-cost" in (complaint("this thread", recorded * 0.5) or "")
    assert complaint("this thread", recorded * 1.01) is None


def test_the_same_code_executes_the_same_lines():
    def work() -> int:
        total = 0
        for i in range(100):
            total += i
        return total

    counts = []
    for _ in range(2):
        count = LineCount()
        with count.counting():
            work()
        counts.append(count.by_file[__file__])
    # two a turn, and three around them
    assert counts == [203, 203]


def test_the_profile_is_printed():
    command = [sys.executable, "-m", "benchmarks.hot_path", "--scale", "0.001", "--lines", "3"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)

    for part in ("this thread", "the calling thread", "the event loop"):
        assert part in done.stdout
