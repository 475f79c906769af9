"""Listeners for tests: they keep what they hear, and act on it."""

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect_dask.engine.stream import StateRecord


class Watch:
    """Keeps all records of a run, and does something at each that fits.

    Args:
        task: Name of the task to react to.
        state: At which of its states.
        then: What to do, with the record.
    """

    def __init__(
        self,
        task: str = "",
        state: str = "Running",
        then: Callable[[StateRecord], object] | None = None,
    ) -> None:
        self.records: list[StateRecord] = []
        self._task, self._state, self._then = task, state, then
        self._changed = threading.Condition()

    def __call__(self, records: Sequence[StateRecord]) -> None:
        with self._changed:
            self.records.extend(records)
            self._changed.notify_all()
        for record in records:
            if self._then and (record.task_name, record.state) == (self._task, self._state):
                self._then(record)

    def states(self, task: str) -> list[str]:
        """The states that a task came to, in order."""
        return [record.state for record in self.of(task)]

    def of(self, task: str) -> list[StateRecord]:
        """The records of a task, in order."""
        return [record for record in list(self.records) if record.task_name == task]

    def wait_for(self, task: str, state: str, timeout_seconds: float = 20.0) -> StateRecord:
        """The first record that says that a task came to a state."""

        def found() -> list[StateRecord]:
            return [record for record in self.of(task) if record.state == state]

        with self._changed:
            assert self._changed.wait_for(found, timeout_seconds), f"{task} never came to {state}"
            return found()[0]


def show(folder: Path) -> Callable[[StateRecord], None]:
    """Makes the files `seen-1`, `seen-2`, …, one each time that it is told of a record.

    A body that is about to die waits for its file: what a process did not send before it died is lost.
    """
    count = itertools.count(1)
    return lambda record: (folder / f"seen-{next(count)}").touch()
