"""Append-only files of frames: each is there whole, or it and what follows it are not there.

A frame is the length and the CRC-32 of its data, 4 bytes each, and the data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")


def framed(data: bytes) -> bytes:
    """Data as a frame.

    Example:
        >>> framed(b"abc").hex(" ")
        '03 00 00 00 c2 41 24 35 61 62 63'
    """
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def read_frames(path: Path) -> Iterator[bytes]:
    """The data of each frame of a file, up to the first that was not written whole.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            size, checksum = _HEAD.unpack(head)
            data = file.read(size)
            if len(data) < size or zlib.crc32(data) != checksum:
                return
            yield data
