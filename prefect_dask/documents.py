"""Flows and tasks as plain JSON data: what they are, without the code that runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from prefect_dask.naming import name_of_value

#: Settings of a task that its document gives as they are, or by name where JSON cannot say them.
TASK_SETTINGS = (
    "max_retries",
    "retry_delay",
    "retry_on",
    "retry_jitter",
    "timeout_seconds",
    "isolation",
    "trigger",
    "skip_on_upstream_skip",
    "cache_for",
    "cache_key",
    "cache_validator",
    "checkpoint",
    "durable",
    "target",
    "log_stdout",
    "task_run_name",
    "nout",
    "max_in_flight",
    "batch",
)


def task_document(task: Any) -> dict[str, Any]:
    """A task: its type, name, slug, tags, settings, inputs and output."""
    document: dict[str, Any] = {
        "type": name_of(type(task)),
        "name": task.name,
        "slug": task.slug,
        "tags": sorted(task.tags),
    }
    document.update({name: plain(getattr(task, name)) for name in TASK_SETTINGS})
    document["inputs"] = {
        name: {
            "type": _type_name(its["type"]),
            "required": its["required"],
            "default": plain(its["default"]),
        }
        for name, its in task.inputs().items()
    }
    document["outputs"] = _type_name(task.outputs())
    if hasattr(task, "required"):
        document["required"], document["default"] = task.required, plain(task.default)
    return document


def flow_document(flow: Any) -> dict[str, Any]:
    """A flow: tasks in running order, edges and constants by slug, parameters, reference tasks."""
    from prefect_dask.version import __version__

    tasks = flow.sorted_tasks()
    place = {task: index for index, task in enumerate(tasks)}
    slugs = flow.slugs
    return {
        "type": name_of(type(flow)),
        "version": __version__,
        "name": flow.name,
        "schedule": _schedule_document(flow.schedule),
        "tasks": [{**task_document(task), "slug": slugs[task]} for task in tasks],
        "edges": [
            {
                "upstream_task": slugs[edge.upstream_task],
                "downstream_task": slugs[edge.downstream_task],
                "key": edge.key,
                "mapped": edge.mapped,
                "flattened": edge.flattened,
            }
            for edge in flow.edges
        ],
        "constants": {
            slugs[task]: {key: plain(value) for key, value in flow.constants[task].items()}
            for task in tasks
            if flow.constants.get(task)
        },
        "parameters": [
            {"name": p.name, "required": p.required, "default": plain(p.default)}
            for p in sorted(flow.parameters(), key=place.__getitem__)
        ],
        "reference_tasks": [
            slugs[task] for task in sorted(flow.reference_tasks(), key=place.__getitem__)
        ],
    }


def _schedule_document(schedule: Any) -> Any:
    return schedule.serialize() if hasattr(schedule, "serialize") else plain(schedule)


def plain(value: Any) -> Any:
    """A value as JSON data: itself where that can be, seconds for a timedelta, else name or repr.

    >>> plain(timedelta(minutes=1)), plain(len), plain([1, {"a": None}])
    (60.0, 'builtins.len', [1, {'a': None}])
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # JSON has no infinity
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(item) for key, item in value.items()}
    return name_of(value) if hasattr(value, "__qualname__") else name_of_value(value)


def name_of(thing: Any) -> str:
    """Where a class or function is found: module and name."""
    module = getattr(thing, "__module__", None)
    return f"{module}.{thing.__qualname__}" if module else str(thing.__qualname__)


def _type_name(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    return kind.__qualname__ if isinstance(kind, type) and "[" not in repr(kind) else str(kind)


def as_json(document: dict[str, Any]) -> str:
    """A document as text for people."""
    import json

    return json.dumps(document, indent=2, ensure_ascii=False)
