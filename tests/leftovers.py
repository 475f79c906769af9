"""What a test could leave behind: threads, child processes, a changed environment.

Only threads that keep Python alive count, not daemons.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Running:
    """The threads and child processes that there are at one moment."""

    threads: frozenset[threading.Thread] = frozenset()
    processes: frozenset[psutil.Process] = frozenset()

    @classmethod
    def now(cls) -> "Running":
        threads = {t for t in threading.enumerate() if not t.daemon}
        processes = psutil.Process().children(recursive=True)
        kept = processes_that_python_keeps()
        return cls(
            frozenset(threads - threads_that_dask_keeps()),
            frozenset(p for p in processes if p.pid not in kept),
        )

    def __sub__(self, other: "Running") -> "Running":
        return Running(self.threads - other.threads, self.processes - other.processes)

    def __or__(self, other: "Running") -> "Running":
        return Running(self.threads | other.threads, self.processes | other.processes)

    def wait_until_gone(self, timeout_seconds: float) -> "Running":
        """Wait for all of them to end; the ones that did not in time."""
        deadline = time.monotonic() + timeout_seconds
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        _, alive = psutil.wait_procs(
            list(self.processes), timeout=max(0.0, deadline - time.monotonic())
        )
        return Running(frozenset(t for t in self.threads if t.is_alive()), frozenset(alive))

    def __str__(self) -> str:
        threads = [f"thread {t.name!r}" for t in self.threads]
        return ", ".join(threads + [f"process {describe(p)}" for p in self.processes])


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]!r}"
    except psutil.Error:
        return f"{process.pid} (ended)"


def threads_that_dask_keeps() -> set[threading.Thread]:
    """Threads of the pools that Dask makes once and keeps until the process ends."""
    pools = []
    if threaded := sys.modules.get("dask.threaded"):
        pools.append(threaded.default_pool)
    if utils := sys.modules.get("distributed.utils"):
        pools.append(utils._offload_executor)
    return {thread for pool in pools for thread in getattr(pool, "_threads", ())}


def processes_that_python_keeps() -> set[int | None]:
    """Ids of the helpers that multiprocessing starts once and keeps until the process ends."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    server = sys.modules.get("multiprocessing.forkserver")
    return {
        tracker._resource_tracker._pid if tracker else None,
        server._forkserver._forkserver_pid if server else None,
    }


#: pytest tells in the first where it is; a Dask nanny sets the others in its own process, for its workers.
NOT_OURS = {
    "PYTEST_CURRENT_TEST",
    "MALLOC_TRIM_THRESHOLD_",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "__DASK_PARENT_PID",
}


def environment() -> dict[str, str]:
    """The environment, without what test runner and Dask keep there."""
    return {name: value for name, value in os.environ.items() if name not in NOT_OURS}


@contextmanager
def nothing_left(
    lasting: Callable[[], Running] = Running, *, grace_seconds: float = 5.0
) -> Iterator[None]:
    """Put back the environment, and fail if the block leaves more behind than `lasting()`.

    A thread or process that was told to end may take `grace_seconds` for it.

    A child process that took the place of one that ended is not counted: a cluster that lasts
    longer than the test may start a worker again.
    """
    variables, folder, before = environment(), os.getcwd(), Running.now()
    yield
    moved_to = os.getcwd()
    os.chdir(folder)
    changed = sorted({name for name, _ in variables.items() ^ environment().items()})
    for name in changed:
        if name in variables:
            os.environ[name] = variables[name]
        else:
            del os.environ[name]

    now = Running.now()
    left = now - before - lasting()
    if len(left.processes) <= len((before - now).processes):
        left = Running(left.threads)
    left = left.wait_until_gone(grace_seconds)

    assert not left.threads and not left.processes, f"left running: {left}"
    assert not changed, f"left changed in the environment: {', '.join(changed)}"
    assert moved_to == folder, f"left the working folder changed to {moved_to}"
