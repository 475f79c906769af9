"""The section `prefect` of Dask's own configuration, without loading Dask where it says nothing of us."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SECTION = "prefect"


def dask_section(environ: Mapping[str, str]) -> dict[str, Any]:
    """What `dask.config` says below `prefect`, dashes in names as underscores; {} where it says nothing.

    Args:
        environ: The environment's variables.
    """
    if "dask" not in sys.modules and not may_be_set(environ):
        return {}
    import dask.config

    section = dask.config.get(SECTION, {})
    return _underscored(section) if isinstance(section, Mapping) else {}


def may_be_set(environ: Mapping[str, str]) -> bool:
    """Whether Dask would find something below `prefect` if it were loaded: in a variable or one of its files."""
    if any(name.startswith(f"DASK_{SECTION.upper()}") for name in environ):
        return True
    return any(_mentions_us(file) for folder in _folders(environ) for file in _files(folder))


def _folders(environ: Mapping[str, str]) -> Iterable[Path]:
    """Where Dask looks: https://docs.dask.org/en/stable/configuration.html."""
    yield Path(environ.get("DASK_ROOT_CONFIG", "/etc/dask"))
    for prefix in dict.fromkeys((sys.prefix, *site.PREFIXES)):
        yield Path(prefix, "etc", "dask")
    yield Path(os.path.expanduser("~"), ".config", "dask")
    if "DASK_CONFIG" in environ:
        yield Path(environ["DASK_CONFIG"])


def _files(place: Path) -> Iterable[Path]:
    if not place.is_dir():
        return [place]
    try:
        return [
            file for file in place.iterdir() if file.suffix.lower() in (".yaml", ".yml", ".json")
        ]
    except OSError:
        return []


def _mentions_us(file: Path) -> bool:
    try:
        return SECTION.encode() in file.read_bytes()
    except OSError:
        return False


def _underscored(section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(name).replace("-", "_"): _underscored(value) if isinstance(value, Mapping) else value
        for name, value in section.items()
    }
