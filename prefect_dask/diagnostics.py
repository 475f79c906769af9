"""What helps to look into a problem and may be shown around: names and versions, no values."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from prefect_dask.documents import as_json, name_of
from prefect_dask.settings import config
from prefect_dask.version import __version__

LIBRARIES = ("dask", "distributed", "cloudpickle", "msgpack")


def diagnose(flow: Any = None) -> str:
    """Versions, platform, names of settings and variables, and features of a flow, as JSON text.

    Args:
        flow: The flow in question, if there is one.
    """
    document: dict[str, Any] = {
        "prefect_dask": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "config_keys": sorted(_keys(config.to_dict())),
        "environment": sorted(name for name in os.environ if name.upper().startswith("PREFECT")),
    }
    if flow is not None:
        document["flow"] = _features(flow)
    return as_json(document)


def _features(flow: Any) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for task in flow.tasks:
        kinds[name_of(type(task))] = kinds.get(name_of(type(task)), 0) + 1
    return {
        "tasks": len(flow.tasks),
        "edges": len(flow.edges),
        "mapped_edges": sum(edge.mapped for edge in flow.edges),
        "parameters": len(flow.parameters()),
        "task_types": kinds,
        "uses": {
            name: name_of(type(value))
            for name in (
                "schedule",
                "executor",
                "result",
                "run_config",
                "storage",
                "terminal_state_handler",
            )
            if (value := getattr(flow, name)) is not None
        },
        "state_handlers": len(flow.state_handlers),
        "retries": any(task.max_retries for task in flow.tasks),
        "timeouts": any(task.timeout_seconds is not None for task in flow.tasks),
        "caching": any(task.cache_for is not None for task in flow.tasks),
        "targets": any(task.target is not None for task in flow.tasks),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _keys(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all settings, but not of what is in tables of the user's own."""
    keys: list[str] = []
    for name, value in settings.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping) and full not in ("user", "context"):
            keys += _keys(value, f"{full}.")
        else:
            keys.append(full)
    return keys
