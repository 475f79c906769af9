"""Functions under a name that stands for something made from them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

Place = tuple[str, str]
"""The module and the qualified name of a task whose function is meant."""


def function_named(function: Callable[..., Any]) -> Place | None:
    """Where another process finds a task made from this function; None where it cannot.

    It cannot when the function was made in `__main__` or inside another function, or when its name
    stands for something else by now.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is not None and _is_sent_by_value(module, cloudpickle):
        return None
    if module not in sys.modules:
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    found_in = getattr(found, "__dict__", {})
    return (module, name) if found_in.get("__wrapped__") is function else None


def function_by_name(place: Place) -> Callable[..., Any]:
    """The function of the task at this place.

    Raises:
        ImportError: Here is no such module, or it has no such task.
    """
    module, name = place
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        function: Callable[..., Any] = found.__wrapped__
    except (ImportError, AttributeError) as exc:
        raise ImportError(
            f"the task {module}.{name} is not in this process ({exc}); install the same version of "
            f"{module!r} here, or send it along with cloudpickle.register_pickle_by_value()"
        ) from exc
    return function


def _is_sent_by_value(module: str, cloudpickle: Any) -> bool:
    registered = cloudpickle.list_registry_pickle_by_value()
    parts = module.split(".")
    return any(".".join(parts[:length]) in registered for length in range(1, len(parts) + 1))
