"""Where a case runs besides its coordinating process: a cluster behind proxies, or nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import psutil

from tests.chaos.proxy import Proxy
from tests.faults.cluster import Cluster

WORKER_COUNT = 2


class ArmedCluster(Cluster):
    """A cluster whose processes have more in their environment."""

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self.more = more
        super().__init__(folder)

    def _start(
        self, name: str, arguments: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        return super()._start(name, arguments, {**environment, **self.more})


class Ground:
    """A cluster of two workers with nannies; one proxy stands for its scheduler to these, another to clients.

    Args:
        folder: For the files of its processes.
        more: More of their environment.
    """

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self._folder, self._more = folder, more
        self._generation = 0
        self._numbers = count()
        self.cluster = ArmedCluster(folder / "cluster-0", more)
        self.for_workers = Proxy("")
        self.for_clients = Proxy("")

    @property
    def address(self) -> str:
        """The scheduler's, for clients."""
        return self.for_clients.address

    def begin(self) -> None:
        """Start the workers, as soon as the scheduler has its address."""
        self.for_workers.target = self.for_clients.target = self.cluster.address
        known = json.loads(self.cluster.scheduler_file.read_text())
        seen = self.cluster.folder / "seen-by-workers.json"
        seen.write_text(json.dumps({**known, "address": self.for_workers.address}))
        self.cluster.scheduler_file = seen
        for _ in range(WORKER_COUNT):
            self._add_worker()

    def start_again(self) -> None:
        """A new scheduler, and new workers, in the place of those that are there."""
        self.cluster.close()
        self._generation += 1
        self.cluster = ArmedCluster(self._folder / f"cluster-{self._generation}", self._more)
        self.begin()

    def nanny(self) -> subprocess.Popen[bytes] | None:
        """The process that watches over the first worker."""
        return next(iter(self.cluster.workers.values()), None)

    def workers(self) -> list[psutil.Process]:
        """The workers that are there and not stopped."""
        found = []
        for nanny in self.cluster.workers.values():
            worker = first_working_child(nanny.pid)
            with suppress(psutil.Error):
                if worker is not None and worker.status() != psutil.STATUS_STOPPED:
                    found.append(worker)
        return found

    def look_after(self) -> None:
        """Start a worker in the place of each whose nanny is gone, as whoever runs a cluster does.

        A worker that lost its scheduler ends, and its nanny with it.
        """
        for name, nanny in list(self.cluster.workers.items()):
            if nanny.poll() is not None:
                del self.cluster.workers[name]
                self._add_worker()

    def close(self) -> None:
        """End all of it."""
        with ExitStack() as stack:
            stack.callback(self.cluster.close)
            stack.callback(self.for_workers.close)
            stack.callback(self.for_clients.close)

    def _add_worker(self) -> None:
        # The last of two options that exclude each other counts.
        self.cluster.add_worker(f"worker-{next(self._numbers)}", "--nanny")


def first_working_child(pid: int) -> psutil.Process | None:
    """The first child that Python's multiprocessing, or this package, started to work in."""
    try:
        for child in psutil.Process(pid).children():
            if not any("resource_tracker" in part for part in child.cmdline()):
                return child
    except psutil.Error:
        pass
    return None
