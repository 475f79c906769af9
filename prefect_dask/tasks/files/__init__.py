"""Files and folders, here or anywhere that fsspec has a URL for."""

from prefect_dask.tasks.files.compression import UnsafeArchive, Unzip, Zip
from prefect_dask.tasks.files.operations import Copy, Glob, Move, Remove

__all__ = ["Copy", "Glob", "Move", "Remove", "UnsafeArchive", "Unzip", "Zip"]
