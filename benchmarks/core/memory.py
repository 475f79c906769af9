"""How much memory processes take."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

MIB = 2**20

#: How often memory is looked at, seconds: a peak that is over sooner may be missed.
LOOK_SECONDS = 0.05


def resident(pids: Mapping[str, int]) -> dict[str, int]:
    """Bytes of resident memory of each process."""
    return {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}


@contextmanager
def peak_growth(pids: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """By how many bytes each process grew at most over what it had at the start; filled in as it goes.

    Args:
        pids: Process ids by name.
    """
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = resident(pids)
    peaks = dict.fromkeys(pids, 0)
    over = threading.Event()

    def look() -> None:
        for name, process in processes.items():
            peaks[name] = max(peaks[name], process.memory_info().rss - before[name])

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            look()

    watcher = threading.Thread(target=watch, name="benchmarks-memory", daemon=True)
    watcher.start()
    try:
        yield peaks
        look()
    finally:
        over.set()
        watcher.join()
