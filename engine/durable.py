"""Results kept so that a run can be taken up again: with the record where they are small, else in a file.

What is kept is a pickle. Reading it runs code from it: take up only runs of people whom you trust as yourself.
"""

from __future__ import annotations

import pickle
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from . import secrets
from .failures import is_plain, type_and_text_of
from .files import check_right, write_file
from .finish_log import Finish, note_finish
from .graph import Node
from .logs import get_logger
from .result import ResultRules, StoreFailed

INLINE_BYTES: Final = 16 * 1024
"""The largest pickle that is kept with the record. It travels with that, and a batch of records should stay
some megabytes; a file costs about a millisecond, which is little beside what made more than this."""

RESULTS: Final = "results"
"""The folder in the home folder; results of a run are in one of its own there, which is called by its id."""

#: Looked up once: it is called a task run.
_dumps = pickle.dumps

Stored: TypeAlias = bytes | str | tuple[Any] | None
"""What is kept of a result: its pickle, or the location of one; in a tuple the value itself, which a record can
hold as it is; None where nothing is."""

_BARE: Final = frozenset({type(None), bool, float})
_SMALL: Final = frozenset({list, tuple, dict, set, frozenset})


class Storing:
    """How the results of one task are kept.

    Args:
        folder: Where the large ones go; None where there is no such place.
        must_store: Whether a result that cannot be kept fails its task run, and what a task run came to is noted
            before anybody is told.
    """

    __slots__ = ("folder", "must_store")

    def __init__(self, folder: Path | None, *, must_store: bool) -> None:
        self.folder, self.must_store = folder, must_store

    @classmethod
    def of(cls, node: Node, rules: ResultRules) -> Storing | None:
        """The rule for a task; None where its results stay in memory."""
        task = node.task
        policy: Any = task.durable
        if policy is None:
            policy = rules.durable if task.checkpoint is not False else False
        if policy is False or rules.durable is None or node.label.is_secret or node.runs_anew:
            return None  # not wanted, not recorded, for nobody's eyes, or nothing that outlives its process
        return _storing_in(rules.home, policy is True)

    def small(self, value: Any) -> Stored:
        """A value that is small at a glance, as it is kept; None for any other, which `store` looks at."""
        kind = type(value)
        if (
            kind in _BARE
            or (kind is int and -(1 << 63) <= value < 1 << 63)
            or (kind is str and len(value) < INLINE_BYTES // 4)
        ):
            if not secrets.are_known():
                return (value,)
        elif kind is not int and not (kind in _SMALL and is_plain(value)):
            return None
        data = _dumps(value, 5)
        return None if len(data) > INLINE_BYTES or secrets.is_in(data) else data

    def store(self, value: Any, flow_run_id: str, slug: str, map_index: int) -> bytes | str | None:
        """Keep a value.

        Returns:
            Its pickle where that is small, or the location of the file with it; None where it stays in memory:
            it cannot be kept, or has a secret in it.

        Raises:
            StoreFailed: It cannot be kept, and must be.
        """
        try:
            data = pickled(value)
            if secrets.is_in(data):
                return None
            if len(data) <= INLINE_BYTES:
                return data
            return self._write(data, flow_run_id, slug, map_index)
        except Exception as error:  # the user's classes, the disk
            cause = type_and_text_of(error)
            if self.must_store:
                raise StoreFailed("keep", f"the result of task {slug!r}", cause) from error
            get_logger("durable").debug("the result of task %r stays in memory: %s", slug, cause)
            return None

    def note(self, flow_run_id: str, finish: Finish) -> None:
        """Note the end of a task run where the death of the coordinating process cannot undo it.

        Raises:
            StoreFailed: It cannot be noted.
            Exception: The run may be another process's by now.
        """
        if not self.must_store:
            return
        # Else who takes the run up again would take it for the end of an execution that was lost.
        check_right()
        try:
            note_finish(self._home_seen() / flow_run_id, finish)
        except OSError as error:
            cause = type_and_text_of(error)
            raise StoreFailed("note", f"the end of task {finish.slug!r}", cause) from error

    def _home_seen(self) -> Path:
        if self.folder is None or not self.folder.parent.is_dir():
            raise FileNotFoundError(
                f"the home folder of the machine where the run began is not seen from here"
                f" ({self.folder and self.folder.parent})"
            )
        return self.folder

    def _write(self, data: bytes, flow_run_id: str, slug: str, map_index: int) -> str:
        folder = self._home_seen()
        child = "" if map_index < 0 else f"-{map_index}"
        # The checksum tells a file that a power cut left torn, and each turn of a loop has a file of its own.
        name = f"{quote(slug, safe=' ')[:150]}{child}-{zlib.crc32(data):08x}.pickle"
        write_file(folder / flow_run_id / name, data, survives_power_cut=False)
        return f"{flow_run_id}/{name}"


@lru_cache(maxsize=8)
def _storing_in(home: str, must_store: bool) -> Storing:  # a key of the cache
    """One for all tasks of a run: a flow may have tens of thousands, and a path takes three microseconds."""
    return Storing(results_folder(ResultRules(home=home)), must_store=must_store)


def results_folder(rules: ResultRules) -> Path | None:
    """Where results that nobody named a place for are kept in files."""
    return Path(rules.home) / RESULTS if rules.home else None


def pickled(value: Any) -> bytes:
    """A value as a pickle that other processes can read: classes of a script or notebook travel with it."""
    if is_plain(value):
        return pickle.dumps(value, 5)
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5)
    return data


def read_stored(folder: Path, location: str) -> Any:
    """The value in a file that `Storing.store` wrote.

    Raises:
        StoreFailed: It is not there, damaged, or cannot be unpickled.
    """
    path = folder / location
    try:
        data = path.read_bytes()
        if not path.stem.endswith(f"-{zlib.crc32(data):08x}"):
            raise OSError("its checksum is wrong, so it is damaged or cut short")
        return pickle.loads(data)
    except Exception as error:  # the user's classes too
        raise StoreFailed("read", str(path), type_and_text_of(error)) from error
