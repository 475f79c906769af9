"""What a task's run method takes: read once per function, asked at each call."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from prefect_dask.engine.errors import nearest
from prefect_dask.errors import WrongSignature

#: Arguments that calling a task takes for itself.
RESERVED = frozenset({"upstream_tasks", "mapped", "task_args", "flow"})


@dataclass(frozen=True, slots=True)
class RunSignature:
    """The arguments of a run method."""

    #: What may be given by position, in order.
    positional: tuple[str, ...]
    #: All that has a name, in order.
    names: tuple[str, ...]
    required: frozenset[str]
    takes_any_key: bool

    def accepts(self, key: str) -> bool:
        """Whether run takes an argument of this name."""
        return self.takes_any_key or key in self.names

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name.

        Raises:
            TypeError: run would not take them; the text continues a sentence that names the task.
        """
        if len(args) > len(self.positional):
            raise TypeError(
                f"takes at most {len(self.positional)} arguments by position, got {len(args)}"
            )
        bound = dict(zip(self.positional, args, strict=False))
        for key, value in kwargs.items():
            if key in bound:
                raise TypeError(f"got two values for its argument {key!r}")
            if not self.takes_any_key and key not in self.names:
                raise TypeError(f"takes no argument {key!r}; {nearest(key, self.names)}")
            bound[key] = value
        if not self.required <= bound.keys():
            missing = [name for name in self.names if name in self.required and name not in bound]
            raise TypeError(f"is not given its argument {', '.join(map(repr, missing))}")
        return bound


_KNOWN: WeakKeyDictionary[Callable[..., Any], RunSignature] = WeakKeyDictionary()


def signature_of_run(task_type: type) -> RunSignature:
    """The signature of the run method of a Task class, without self."""
    for kind in task_type.__mro__:
        run = kind.__dict__.get("run")
        if inspect.isfunction(run):
            return _signature(run, task_type.__name__, skip_first=True)
        if run is not None:
            break
    # A static or class method, a callable object: the attribute is what will be called.
    return _signature(task_type.run, task_type.__name__)  # type: ignore[attr-defined]  # a Task


def signature_of_function(function: Callable[..., Any], task: str) -> RunSignature:
    """The signature of a function that is a task's run method.

    Args:
        function: Is called with the task's inputs alone.
        task: Names the task in errors.

    Raises:
        WrongSignature: A flow could not bind arguments to the function.
    """
    return _signature(function, task)


def _signature(function: Callable[..., Any], task: str, skip_first: bool = False) -> RunSignature:
    try:
        known = _KNOWN.get(function)
    except TypeError:  # it cannot be weakly referenced, or hashed
        return _read(function, task, skip_first)
    if known is None:
        known = _read(function, task, skip_first)
        _KNOWN[function] = known
    return known


def _read(function: Callable[..., Any], task: str, skip_first: bool) -> RunSignature:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as exc:
        raise WrongSignature(
            task, f"cannot be read ({exc}); wrap it in a Python function that names its arguments"
        ) from exc
    if skip_first:
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise WrongSignature(
                task, f"takes *{parameter.name}; take a list, or name each argument"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise WrongSignature(
                task,
                f"takes {parameter.name!r} by position only; arguments reach it by name: drop the "
                "'/', or wrap it in a function",
            )
        if parameter.name in RESERVED:
            raise WrongSignature(
                task,
                f"has an argument {parameter.name!r}, which calling a task takes for itself; "
                f"rename it (the names taken are {', '.join(sorted(RESERVED))})",
            )
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    return RunSignature(
        positional=tuple(p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD),
        names=tuple(p.name for p in named),
        required=frozenset(p.name for p in named if p.default is p.empty),
        takes_any_key=len(named) < len(parameters),
    )


def types_of(run: Callable[..., Any]) -> dict[str, Any]:
    """The types that a run method's annotations name; as written where they cannot be resolved."""
    function = inspect.unwrap(run)
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations are the user's code, and may name what is not there at run time
        return dict(getattr(function, "__annotations__", {}))


def length_of_returned_tuple(run: Callable[..., Any]) -> int | None:
    """How many values a function returns by its annotation; None unless a tuple of fixed length.

    >>> def both() -> tuple[int, str]: ...
    >>> length_of_returned_tuple(both)
    2
    """
    returned = getattr(inspect.unwrap(run), "__annotations__", {}).get("return")
    if isinstance(returned, str):
        return _length_in_text(returned)
    if typing.get_origin(returned) is not tuple:
        return None
    items = typing.get_args(returned)
    if items == ((),):  # Tuple[()] on Python 3.10
        return 0
    return None if Ellipsis in items else len(items)


def _length_in_text(annotation: str) -> int | None:
    # Read, not evaluated: what it names may not be importable when the flow is written.
    try:
        node = ast.parse(annotation.strip(), mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(node, ast.Subscript):
        return None
    outer = node.value
    name = outer.attr if isinstance(outer, ast.Attribute) else getattr(outer, "id", "")
    if name not in ("tuple", "Tuple"):
        return None
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if any(isinstance(item, ast.Constant) and item.value is Ellipsis for item in items):
        return None
    return len(items)
