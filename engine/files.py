"""Bytes into a file such that it is there whole or not at all, and at any fsspec URL likewise.

They are written under another name, read back and compared, and only then given their name
(docs/decisions/0008-a-result-is-checked-before-it-gets-its-name.md).
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: The end of names that are not to be read: a writer is at work there, or died.
UNFINISHED = ".unfinished"


def _anybody(lately: bool) -> None:
    """Whoever writes may do so."""


#: Raises where what writes does not count any more, such as a task run on a worker that its cluster has given up.
_check_right: Callable[[bool], None] = _anybody


def ask_before_naming(check: Callable[[bool], None]) -> None:
    """From now on call `check`, in the thread that writes, before what was written gets a name that others know.

    Args:
        check: Raises where it is not to get it. Called with whether an answer of lately will do, as long as no
            other process can have the run.
    """
    global _check_right
    _check_right = check


def check_right() -> None:
    """Raise where the run for which this thread writes may be another process's by now."""
    _check_right(True)


class WriteDamaged(OSError):
    """What was read back is not what was written."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"what was written to {place} is not what can be read there: the disk or the network damaged it, "
            f"or is full; nothing was put in its place"
        )
        self.place = place

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.place,)


def write_file(
    path: Path, data: bytes, *, survives_power_cut: bool = True, is_shared: bool = False
) -> None:
    """Put a file in place, with its folders; one that was there is replaced at once.

    Args:
        path: The file.
        data: All of it.
        is_shared: Whether another writer may give the same name to something else; see `ask_before_naming`.
        survives_power_cut: Whether to wait until the disk has it. Otherwise a power cut may leave the name with
            other bytes than these, and its reader has to know them.

    Raises:
        OSError: It could not be written; what was there before is there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: only within one file system is a rename one step.
    unfinished = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}{UNFINISHED}")
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
            file.flush()
            if survives_power_cut:
                # Else the name could outlive it, and the bytes not.
                os.fsync(file.fileno())
        if checksum_of(unfinished) != (len(data), zlib.crc32(data)):
            raise WriteDamaged(str(path))
        if is_shared:
            _check_right(False)
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def checksum_of(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    size, crc = 0, 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc


def write_through(filesystem: Any, path: str, data: bytes) -> None:
    """Put a file in place on a file system of fsspec; see `ask_before_naming`.

    Raises:
        OSError: It could not be written.
    """
    from fsspec import AbstractFileSystem

    parent, slash, name = path.rpartition("/")
    if type(filesystem).mv is AbstractFileSystem.mv:
        # No renaming there, as in object stores: these show an object only when all of it has arrived, and
        # check it on the way. To copy it under its name would be no safer than to write it so.
        _check_right(False)
        filesystem.pipe_file(path, data)
        if filesystem.size(path) != len(data):
            raise WriteDamaged(path)
        return
    if parent:
        filesystem.makedirs(parent, exist_ok=True)
    unfinished = f"{parent}{slash}.{name[:100]}.{uuid.uuid4().hex}{UNFINISHED}"
    try:
        filesystem.pipe_file(unfinished, data)
        if filesystem.cat_file(unfinished) != data:
            raise WriteDamaged(path)
        _check_right(False)
        filesystem.mv(unfinished, path)
    except BaseException:
        with suppress(Exception):
            filesystem.rm_file(unfinished)
        raise
