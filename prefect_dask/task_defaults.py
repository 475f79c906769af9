"""defaults_from_attrs(): arguments of a run method that the task's own attributes stand in for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from prefect_dask.errors import WrongSignature

R = TypeVar("R")


def defaults_from_attrs(*names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """For the run method of a Task class: arguments that are None become the attributes of that name.

    So a task can be told something when it is made, when it is called, or both, and the later word
    holds.

    Args:
        names: Arguments of the method, and attributes of the task.

    Raises:
        WrongSignature: The method takes no such argument, or takes it without a default; it is a
            ValueError.

    Example:
        >>> from prefect_dask import Task
        >>> class Greet(Task):
        ...     def __init__(self, word="Hello", **settings):
        ...         self.word = word
        ...         super().__init__(**settings)
        ...     @defaults_from_attrs("word")
        ...     def run(self, name, word=None):
        ...         return f"{word} {name}"
        >>> Greet("Good day").run("Ada"), Greet().run("Ada", word="Hi")
        ('Good day Ada', 'Hi Ada')
    """

    def decorate(run: Callable[..., R]) -> Callable[..., R]:
        signature = inspect.signature(run)
        for name in names:
            parameter = signature.parameters.get(name)
            if parameter is None or parameter.default is parameter.empty:
                reason = "is not there" if parameter is None else "has no default; give it None"
                raise WrongSignature(
                    run.__qualname__,
                    f"is to take {name!r} from the task, but that argument {reason}",
                )

        @wraps(run)
        def with_defaults(self: Any, *args: Any, **kwargs: Any) -> R:
            given = signature.bind(self, *args, **kwargs)
            for name in names:
                if given.arguments.get(name) is None:
                    given.arguments[name] = getattr(self, name)
            return run(*given.args, **given.kwargs)

        return with_defaults

    return decorate
