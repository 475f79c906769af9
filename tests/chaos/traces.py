"""What bodies leave behind: when they began and ended, under which coordinating process."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from tests.outside_ledger import Execution, executions_in, note_execution


class Body(NamedTuple):
    """One execution of a body.

    Attributes:
        epoch: Under which coordinating process, counted from 0.
        execution: What it was.
        ended_ns: When it returned a result; None where it failed, died or is running.
        left_ns: When it was over, also where it failed; None where it died or is running.
    """

    epoch: int
    execution: Execution
    ended_ns: int | None
    left_ns: int | None = None


class Traces:
    """A folder with an outside ledger, and the ends of what returned, for each coordinating process."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def note_begin(self, epoch: int) -> Execution:
        """Tell that a body begins. For bodies."""
        return note_execution(self.folder / f"executions-{epoch}")

    def note_end(self, epoch: int, execution: Execution) -> None:
        """Tell that it is about to return its result. For bodies."""
        self._note(f"ends-{epoch}", execution)

    def note_left(self, epoch: int, execution: Execution) -> None:
        """Tell that it is over, however it came out. For bodies."""
        self._note(f"left-{epoch}", execution)

    def faults_are_over(self) -> bool:
        """Whether no fault that waits for bodies is to come, or lasts. For bodies."""
        return (self.folder / "no-more-faults").exists()

    def note_faults_over(self) -> None:
        """Tell that none is."""
        (self.folder / "no-more-faults").touch()

    def _note(self, name: str, execution: Execution) -> None:
        line = json.dumps([execution, time.monotonic_ns()]).encode() + b"\n"
        file = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            assert os.write(file, line) == len(line)
        finally:
            os.close(file)

    def begun_count(self) -> int:
        """How many bodies were begun until now."""
        return sum(path.read_bytes().count(b"\n") for path in self._files())

    def bodies(self) -> list[Body]:
        """All executions, in the order in which they were begun."""
        found = []
        for path in self._files():
            epoch = int(path.name.rpartition("-")[2])
            ends, left = self._moments(f"ends-{epoch}"), self._moments(f"left-{epoch}")
            found += [
                Body(epoch, each, ends.get(each), left.get(each)) for each in executions_in(path)
            ]
        return sorted(found, key=lambda body: body.execution.time_ns)

    def _files(self) -> list[Path]:
        return [p for p in self.folder.glob("executions-*") if re.fullmatch(r".*-\d+", p.name)]

    def _moments(self, name: str) -> dict[Execution, int]:
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return {Execution(*began): ended for began, ended in map(json.loads, lines)}
