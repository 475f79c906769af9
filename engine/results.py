"""The places where results lie: files, any URL that fsspec knows, or nowhere but in themselves.

What is read was pickled, unless its serializer says otherwise: read only places that nobody writes to whom you
would not let run code as you.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .failures import type_and_text_of
from .files import write_file, write_through
from .home import home_folder
from .result import Location, Result, StoreFailed, fill
from .serializers import JSONSerializer, Serializer

__all__ = [
    "AzureResult",
    "ConstantResult",
    "FSSpecResult",
    "GCSResult",
    "LocalResult",
    "PrefectResult",
    "Result",
    "S3Result",
    "SecretResult",
]


class StoredResult(Result):
    """What results have in common that lie outside this process."""

    def read(self, location: str) -> Result:
        """The result that lies at a place, with its value.

        Raises:
            StoreFailed: It cannot be read.
        """
        new = self.copy()
        new.location = location
        try:
            new.value = self.serializer.deserialize(self.read_bytes(location))
        except Exception as error:  # the user's serializer and classes, and any kind of store
            raise StoreFailed("read", self.place(location), _cause(error)) from error
        return new

    def write(self, value: Any, **facts: Any) -> Result:
        """Put a value in its place; there it is whole, or not at all.

        Raises:
            UnknownTemplateKey: The location names a fact that there is not.
            StoreFailed: It cannot be written; what lay there before does so still.
        """
        new = self.copy()
        new.location = location = self.written_location(facts)
        new.value = value
        try:
            self.write_bytes(location, self.serializer.serialize(value))
        except Exception as error:  # as above
            raise StoreFailed("write", self.place(location), _cause(error)) from error
        return new

    def exists(self, location: str, **facts: Any) -> bool:
        """Whether a result lies at a place, given as it is or as a template with its facts.

        Raises:
            StoreFailed: Nobody knows.
        """
        if facts:
            location = fill(location, facts)
        try:
            return self.has(location)
        except Exception as error:  # as above
            raise StoreFailed("look at", self.place(location), _cause(error)) from error

    def read_bytes(self, location: str) -> bytes:
        """What lies at a place."""
        raise NotImplementedError

    def write_bytes(self, location: str, data: bytes) -> None:
        """Put bytes in a place."""
        raise NotImplementedError

    def has(self, location: str) -> bool:
        """Whether something lies at a place."""
        raise NotImplementedError


class LocalResult(StoredResult):
    """Results in files of this machine, or of a disk that all machines share.

    Args:
        dir: The folder; `results` in the home folder of prefect_dask when not given.
        validate_dir: Whether the folder is made absolute now, and not where it is used.
        location: The file's name in the folder; a template.
        value: The value.
        serializer: How values are written; as pickles when not given.
    """

    def __init__(
        self,
        dir: str | Path | None = None,
        validate_dir: bool = True,
        *,
        location: Location | None = None,
        value: Any = None,
        serializer: Serializer | None = None,
    ) -> None:
        super().__init__(value, location, serializer)
        folder = Path(dir).expanduser() if dir is not None else home_folder() / "results"
        self.dir = str(folder.absolute() if validate_dir else folder)

    def place(self, location: str) -> str:
        """The path of a file."""
        return str(Path(self.dir, location))

    def read_bytes(self, location: str) -> bytes:
        """What the file has in it."""
        return Path(self.dir, location).read_bytes()

    def write_bytes(self, location: str, data: bytes) -> None:
        """Put the file in place."""
        write_file(Path(self.dir, location), data, is_shared=True)

    def has(self, location: str) -> bool:
        """Whether there is such a file."""
        path = Path(self.dir, location)
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return path.is_file()


class FSSpecResult(StoredResult):
    """Results at any URL that fsspec knows: `s3://bucket/folder`, `memory://…`, `sftp://…`.

    Args:
        url: The folder's URL; a location that is an URL itself stands for itself.
        storage_options: For the file system, such as keys; never shown.
        location: The name in the folder; a template.
        value: The value.
        serializer: How values are written; as pickles when not given.
    """

    def __init__(
        self,
        url: str = "",
        storage_options: Mapping[str, Any] | None = None,
        *,
        location: Location | None = None,
        value: Any = None,
        serializer: Serializer | None = None,
    ) -> None:
        super().__init__(value, location, serializer)
        self.url = url
        self.storage_options = dict(storage_options or {})

    def place(self, location: str) -> str:
        """The URL, without a password."""
        return without_password(self._url(location))

    def read_bytes(self, location: str) -> bytes:
        """What lies there."""
        filesystem, path = self._open(location)
        data: bytes = filesystem.cat_file(path)
        return data

    def write_bytes(self, location: str, data: bytes) -> None:
        """Put it there."""
        filesystem, path = self._open(location)
        write_through(filesystem, path, data)

    def has(self, location: str) -> bool:
        """Whether a file is there."""
        filesystem, path = self._open(location)
        try:
            # Not `exists()`: it takes every error for an answer.
            info: dict[str, Any] = filesystem.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return info.get("type") != "directory"

    def _url(self, location: str) -> str:
        if "://" in location or not self.url:
            return location
        folder = self.url.rstrip("/")
        # The slashes at the top of a file system are not the end of a folder's name.
        return f"{self.url if folder.endswith(':') else folder + '/'}{location}"

    def _open(self, location: str) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(self._url(location), **self.storage_options)
        # What others wrote since the last look counts.
        filesystem.invalidate_cache()
        return filesystem, path


class S3Result(FSSpecResult):
    """Results in an S3 bucket; needs s3fs.

    Args:
        bucket: Its name, without `s3://`.
        boto3_kwargs: For the client, such as `region_name` or `endpoint_url`.
        settings: As for `FSSpecResult`.
    """

    def __init__(
        self, bucket: str, boto3_kwargs: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        options = dict(settings.pop("storage_options", None) or {})
        if boto3_kwargs:
            options["client_kwargs"] = {**options.get("client_kwargs", {}), **boto3_kwargs}
        super().__init__(f"s3://{bucket}", options, **settings)
        self.bucket = bucket


class GCSResult(FSSpecResult):
    """Results in a bucket of Google Cloud Storage; needs gcsfs.

    Args:
        bucket: Its name, without `gs://`.
        settings: As for `FSSpecResult`.
    """

    def __init__(self, bucket: str, **settings: Any) -> None:
        super().__init__(f"gs://{bucket}", **settings)
        self.bucket = bucket


class AzureResult(FSSpecResult):
    """Results in a container of Azure Blob Storage; needs adlfs.

    Args:
        container: Its name.
        connection_string: How to come there; never shown.
        settings: As for `FSSpecResult`.
    """

    def __init__(
        self, container: str, connection_string: str | None = None, **settings: Any
    ) -> None:
        options = dict(settings.pop("storage_options", None) or {})
        if connection_string is not None:
            options["connection_string"] = connection_string
        super().__init__(f"abfs://{container}", options, **settings)
        self.container = container


class PrefectResult(Result):
    """A result whose location is its value, as JSON: for small values, kept with the state.

    Example:
        >>> PrefectResult().write([1, 2]).location
        '[1, 2]'
    """

    def __init__(self, value: Any = None, location: Location | None = None) -> None:
        super().__init__(value, location, JSONSerializer())

    def read(self, location: str) -> Result:
        """The result that the JSON text means."""
        new = self.copy()
        new.location, new.value = location, self.serializer.deserialize(location.encode())
        return new

    def write(self, value: Any, **facts: Any) -> Result:
        """The result with its value as its location.

        Raises:
            StoreFailed: The value is not plain JSON.
        """
        new = self.copy()
        try:
            new.value, new.location = value, self.serializer.serialize(value).decode()
        except (TypeError, ValueError) as error:
            raise StoreFailed("write", "a value as JSON", _cause(error)) from error
        return new

    def exists(self, location: str, **facts: Any) -> bool:
        """Whether the text is JSON."""
        try:
            self.serializer.deserialize(location.encode())
        except ValueError:
            return False
        return True


class ConstantResult(Result):
    """A value that is known, and is written nowhere.

    Example:
        >>> ConstantResult(5).read("").value
        5
    """

    is_writable: ClassVar[bool] = False

    def read(self, location: str) -> Result:
        """This result."""
        return self

    def write(self, value: Any, **facts: Any) -> Result:
        """Raises ValueError: a constant stays as it is."""
        raise ValueError("a ConstantResult cannot be written; give the task a LocalResult")

    def exists(self, location: str, **facts: Any) -> bool:
        """True."""
        return True


class SecretResult(Result):
    """A secret, read anew whenever it is wanted, and written nowhere.

    Args:
        secret_task: The task whose `run` gives the secret.
    """

    is_writable: ClassVar[bool] = False

    def __init__(self, secret_task: Any) -> None:
        super().__init__(location=secret_task.name)
        self.secret_task = secret_task

    def read(self, location: str) -> Result:
        """The result with the secret's value of now."""
        return self.from_value(self.secret_task.run())

    def write(self, value: Any, **facts: Any) -> Result:
        """Raises ValueError: secrets are not written."""
        raise ValueError("a SecretResult is never written: it holds a secret")

    def exists(self, location: str, **facts: Any) -> bool:
        """True: whether there is a secret is known when it is read."""
        return True

    def __repr__(self) -> str:
        return f"<SecretResult: {self.location!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "value": None}


def result_at(place: Result | str | Path) -> Result:
    """The kind of result that a place asks for: itself, an URL's, or a folder's.

    >>> result_at("memory://results").place("a.pickle")
    'memory://results/a.pickle'
    """
    if isinstance(place, Result):
        return place
    if isinstance(place, str) and "://" in place:
        return FSSpecResult(place)
    return LocalResult(place)


def result_for_target(base: Result | None, target: Location) -> Result:
    """The result that a target is read from and written to.

    Args:
        base: The result of the task, its flow or the configuration.
        target: Its location.
    """
    if isinstance(target, str) and "://" in target and not isinstance(base, FSSpecResult):
        serializer = base.serializer if base is not None else None
        return FSSpecResult(location=target, serializer=serializer)
    new = base.copy() if base is not None else LocalResult()
    new.location = target
    return new


def without_password(url: str) -> str:
    """An URL without what stands between user and host, and without a query.

    >>> without_password("sftp://me:secret@host/folder/a.pickle")
    'sftp://me@host/folder/a.pickle'
    """
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    who, at, where = host.rpartition("@")
    return f"{scheme}{slashes}{who.partition(':')[0]}{at}{where}{slash}{path.partition('?')[0]}"


def _cause(error: BaseException) -> str:
    return without_password_in(type_and_text_of(error))


def without_password_in(text: str) -> str:
    """A text whose URLs have no passwords."""
    import re

    return re.sub(r"(://[^\s:/@]+):[^\s@/]+@", r"\1@", text)
