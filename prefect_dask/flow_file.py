"""A flow in a file: a line that says what it is, a checksum, and the flow as cloudpickle writes it.

Reading a pickle runs code from it. The checksum shows damage, not bad intent: load only files that
you trust.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

from prefect_dask.engine import sent_code
from prefect_dask.errors import NotAFlowFile
from prefect_dask.version import __version__

MAGIC = b"prefect-dask flow"
FORMAT = 1


def write_flow(flow: Any, path: str | os.PathLike[str]) -> str:
    """Write a flow to a file; a file of that name is replaced, whole or not at all.

    Returns:
        The path.
    """
    body = sent_code.dumps(flow)
    checksum = hashlib.sha256(body).hexdigest()
    header = b"%s %d %s %s\n" % (MAGIC, FORMAT, __version__.encode(), checksum.encode())
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(header + body)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return str(path)


def read_flow(path: str | os.PathLike[str]) -> Any:
    """The flow that `write_flow` wrote; runs code from the file.

    Raises:
        NotAFlowFile: It is another kind of file, damaged, or in a format that this version does not
            know.
        OSError: It cannot be read.
    """
    header, _, body = Path(path).read_bytes().partition(b"\n")
    fields = header.removeprefix(MAGIC).split()
    if not header.startswith(MAGIC) or len(fields) != 3 or not fields[0].isdigit():
        raise NotAFlowFile(str(path), f"it does not begin with {MAGIC.decode()!r}")
    if int(fields[0]) != FORMAT:
        writer = fields[1].decode("ascii", "replace")
        raise NotAFlowFile(
            str(path),
            f"it was written by prefect-dask {writer} in format {int(fields[0])}, and this version "
            f"reads format {FORMAT}",
        )
    if hashlib.sha256(body).hexdigest().encode() != fields[2]:
        raise NotAFlowFile(str(path), "its checksum is wrong, so it is damaged or cut short")
    return pickle.loads(body)
