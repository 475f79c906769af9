"""defaults_from_attrs(): inputs that nobody gives are taken from the task's own attributes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from prefect_dask.errors import WrongSetting

Run = TypeVar("Run", bound=Callable[..., Any])


def defaults_from_attrs(*names: str) -> Callable[[Run], Run]:
    """Decorate a `run` method: where an input is None, the task's attribute of that name is taken.

    So a value may be said when the task is made, or when it is called in a flow; the call wins.

    Args:
        names: Inputs of the method that the task has as attributes too.

    Raises:
        WrongSetting: The method takes no input of a name; it is a ValueError.

    Example:
        >>> from prefect_dask import Task
        >>> class Greet(Task):
        ...     def __init__(self, whom=None, **settings):
        ...         self.whom = whom
        ...         super().__init__(**settings)
        ...     @defaults_from_attrs("whom")
        ...     def run(self, whom=None):
        ...         return f"Hello, {whom}!"
        >>> Greet("Ada").run(), Greet("Ada").run("Bob")
        ('Hello, Ada!', 'Hello, Bob!')
    """

    def decorate(run: Run) -> Run:
        signature = inspect.signature(run)
        missing = [name for name in names if name not in signature.parameters]
        if missing:
            raise WrongSetting(
                f"{run.__qualname__}()",
                f"defaults_from_attrs names {', '.join(map(repr, missing))}, which it does not take",
            )

        @wraps(run)
        def with_defaults(self: Any, *args: Any, **kwargs: Any) -> Any:
            inputs = signature.bind_partial(self, *args, **kwargs)
            for name in names:
                if inputs.arguments.get(name) is None:
                    inputs.arguments[name] = getattr(self, name)
            return run(*inputs.args, **inputs.kwargs)

        return cast("Run", with_defaults)

    return decorate
