"""Bodies that say in a file when they begin and end, and how many of them that file saw at once.

The file knows nothing of the engine: each line is appended in one write, so their order is that of what happened.

    python -m tests.promises.limited LEDGER DIARY COUNT [UNTIL]

runs a flow of such bodies, when a line comes from its input.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from prefect_dask import Flow, context, task, unmapped
from prefect_dask.executors import LocalDaskExecutor
from tests.waiting import wait_until


class Diary:
    """The file.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def note(self, *words: object) -> None:
        """Append a line."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, (" ".join(map(str, words)) + "\n").encode())
        finally:
            os.close(file)

    def lines(self) -> list[list[str]]:
        """The lines until now, as words."""
        return [line.split() for line in self.path.read_text().splitlines()]

    def at_work(self) -> Iterator[dict[str, str]]:
        """After each line, the bodies that are at work, and in which process: those of a killed one are over."""
        now: dict[str, str] = {}
        for kind, pid, *name in self.lines():
            if kind == "begin":
                now[f"{pid} {name[0]}"] = pid
            elif kind == "end":
                now.pop(f"{pid} {name[0]}", None)
            else:
                now = {body: its for body, its in now.items() if its != pid}
            yield now

    def most_at_once(self) -> int:
        """How many bodies were at work at once at most."""
        return max(map(len, self.at_work()), default=0)

    def now_at_work(self) -> dict[str, str]:
        """The bodies that are at work, and in which process."""
        return [{}, *self.at_work()][-1]

    def begun(self) -> list[str]:
        """The bodies that began, in order."""
        return [words[2] for words in self.lines() if words[0] == "begin"]

    def kill(self, pid: int) -> None:
        """Kill a process, and note it when nothing runs there any more and nobody knows yet."""
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        self.note("killed", pid)
        os.kill(pid, signal.SIGKILL)


def at_work(path: Path, until: Path | None, at_least: float) -> None:
    """The time between two lines of a body: until a file is there, or so many seconds."""
    diary = Diary(path)
    name = f"{context.task_name}[{context.get('map_index')}]".replace(" ", "-")
    diary.note("begin", os.getpid(), name, time.monotonic())
    try:
        if until is not None:
            wait_until(until.exists, 10)
        else:
            threading.Event().wait(at_least)
    finally:
        diary.note("end", os.getpid(), name, time.monotonic())


@task(tags=["scarce"])
def short(item: int, diary: Path) -> int:
    """At work for a moment."""
    at_work(diary, None, 0.05 + 0.02 * (item % 5))
    return item


@task(tags=["scarce"])
def held(item: int, diary: Path, until: Path) -> int:
    """At work until a file is there."""
    at_work(diary, until, 0.0)
    return item


@task(tags=["scarce", "dask-resource:FIRST=1"])
def first(diary: Path, until: Path) -> int:
    """At work until a file is there, on a worker for this."""
    at_work(diary, until, 0.0)
    return 1


@task(tags=["scarce", "dask-resource:SECOND=1"])
def second(diary: Path, until: Path) -> int:
    """The same on other workers."""
    at_work(diary, until, 0.0)
    return 2


def main(ledger: str, diary: str, count: str, until: str = "") -> None:
    """Run a flow of so many short ones, or such that are held, in threads."""
    with Flow(f"flow of {os.getpid()}") as flow:
        if until:
            held.map(list(range(int(count))), unmapped(Path(diary)), unmapped(Path(until)))
        else:
            short.map(list(range(int(count))), unmapped(Path(diary)))
    print("ready", flush=True)
    sys.stdin.readline()
    state = flow.run(executor=LocalDaskExecutor("threads", 4), ledger=ledger)
    sys.exit(not state.is_successful())


if __name__ == "__main__":
    main(*sys.argv[1:])
