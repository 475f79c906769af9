"""A program run to its end or its deadline, cut off from the network, and everything ended that it had started."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import psutil

#: In the environment of a program, and so of all that it starts: also what has left its process group is found.
MARK = "BENCHMARK_PEERS_RUN"

END_SECONDS = 10.0
REASON_LENGTH = 160
ERROR = re.compile(r"ERROR: |[\w.]+(Error|Exception)\b")


def run_alone(
    command: list[str],
    environment: dict[str, str],
    folder: Path,
    *,
    timeout_seconds: float,
    with_network: bool = False,
) -> str:
    """Why the program did not succeed, in a sentence; "" if it did. Nothing of it runs any more afterwards.

    Where the system allows it, the program has a network of its own, in which there is the loopback device alone.
    """
    mark = uuid.uuid4().hex
    output = folder / f"output-{mark}.txt"
    if not with_network:
        command = [*cut_off(), *command]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_all(process, mark)
    if code is None:
        return f"not over within {timeout_seconds:g} s"
    return "" if code == 0 else reason(output.read_text("utf-8", "replace"), code)


def end_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """End the process, its group, and every process that carries the mark."""
    if process.poll() is None:
        # The group by the number of its leader, which is nobody else's as long as the leader was not waited for.
        end = getattr(os, "killpg", os.kill)
        end(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
    while left := carrying(mark):
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        _, alive = psutil.wait_procs(left, timeout=END_SECONDS)
        if alive:
            raise RuntimeError(f"these do not end: {alive}")


def carrying(mark: str) -> list[psutil.Process]:
    """The living processes that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
    return found


@functools.cache
def cut_off() -> tuple[str, ...]:
    """What to put before a command so that it sees loopback alone; () where that cannot be had."""
    shell, unshare = shutil.which("sh"), shutil.which("unshare")
    if not shell or not unshare:
        return ()
    prefix = (unshare, "-rn", shell, "-c", 'ip link set lo up && exec "$@"', "sh")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()


def reason(output: str, code: int) -> str:
    """The line that says why: the last that names an error, else the last of all.

    Example:
        >>> reason("Traceback\\n  File\\nValueError: no\\nbye\\n", 1)
        'ValueError: no'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # Of a program that started another one, only the other one's error says anything.
    errors = [line for line in lines if ERROR.match(line) and "CalledProcessError" not in line]
    said = (errors or lines or [f"ended with {code}"])[-1]
    return said if len(said) <= REASON_LENGTH else said[: REASON_LENGTH - 1] + "…"
