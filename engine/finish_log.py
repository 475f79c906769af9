"""What task runs came to, noted where they ran before anybody is told: an append-only file a process.

What is on its way to the ledger dies with the coordinating process. A task that says `durable=True` notes its ends
here first, and who takes the run up again finds them. An end is a msgpack list in a frame, which is written in one
piece, and not synced: processes die often, power seldom.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from .frames import framed, read_frames

ENDING: Final = ".finished"


class Finish(NamedTuple):
    """A task run came to its end.

    Attributes:
        slug: The task.
        map_index: Which child of a mapped task; -1 otherwise.
        attempt: 1 for the first attempt.
        state: Such as "Success".
        message: The state's message.
        time: When, seconds since the epoch.
        stored: What it came to: a pickle, or the location of one.
        details: As from `details_of`: of a mapped task how it was laid out.
    """

    slug: str
    map_index: int
    attempt: int
    state: str
    message: str | None
    time: float
    stored: bytes | str | None
    details: dict[str, Any] = {}  # noqa: RUF012  # never changed


def note_finish(folder: Path, finish: Finish) -> None:
    """Add an end to the file of this process; when this returns, the death of the process cannot undo it.

    Args:
        folder: The folder of the run's results.
        finish: The end.

    Raises:
        OSError: It could not be written.
    """
    import msgpack

    frame = framed(msgpack.packb(list(finish), unicode_errors="surrogatepass"))
    folder.mkdir(parents=True, exist_ok=True)
    # Opened each time: nobody knows when a run has no more to say here.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    file = os.open(folder / _own_name(), flags, 0o600)
    try:
        if os.write(file, frame) != len(frame):
            raise OSError(f"the disk of {folder} is full")
    finally:
        os.close(file)


def read_finishes(folder: Path) -> Iterator[Finish]:
    """What all processes noted of a run, of each in order, up to what was not written whole.

    What a later version notes beside that is left out.
    """
    import msgpack

    for path in sorted(folder.glob(f"*{ENDING}")):
        for data in read_frames(path):
            # How lists are laid out is told by the number of an input.
            facts = msgpack.unpackb(data, unicode_errors="surrogatepass", strict_map_key=False)
            yield Finish(*facts[: len(Finish._fields)])


_own: list[tuple[int, str]] = []


def _own_name() -> str:
    """A name that no other process has, a fork neither."""
    if not _own or _own[0][0] != os.getpid():
        _own[:] = [(os.getpid(), f"{uuid.uuid4().hex}{ENDING}")]
    return _own[0][1]
