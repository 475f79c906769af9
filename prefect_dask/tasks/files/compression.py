"""Zip and Unzip. What an archive holds is never trusted: it is looked at before a file is written."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.task import Task
from prefect_dask.tasks.files.places import Location, Place, copy_file, files_within, read, written
from prefect_dask.tasks.needs import or_else, value_of

Method = Literal["deflate", "store", "bzip2", "lzma"]

METHODS = {
    "deflate": zipfile.ZIP_DEFLATED,
    "store": zipfile.ZIP_STORED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


class UnsafeArchive(PrefectDaskError, ValueError):
    """An archive holds something that does not belong where it is to be unpacked."""

    def __init__(self, archive: str, member: str, reason: str) -> None:
        super().__init__(
            f"{archive}: {member!r} {reason}; nothing was unpacked. If you trust the archive, "
            "unpack it by hand"
        )
        self.archive, self.member, self.reason = archive, member, reason


class Zip(Task):
    """Makes a zip archive of files and folders; an archive that is there is replaced as a whole.

    Args:
        source_path: A file or folder, or a list of them; paths or URLs. Each is in the archive
            under its own name, a folder with all that is in it. Also an input of `run`, which wins.
        zip_path: Where the archive goes, a path or URL; also an input of `run`.
        compression_method: "deflate", "store", "bzip2" or "lzma"; also an input of `run`.
        compression_level: 0 to 9 for deflate, 1 to 9 for bzip2; also an input of `run`.
        settings: As for `Task`.

    Raises:
        FileNotFoundError: A source is missing.
        ValueError: Two sources have the same name, or there is no such method.
    """

    def __init__(
        self,
        source_path: Place | Sequence[Place] | None = None,
        zip_path: Place | None = None,
        compression_method: Method = "deflate",
        compression_level: int | None = None,
        **settings: Any,
    ) -> None:
        self.source_path, self.zip_path = source_path, zip_path
        self.compression_method, self.compression_level = compression_method, compression_level
        super().__init__(**settings)

    def run(
        self,
        source_path: Place | Sequence[Place] | None = None,
        zip_path: Place | None = None,
        compression_method: Method | None = None,
        compression_level: int | None = None,
    ) -> Path | str:
        given = value_of(self, "source_path", source_path)
        sources = [given] if isinstance(given, str | os.PathLike) else list(given)
        target = Location.of(value_of(self, "zip_path", zip_path))
        method = or_else(compression_method, self.compression_method)
        if method not in METHODS:
            raise ValueError(f"compression_method is one of {', '.join(METHODS)}, got {method!r}")
        members: dict[str, Location] = {}
        for location in map(Location.of, sources):
            location.must_exist()
            for name, file in files_of(location):
                if file.fs is target.fs and file.path == target.path:
                    continue  # the archive of an earlier run, in the folder that is packed
                if name in members:
                    raise ValueError(
                        f"two sources have the same name in the archive: {name!r} is "
                        f"{members[name].given} and {file.given}"
                    )
                members[name] = file
        level = or_else(compression_level, self.compression_level)
        with (
            written(target) as partial,
            zipfile.ZipFile(partial, "w", METHODS[method], compresslevel=level) as archive,
        ):
            for name, file in members.items():
                with read(file) as path:
                    archive.write(path, name)
        return target.told()


def files_of(location: Location) -> Iterator[tuple[str, Location]]:
    """What a file or folder brings to an archive: names there, and where they lie."""
    if not location.is_folder():
        yield location.name, location
        return
    for inside, file in files_within(location):
        yield f"{location.name}/{inside}", file


class Unzip(Task):
    """Unpacks a zip archive into a folder, which is made if it is not there.

    Files of the same names are replaced. First all is unpacked aside, so that an archive that is
    damaged or unsafe leaves the folder as it was.

    Args:
        zip_path: The archive, a path or URL; also an input of `run`, which wins.
        extract_dir: The folder, a path or URL; the one that the archive is in when not given. Also
            an input of `run`.
        zip_password: For an encrypted archive; better an input of `run`, from a secret.
        size_limit_bytes: Refuse an archive that unpacked is larger.
        settings: As for `Task`.

    Raises:
        UnsafeArchive: A member would come to lie outside the folder, is a link, or all are too
            large.
        zipfile.BadZipFile: It is no archive, or damaged.
    """

    def __init__(
        self,
        zip_path: Place | None = None,
        extract_dir: Place | None = None,
        zip_password: str | None = None,
        *,
        size_limit_bytes: int | None = None,
        **settings: Any,
    ) -> None:
        self.zip_path, self.extract_dir = zip_path, extract_dir
        self.zip_password = zip_password
        self.size_limit_bytes = size_limit_bytes
        super().__init__(**settings)

    def run(
        self,
        zip_path: Place | None = None,
        extract_dir: Place | None = None,
        zip_password: str | None = None,
    ) -> Path | str:
        place = value_of(self, "zip_path", zip_path)
        source = Location.of(place)
        source.must_exist()
        target = Location.of(or_else(extract_dir, self.extract_dir) or folder_of(place))
        password = or_else(zip_password, self.zip_password)
        with (
            read(source) as path,
            zipfile.ZipFile(path) as archive,
            tempfile.TemporaryDirectory(prefix="prefect-dask-") as aside,
        ):
            members = archive.infolist()
            check_members(str(place), members, self.size_limit_bytes)
            archive.extractall(aside, pwd=password.encode() if password else None)
            if target.is_local:
                check_links(str(place), members, target.local)
                target.local.mkdir(parents=True, exist_ok=True)
            for member in members:
                if not member.is_dir():
                    unpacked = Location.of(Path(aside, member.filename))
                    copy_file(unpacked, target.within(member.filename))
                elif target.is_local:
                    (target.local / member.filename).mkdir(parents=True, exist_ok=True)
        return target.told()


def folder_of(place: Place) -> Place:
    """The folder that a file is in."""
    text = os.fspath(place)
    return text.rpartition("/")[0] if "://" in text else Path(text).parent


def check_members(
    archive: str, members: Sequence[zipfile.ZipInfo], size_limit_bytes: int | None = None
) -> None:
    """See that every member stays in the folder that it is unpacked to, and is what it seems.

    Raises:
        UnsafeArchive: One does not.

    Example:
        >>> check_members("a.zip", [zipfile.ZipInfo("../b")])
        Traceback (most recent call last):
        prefect_dask.tasks.files.compression.UnsafeArchive: a.zip: '../b' would leave the folder; ...
    """
    for member in members:
        name = member.filename
        parts = re.split(r"[/\\]", name)
        if ".." in parts or name[:1] in ("/", "\\") or re.match(r"[A-Za-z]:", name):
            raise UnsafeArchive(archive, name, "would leave the folder")
        if "\\" in name or not name.strip("/. "):
            raise UnsafeArchive(archive, name, "has a name that systems read differently")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeArchive(archive, name, "is a link or a device, not a file")
    # zipfile unpacks no more of a member than it says it has.
    size_bytes = sum(member.file_size for member in members)
    if size_limit_bytes is not None and size_bytes > size_limit_bytes:
        raise UnsafeArchive(
            archive,
            f"{len(members)} members",
            f"have {size_bytes} bytes, the limit is {size_limit_bytes}",
        )


def check_links(archive: str, members: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    """See that no link in the folder leads a member out of it.

    Raises:
        UnsafeArchive: One does.
    """
    root = folder.resolve()
    for member in members:
        above = (root / member.filename).parent.resolve()
        if above != root and root not in above.parents:
            raise UnsafeArchive(archive, member.filename, f"would follow a link out of {folder}")
