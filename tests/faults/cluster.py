"""A Dask cluster whose parts are processes of their own, so that a test may kill any of them."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import psutil

from prefect_dask.executors import DaskExecutor
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]

#: How long a process may take to start, seconds: importing Dask takes one, on a busy machine several.
START_SECONDS = 30.0


#: A worker as on a machine where prefect_dask is not installed: no .pth files, so no editable installs,
#: and not the folder it lies in.
BARE_WORKER = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
from distributed.cli.dask_worker import main
main()
"""


class Cluster:
    """A scheduler and its workers.

    Args:
        folder: Where its files and logs go.
        allowed_failures: How many workers may die on a task before Dask gives it up.
        scheduler_options: More options of `dask scheduler`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        allowed_failures: int = 3,
        scheduler_options: str = "--no-dashboard",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.scheduler_file = folder / "scheduler.json"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._all: list[subprocess.Popen[bytes]] = []
        self._allowed_failures = allowed_failures
        self._scheduler_options = scheduler_options
        self._address = ""
        self.scheduler = self._start_scheduler(port=0)

    def _start_scheduler(self, port: int) -> subprocess.Popen[bytes]:
        options = f"--port {port} --host 127.0.0.1 {self._scheduler_options} --scheduler-file"
        return self._start(
            "scheduler",
            ["-m", "distributed.cli.dask_scheduler", *options.split(), str(self.scheduler_file)],
            {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(self._allowed_failures)},
        )

    def start_again(self, *workers: str) -> None:
        """Start a scheduler at the address where one ended, and new workers; returns at once."""
        # As it was known: a scheduler that closes in good order takes its file along.
        port = int(self._address.rpartition(":")[2])
        self.scheduler_file.unlink(missing_ok=True)
        self.scheduler = self._start_scheduler(port)
        for name in workers:
            self.add_worker(name)

    def add_worker(
        self,
        name: str,
        *options: str,
        program: Sequence[str] = ("-m", "distributed.cli.dask_worker"),
        path: str = str(REPOSITORY),
    ) -> None:
        """Start a worker of one thread; it waits for the scheduler by itself. Nobody starts it again when it dies.

        Args:
            name: Its name.
            options: More options of `dask worker`.
            program: What Python runs.
            path: Where it looks for modules first; by default it finds the functions that tests define.
        """
        known = f"--name {name} --nthreads 1 --no-nanny --no-dashboard"
        places = [
            "--scheduler-file",
            str(self.scheduler_file),
            "--local-directory",
            str(self.folder),
        ]
        arguments = [*program, *known.split(), *places, *options]
        self.workers[name] = self._start(name, arguments, {"PYTHONPATH": path})

    def add_bare_worker(self, name: str) -> None:
        """Start a worker that lacks this package."""
        self.add_worker(name, program=["-S", "-c", BARE_WORKER], path="")

    @property
    def address(self) -> str:
        """The scheduler's address, as soon as it has one."""

        def read() -> str:
            try:
                address: str = json.loads(self.scheduler_file.read_text())["address"]
            except (OSError, ValueError):
                return ""
            return address

        if not self._address:
            self._address = wait_until(read, START_SECONDS, what="the scheduler's address")
        return self._address

    def wait_for_workers(self) -> None:
        """Wait until each worker that was started has reported in."""
        with self.client() as client:
            client.wait_for_workers(len(self.workers), timeout=START_SECONDS)

    def client(self, **options: object) -> distributed.Client:
        """A client of the cluster."""
        return distributed.Client(self.address, **{"set_as_default": False, **options})

    def close(self) -> None:
        """End all that is left of it."""
        for process in self._all:
            process.kill()
        for process in self._all:
            process.wait(20)

    def break_off_question(self, client: distributed.Client) -> None:
        """Have a question to the stopped scheduler break off, then let the scheduler go on."""
        try:
            wait_until(lambda: client.rpc.occupied.get(self.address), what="a question")
            client.loop.add_callback(client.rpc.remove, self.address)
            wait_until(lambda: not client.rpc.occupied.get(self.address))
        finally:
            self.scheduler.send_signal(signal.SIGCONT)

    def log(self, name: str) -> str:
        """What the scheduler or a worker has written so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(
        self, name: str, arguments: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._all.append(process)
        return process


def temporary_cluster(workers: int) -> dict[str, Any]:
    """What `DaskExecutor` takes to make a cluster for a run, whose scheduler is a process of its own."""
    return {
        "cluster_class": "distributed.deploy.subprocess.SubprocessCluster",
        "cluster_kwargs": {
            "n_workers": workers,
            "threads_per_worker": 1,
            "scheduler_kwargs": {"dashboard": False},
        },
    }


def kill_scheduler_of(executor: DaskExecutor) -> None:
    """Kill the scheduler of the temporary cluster that an executor has made."""
    process = executor.client.cluster.scheduler.process
    os.kill(process.pid, signal.SIGKILL)


@contextmanager
def cluster_of(
    folder: Path, *workers: str, allowed_failures: int = 3, is_ready: bool = True
) -> Iterator[Cluster]:
    """A cluster with one-thread workers of these names, ready to work."""
    cluster = Cluster(folder, allowed_failures=allowed_failures)
    try:
        for name in workers:
            cluster.add_worker(name)
        if is_ready:
            cluster.wait_for_workers()
        yield cluster
    finally:
        cluster.close()


def keys_on(client: distributed.Client) -> list[str]:
    """The keys of all tasks that the scheduler knows."""
    keys: list[str] = client.run_on_scheduler(
        lambda dask_scheduler: sorted(str(key) for key in dask_scheduler.tasks)
    )
    return keys


def wait_until_empty(cluster: Cluster, timeout_seconds: float = 10.0) -> None:
    """Wait until the scheduler holds no key any more."""
    with cluster.client() as client:
        wait_until(lambda: not keys_on(client), timeout_seconds, what="a scheduler without keys")


def processes_below() -> set[psutil.Process]:
    """All processes that this one has started, directly or not."""
    return set(psutil.Process().children(recursive=True))
