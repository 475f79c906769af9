"""Where entries wait while the ledger cannot be written: a file of frames, each a msgpack list of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prefect_dask.engine.claims import Claim, try_claim
from prefect_dask.engine.frames import framed, read_frames
from prefect_dask.ledger.entries import Entry, pack, unpack
from prefect_dask.ledger.places import Place

ENDING = ".journal"


class Journal:
    """A file of this process for one ledger; there while something waits in it.

    Args:
        folder: The folder of journals.
        place: The ledger.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder, self.place = folder, place
        self._claim: Claim | None = None
        self._path: Path | None = None
        self._file = -1
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._path is None

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries; when this returns, the disk has them.

        Raises:
            OSError: They could not be added; what was there is there still.
        """
        if self._path is None:
            self._begin()
        frame = memoryview(framed(pack(entries)))
        try:
            rest = frame
            while rest:
                rest = rest[os.write(self._file, rest) :]
            _sync(self._file)
            if not self._size:
                _sync_folder(self.folder)
        except OSError:
            # What would follow a torn frame could not be read.
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
            if not self._size:
                self.clear()
            raise
        self._size += len(frame)

    def batches(self) -> Iterator[list[Entry]]:
        """What waits, a batch at a time."""
        return read(self._path) if self._path is not None else iter(())

    def clear(self) -> None:
        """Forget what waits: it is written."""
        if self._path is not None:
            os.close(self._file)
            with suppress(OSError):
                self._path.unlink()
            if self._claim is not None:
                self._claim.release()
        self._path, self._claim, self._size = None, None, 0

    def leave(self) -> None:
        """Let the next process have what waits."""
        if self._path is not None:
            os.close(self._file)
            if self._claim is not None:
                self._claim.release()
        self._path, self._claim, self._size = None, None, 0

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{self.place.digest}-{uuid.uuid4().hex}{ENDING}"
        claim = try_claim(_claim_of(path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError:
            if claim is not None:
                claim.release()
            raise
        self._path, self._claim, self._size = path, claim, 0


def orphans(folder: Path, place: Place) -> Iterator[tuple[Path, Claim]]:
    """The journals of a ledger whose processes are gone, each claimed for this one."""
    with suppress(OSError):
        for path in sorted(folder.glob(f"{place.digest}-*{ENDING}")):
            claim = try_claim(_claim_of(path))
            if claim is None:
                continue  # its process is alive, or another one is at it
            if path.exists():
                yield path, claim
            claim.release()


def read(path: Path) -> Iterator[list[Entry]]:
    """The batches of a journal, up to the first frame that was not written whole."""
    return map(unpack, read_frames(path))


def _claim_of(path: Path) -> Path:
    return path.with_suffix(".claim")


def _sync(file: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder; on Windows, where folders cannot be opened, it does by itself."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
