"""Loaded by the worker processes of a temporary cluster.

Ctrl-C in a terminal reaches them as well as the coordinating process; that one decides what becomes of them.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading

from distributed.gc import disable_gc_diagnosis


def dask_setup(worker: object) -> None:
    """Called by Dask when a worker starts: let it pass over Ctrl-C, and let stops through."""
    is_own_process = multiprocessing.parent_process() is not None
    if is_own_process and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Its callbacks are often all the Python code that a body in a long call into C comes to; the stop of
        # a body would be raised in there, and be lost with a traceback on the terminal.
        disable_gc_diagnosis(force=True)
        # What Dask warns of when a worker is closed in mid-task, as after Ctrl-C.
        state_machine = logging.getLogger("distributed.worker.state_machine")
        state_machine.addFilter(lambda line: "ended with CancelledError" not in line.getMessage())
