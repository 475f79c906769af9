"""A claim on a name that only one holder has at a time, in all processes of this machine.

It is a lock on a file, which the system lets go when its holder dies
(docs/decisions/0009-the-right-to-make-a-cached-result-is-a-locked-file.md).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: How often a waiting one looks, seconds; from the first to the last, doubled each time.
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.005, 0.25


class Claim:
    """A claim that is held until `release`.

    Args:
        path: The file that stands for the name.
        file: Its descriptor, locked.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        # An object, not the number: one that is forgotten, because its thread was stopped, lets the lock go.
        self._file = os.fdopen(file, "r+b", buffering=0)

    def release(self) -> None:
        """Let the next one have it."""
        if sys.platform != "win32":
            # While it is held: a file without a name can be locked, and means nothing (see `try_claim`).
            with suppress(OSError):
                self.path.unlink()
        self._file.close()


def claim(path: Path, on_wait: Callable[[], None] = lambda: None) -> Claim:
    """The claim on a name; waits until it is free.

    Args:
        path: The file that stands for the name.
        on_wait: Called once, when another one has it.

    Raises:
        OSError: There can be no such file.
    """
    pause, seconds = threading.Event(), FIRST_LOOK_SECONDS
    has_told = False
    while (found := try_claim(path)) is None:
        if not has_told:
            on_wait()
            has_told = True
        # In short steps: Ctrl-C, and the end of the run, come in between.
        pause.wait(seconds)
        seconds = min(2 * seconds, LAST_LOOK_SECONDS)
    return found


def try_claim(path: Path) -> Claim | None:
    """The claim on a name; None when another one has it.

    Raises:
        OSError: There can be no such file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(file) or not _is_still(path, file):
            os.close(file)
            return None
    except BaseException:
        os.close(file)
        raise
    return Claim(path, file)


def _is_still(path: Path, file: int) -> bool:
    """Whether the name stands for this file: its last holder may have taken it away."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            # Not lockf: that lock belongs to the process, and two of its threads would share it.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
