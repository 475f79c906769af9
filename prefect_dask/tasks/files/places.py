"""Places: a path of this machine, or a URL of a file system that fsspec knows.

What is written comes to its place whole or not at all: under a name of its own first, then renamed; or
in one piece, where a file system takes a file in one piece.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class Location:
    """Where a file or folder lies, and the file system that knows it.

    Attributes:
        given: How the user said it.
        fs: An fsspec file system.
        path: The name within that.
    """

    given: Place
    fs: Any
    path: str

    @classmethod
    def of(cls, place: Place) -> Location:
        """The location of a path or URL; credentials come as fsspec and its back ends find them.

        Raises:
            ImportError: The package for this kind of URL is not installed; the message names it.
            ValueError: There is no such kind of URL.
        """
        import fsspec

        # Not text that only looks like a URL: a path may hold `::`, which chains URLs.
        url = os.fspath(place)
        if "://" not in url:
            url = os.path.abspath(os.path.expanduser(url))
        fs, path = fsspec.core.url_to_fs(url)
        return cls(place, fs, path)

    @property
    def is_local(self) -> bool:
        names = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        return "file" in names

    @property
    def local(self) -> Path:
        """The path, for a location on this machine."""
        return Path(self.path)

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2] if not self.is_local else self.local.name

    def within(self, name: str) -> Location:
        """The location of an entry of this folder."""
        if self.is_local:
            return self.at(str(self.local / name))
        return self.at(f"{self.path.rstrip('/')}/{name}")

    def at(self, path: str) -> Location:
        """Another path, said in the same way: as a URL, or as a path."""
        if isinstance(self.given, str) and "://" in self.given:
            return Location(str(self.fs.unstrip_protocol(path)), self.fs, path)
        return Location(Path(path), self.fs, path)

    def told(self) -> Path | str:
        """For users: a Path on this machine, or the URL."""
        return Path(self.path) if self.is_local and not is_url(self.given) else str(self.given)

    def is_folder(self) -> bool:
        return bool(self.fs.isdir(self.path))

    def exists(self) -> bool:
        return bool(self.fs.exists(self.path))

    def must_exist(self) -> None:
        """Raises FileNotFoundError where there is nothing."""
        if not self.exists() and not (self.is_local and self.local.is_symlink()):
            raise FileNotFoundError(f"there is no file or folder {self.given}")

    def make_parent(self) -> None:
        """See that the folder above is there; where there are no folders, there is nothing to do."""
        if self.is_local:
            self.local.parent.mkdir(parents=True, exist_ok=True)
        else:
            parent = self.path.rpartition("/")[0]
            if parent.strip("/"):
                self.fs.makedirs(parent, exist_ok=True)

    def remove(self) -> None:
        """Remove a file, or a folder with all that is in it; of a link, the link."""
        if not self.is_local:
            self.fs.rm(self.path, recursive=self.is_folder())
        elif self.local.is_dir() and not self.local.is_symlink():
            if self.local == Path(self.local.anchor):
                raise ValueError(f"{self.given} is the root of the file system; it is not removed")
            shutil.rmtree(self.local)
        else:
            self.local.unlink()


def is_url(place: Place) -> bool:
    return isinstance(place, str) and "://" in place


@contextmanager
def written(target: Location) -> Iterator[Path]:
    """A local path to write a file to; it is at `target` once the block has ended well."""
    import tempfile

    target.make_parent()
    if target.is_local:
        partial = beside(target.local)
        try:
            yield partial
            os.replace(partial, target.local)
        finally:
            partial.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="prefect-dask-") as folder:
        partial = Path(folder, "file")
        yield partial
        target.fs.put_file(str(partial), target.path)


@contextmanager
def read(source: Location) -> Iterator[Path]:
    """A local path to read a file from."""
    import tempfile

    if source.is_local:
        yield source.local
        return
    with tempfile.TemporaryDirectory(prefix="prefect-dask-") as folder:
        copy = Path(folder, "file")
        source.fs.get_file(source.path, str(copy))
        yield copy


def beside(path: Path) -> Path:
    """A hidden name in the same folder that nobody has."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.partial")


def copy_file(source: Location, target: Location) -> None:
    """Copy one file; where `target` is a file, that is replaced."""
    if source.fs is target.fs and not source.is_local:
        target.make_parent()
        source.fs.cp_file(source.path, target.path)
    elif source.is_local:
        with written(target) as partial:
            shutil.copy2(source.local, partial)
    else:
        with written(target) as partial:
            source.fs.get_file(source.path, str(partial))


def copy_folder(source: Location, target: Location) -> None:
    """Copy a folder and all that is in it to a place where there is nothing yet.

    Raises:
        FileExistsError: There is something.
        ValueError: The place is inside the folder.
    """
    if target.exists():
        raise FileExistsError(
            f"{target.given} exists; a folder is copied to a new place, so remove that one first"
        )
    inner, outer = target.path.rstrip("/"), source.path.rstrip("/")  # on Windows too
    if source.fs is target.fs and f"{inner}/".startswith(f"{outer}/"):
        raise ValueError(f"{target.given} is inside {source.given}, which is to be copied there")
    if source.is_local and target.is_local:
        target.make_parent()
        partial = beside(target.local)
        try:
            shutil.copytree(source.local, partial, symlinks=True)
            os.replace(partial, target.local)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return
    for name, file in files_within(source):
        copy_file(file, target.within(name))


def files_within(folder: Location) -> Iterator[tuple[str, Location]]:
    """The files below a folder, sorted: their names within it, and where they lie.

    A link to a folder is not followed, so that none leads round in a circle.
    """
    for path in sorted(folder.fs.find(folder.path)):
        if not (folder.is_local and os.path.isdir(path)):
            yield path[len(folder.path.rstrip("/")) :].lstrip("/"), folder.at(path)
