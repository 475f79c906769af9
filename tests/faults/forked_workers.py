"""Dask workers that start in a tenth of a second: copies of one process that has imported all there is to import.

    python -m tests.faults.forked_workers SCHEDULER

Reads names from its input, forks a worker for each, and writes the number of its process.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from tests.faults.cluster import REPOSITORY, Cluster


class ForkedWorkers:
    """Makes workers for a cluster.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        with (cluster.folder / "forked.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.forked_workers", cluster.address],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        #: The processes that were made and not killed, by name.
        self.pids: dict[str, int] = {}

    def add(self, name: str) -> int:
        """Make a worker of one thread; the number of its process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        pid = self.pids[name] = int(self._process.stdout.readline())
        return pid

    def close(self) -> None:
        """End all that are left."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate(timeout=20)


@contextmanager
def forked_workers(cluster: Cluster, *names: str) -> Iterator[ForkedWorkers]:
    """Workers of these names, ready to work, and more where they are wanted."""
    workers = ForkedWorkers(cluster)
    try:
        for name in names:
            workers.add(name)
        with cluster.client() as client:
            client.wait_for_workers(len(names), timeout=30)
        yield workers
    finally:
        workers.close()


async def work(address: str, name: str) -> None:
    """Be a worker until the scheduler goes."""
    async with distributed.Worker(address, nthreads=1, name=name, dashboard=False) as worker:
        await worker.finished()


if __name__ == "__main__":
    import distributed

    # What bodies need.
    for name in ("prefect_dask.engine.executors.dask", "tests.promises.limited"):
        import_module(name)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            # Its own, so that what forked it may end.
            sys.stdin.close()
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1):
                os.dup2(null, number)
            asyncio.run(work(sys.argv[1], line.strip()))
            os._exit(0)
        print(child, flush=True)
