"""Copy, Move, Remove, Glob."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from prefect_dask.task import Task
from prefect_dask.tasks.files.places import Location, Place, copy_file, copy_folder, is_url
from prefect_dask.tasks.needs import or_else, value_of


class _FromTo(Task):
    """A task from one place to another."""

    def __init__(
        self,
        source_path: Place | None = None,
        target_path: Place | None = None,
        **settings: Any,
    ) -> None:
        self.source_path, self.target_path = source_path, target_path
        super().__init__(**settings)

    def _ends(self, source: Place | None, target: Place | None) -> tuple[Location, Location]:
        """Source, which exists, and target: in the folder where one was given."""
        start = Location.of(value_of(self, "source_path", source))
        end = Location.of(value_of(self, "target_path", target))
        start.must_exist()
        if end.is_folder():
            end = end.within(start.name)
        return start, end


class Copy(_FromTo):
    """Copies a file, or a folder with all that is in it.

    Into a folder that exists, it goes under its own name; else `target_path` is its new name. A file
    that is there is replaced, whole or not at all; a folder that is there stays as it is. Folders
    above the target are made. A link in a folder stays a link on this machine; elsewhere it is the file
    that it leads to.

    Args:
        source_path: A path, or a URL that fsspec knows (`s3://…`, `memory://…`); also an input of
            `run`, which wins.
        target_path: A path or URL; also an input of `run`.
        settings: As for `Task`.

    Raises:
        FileNotFoundError: There is nothing to copy.
        FileExistsError: A folder would have to replace one.
    """

    def run(self, source_path: Place | None = None, target_path: Place | None = None) -> Path | str:
        source, target = self._ends(source_path, target_path)
        if source.is_folder():
            copy_folder(source, target)
        else:
            copy_file(source, target)
        return target.told()


class Move(_FromTo):
    """Moves a file, or a folder with all that is in it; names as for `Copy`.

    Between file systems it is copied, then removed: after a failure it is there at least once.

    Args:
        source_path: As for `Copy`.
        target_path: As for `Copy`.
        settings: As for `Task`.

    Raises:
        FileNotFoundError: There is nothing to move.
        FileExistsError: A folder would have to replace one.
    """

    def run(self, source_path: Place | None = None, target_path: Place | None = None) -> Path | str:
        source, target = self._ends(source_path, target_path)
        if source.fs is target.fs and source.path == target.path:
            return target.told()
        if source.is_folder():
            if not (source.is_local and target.is_local) or target.exists():
                copy_folder(source, target)
                source.remove()
            else:
                target.make_parent()
                shutil.move(source.local, target.local)
        elif source.is_local and target.is_local:
            move_file(source.local, target)
        else:
            copy_file(source, target)
            source.remove()
        return target.told()


def move_file(source: Path, target: Location) -> None:
    """Rename a file of this machine; to another disk, copy and remove it."""
    target.make_parent()
    try:
        source.replace(target.local)
    except OSError:
        copy_file(Location.of(source), target)
        source.unlink()


class Remove(Task):
    """Removes a file, or a folder with all that is in it; of a link, the link.

    Args:
        path: A path or URL; also an input of `run`, which wins.
        missing_ok: Whether nothing has to be there.
        settings: As for `Task`.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is the root of the file system.
    """

    def __init__(
        self, path: Place | None = None, *, missing_ok: bool = False, **settings: Any
    ) -> None:
        self.path, self.missing_ok = path, missing_ok
        super().__init__(**settings)

    def run(self, path: Place | None = None) -> None:
        location = Location.of(value_of(self, "path", path))
        try:
            location.must_exist()
            location.remove()
        except FileNotFoundError:
            if not self.missing_ok:
                raise


class Glob(Task):
    """Returns what lies below a folder and fits a pattern, sorted: a list to map over.

    Args:
        path: The folder, a path or URL; also an input of `run`, which wins.
        pattern: `*` stands for anything within a name, `**` for any folders; also an input of
            `run`.
        settings: As for `Task`.

    Raises:
        NotADirectoryError: There is no such folder.
    """

    def __init__(self, path: Place | None = None, pattern: str = "*", **settings: Any) -> None:
        self.path, self.pattern = path, pattern
        super().__init__(**settings)

    def run(self, path: Place | None = None, pattern: str | None = None) -> list[Path | str]:
        place = value_of(self, "path", path)
        pattern = str(or_else(pattern, self.pattern))
        folder = Location.of(place)
        if not folder.is_folder():
            raise NotADirectoryError(f"there is no folder {place}")
        if not is_url(place):
            return sorted(Path(place).expanduser().glob(pattern))
        found = folder.fs.glob(folder.within(pattern).path)
        return sorted(str(folder.at(name).given) for name in found)
