"""Loaded by the worker processes of a temporary cluster.

Ctrl-C in a terminal reaches them as well as the coordinating process; that one decides what becomes of them.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading


def dask_setup(worker: object) -> None:
    """Called by Dask when a worker starts: let it pass over Ctrl-C."""
    is_own_process = multiprocessing.parent_process() is not None
    if is_own_process and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
