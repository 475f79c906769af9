"""Values as bytes, and back: how a result is written where it is kept.

Reading a pickle runs code from it. Read only what you, or people whom you trust as yourself, have written.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any


class Serializer:
    """How values become bytes; a subclass says it by two methods.

    Serializers of one class with the same settings are equal.
    """

    def serialize(self, value: Any) -> bytes:
        """The value as bytes."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it writes")

    def deserialize(self, data: bytes) -> Any:
        """The value that `serialize` made these bytes of."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it reads")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class PickleSerializer(Serializer):
    """Any value that cloudpickle can pickle.

    Example:
        >>> PickleSerializer().deserialize(PickleSerializer().serialize({1, 2}))
        {1, 2}
    """

    def serialize(self, value: Any) -> bytes:
        """The value as a pickle."""
        import cloudpickle

        data: bytes = cloudpickle.dumps(value)
        return data

    def deserialize(self, data: bytes) -> Any:
        """The value of a pickle; runs code from it."""
        import pickle

        return pickle.loads(data)


class JSONSerializer(Serializer):
    """Plain values as JSON text, to be read by others too.

    Example:
        >>> JSONSerializer().serialize({"rows": 3})
        b'{"rows": 3}'
    """

    def serialize(self, value: Any) -> bytes:
        """The value as JSON; TypeError where it is not plain."""
        import json

        return json.dumps(value).encode()

    def deserialize(self, data: bytes) -> Any:
        """The value that the JSON text means."""
        import json

        return json.loads(data)


class DateTimeSerializer(Serializer):
    """Datetimes as ISO 8601 text.

    Example:
        >>> DateTimeSerializer().serialize(datetime(2024, 5, 1, tzinfo=timezone.utc))
        b'2024-05-01T00:00:00+00:00'
    """

    def serialize(self, value: Any) -> bytes:
        """The moment as text; TypeError where the value is no datetime."""
        if not isinstance(value, datetime):
            raise TypeError(
                f"DateTimeSerializer writes datetimes, got {type(value).__name__}; "
                f"give the result another serializer"
            )
        return value.isoformat().encode()

    def deserialize(self, data: bytes) -> datetime:
        """The moment; UTC where the text has no offset."""
        text = data.decode().strip()
        # Python 3.10 does not read the Z.
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


class PandasSerializer(Serializer):
    """Data frames in a file format of pandas, such as "csv" or "parquet"; needs pandas.

    Args:
        file_type: pandas must have `read_<file_type>`, and data frames `to_<file_type>`.
        serialize_kwargs: Arguments for `to_…`.
        deserialize_kwargs: Arguments for `read_…`.
    """

    def __init__(
        self,
        file_type: str,
        serialize_kwargs: Mapping[str, Any] | None = None,
        deserialize_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.file_type = file_type
        self.serialize_kwargs = dict(serialize_kwargs or {})
        self.deserialize_kwargs = dict(deserialize_kwargs or {})

    def serialize(self, value: Any) -> bytes:
        """The data frame as a file of that type."""
        write = getattr(value, f"to_{self.file_type}", None)
        if write is None:
            raise TypeError(
                f"PandasSerializer({self.file_type!r}) writes what has to_{self.file_type}(), "
                f"got {type(value).__name__}"
            )
        try:
            file = _Open()
            write(file, **self.serialize_kwargs)
            return file.getvalue()
        except TypeError:  # the format is text, and its writer wants a text file
            text = io.StringIO()
            write(text, **self.serialize_kwargs)
            return text.getvalue().encode()

    def deserialize(self, data: bytes) -> Any:
        """The data frame in a file of that type."""
        import pandas

        read = getattr(pandas, f"read_{self.file_type}")
        return read(io.BytesIO(data), **self.deserialize_kwargs)


class _Open(io.BytesIO):
    """A file that stays open: some writers close what they are given."""

    def close(self) -> None:
        pass


class CompressedSerializer(Serializer):
    """What another serializer makes, compressed.

    Args:
        serializer: Makes the bytes; pickles when not given.
        compress: Makes them fewer; zlib's when not given.
        decompress: Takes that back.
        compress_kwargs: More arguments for `compress`.
        decompress_kwargs: More arguments for `decompress`.

    Example:
        >>> len(CompressedSerializer(JSONSerializer()).serialize("a" * 1000)) < 50
        True
    """

    def __init__(
        self,
        serializer: Serializer | None = None,
        compress: Callable[..., bytes] = zlib.compress,
        decompress: Callable[..., bytes] = zlib.decompress,
        compress_kwargs: Mapping[str, Any] | None = None,
        decompress_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.serializer = serializer or PickleSerializer()
        self.compress, self.decompress = compress, decompress
        self.compress_kwargs = dict(compress_kwargs or {})
        self.decompress_kwargs = dict(decompress_kwargs or {})

    def serialize(self, value: Any) -> bytes:
        """The value's bytes, compressed."""
        return self.compress(self.serializer.serialize(value), **self.compress_kwargs)

    def deserialize(self, data: bytes) -> Any:
        """The value of compressed bytes."""
        return self.serializer.deserialize(self.decompress(data, **self.decompress_kwargs))
