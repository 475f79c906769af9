"""States as plain data that can be compared between executors.

Left out is what may differ from run to run: the times (`timestamp`, `start_time`), and of an exception its
traceback and cause, which do not travel between processes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prefect_dask import Flow
from prefect_dask.engine.state import State


def flow_tree(flow: Flow, state: State) -> dict[str, Any]:
    """The state of a flow, with those of its tasks by slug."""
    found = tree(state)
    if isinstance(state.result, dict) and set(state.result) <= set(flow.tasks):
        found["result"] = {flow.slugs[task]: tree(its) for task, its in state.result.items()}
    return found


def tree(state: State) -> dict[str, Any]:
    """A state with all that it holds."""
    return {
        "state": type(state).__name__,
        "message": state.message,
        "result": described(state.result),
        "context": described(state.context),
        **{name: described(v) for name, v in state.data().items() if name != "start_time"},
    }


def described(value: Any) -> Any:
    """A value such that two of them are equal where the values, their types and what they hold are.

    >>> described(1) == described(True)
    False
    """
    kind = type(value).__name__
    if isinstance(value, State):
        return tree(value)
    if isinstance(value, BaseException):
        return {"exception": kind, "text": str(value), "args": described(value.args)}
    if isinstance(value, Mapping):
        return {kind: {key: described(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return {kind: [described(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {kind: sorted(str(described(item)) for item in value)}
    if isinstance(value, (int, float, complex)):
        return repr(value)
    return value


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Where two described values differ, one line each.

    >>> list(differences({"a": [1, 2]}, {"a": [1, 3]}))
    ['a.1: 2, and not 3']
    """
    if type(one) is type(other) and isinstance(one, (dict, list)):
        keys = [*one, *(k for k in other if k not in one)] if isinstance(one, dict) else None
        if keys is None and len(one) == len(other):
            keys = list(range(len(one)))
        if keys is not None:
            for key in keys:
                at = f"{where}.{key}" if where else str(key)
                if isinstance(one, dict) and (key not in one or key not in other):
                    yield f"{at}: {'missing' if key not in one else 'too much'}"
                else:
                    yield from differences(one[key], other[key], at)
            return
    if one != other:
        yield f"{where}: {one!r:.500}, and not {other!r:.500}"
