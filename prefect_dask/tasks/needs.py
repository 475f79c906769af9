"""What a task of the library cannot do without: values from its call or constructor, and extras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_dask.engine.errors import PrefectDaskError

if TYPE_CHECKING:
    from prefect_dask.task import Task


class MissingValue(PrefectDaskError, ValueError):
    """A task runs without a value that it needs."""

    def __init__(self, task: str, names: str) -> None:
        super().__init__(
            f"task {task!r} has no {names}; give it one when you make the task, or when you call it"
        )
        self.task, self.names = task, names


class MissingExtra(PrefectDaskError, ImportError):
    """A task needs a package that is not installed here."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this task needs the package {package!r}, which is not installed where it runs; "
            f"install it with: pip install 'prefect-dask[{extra}]'"
        )
        self.package, self.extra = package, extra


def value_of(task: Task, name: str, given: Any) -> Any:
    """What the call gave, or else what the task was made with.

    Raises:
        MissingValue: Neither of them says it.
    """
    value = getattr(task, name) if given is None else given
    if value is None or (isinstance(value, str) and not value):
        raise MissingValue(task.name, name)
    return value


def or_else(given: Any, own: Any) -> Any:
    """What the call gave, or else what the task was made with, which may be None.

    >>> or_else(None, 5), or_else(0, 5)
    (5, 0)
    """
    return own if given is None else given
