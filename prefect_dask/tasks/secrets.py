"""Secrets: tasks whose result only the tasks that take it can see.

Their results are not stored, not cached and not fetched by who runs the flow; log lines, messages and
errors show *** in their place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from prefect_dask.engine import secrets
from prefect_dask.engine.context import context
from prefect_dask.errors import NoSuchSecret, WrongSetting
from prefect_dask.settings import config
from prefect_dask.task import Task

#: A secret NAME is also looked for in the variable of this name and NAME.
VARIABLE_PREFIX = "PREFECT__CONTEXT__SECRETS__"


class SecretBase(Task):
    """A task that returns a secret; a subclass says in `run` where that comes from.

    Args:
        settings: As for `Task`, but for those that store a result.

    Raises:
        WrongSetting: The result would be stored or cached.
    """

    is_secret: ClassVar[bool] = True
    runs_anew: ClassVar[bool] = True

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("checkpoint", False)
        super().__init__(**settings)

    def _check_settings(self) -> None:
        super()._check_settings()
        storing = [n for n in ("cache_for", "cache_key", "result", "target") if getattr(self, n)]
        if self.checkpoint is not False:
            storing.append("checkpoint")
        if storing:
            raise WrongSetting(
                repr(self), f"a secret is never stored; leave out {', '.join(storing)}"
            )


class PrefectSecret(SecretBase):
    """The secret of a name: from `context.secrets`, the configuration, or the environment.

    See `secret_value`, which finds it where the task runs.

    Args:
        name: The secret's name, which may also be given when the task is called.
        settings: As for `SecretBase`.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def length(password):
        ...     return len(password)
        >>> with Flow("log in") as flow:
        ...     password = PrefectSecret("PASSWORD")
        ...     count = length(password)
        >>> state = flow.run(context={"secrets": {"PASSWORD": "open sesame"}})
        >>> state.result[count].result, state.result[password].result
        (11, ***)
    """

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        self.secret_name = name
        super().__init__(name=name, **settings)

    def run(self, name: str | None = None) -> Any:
        return secret_value(_given(name or self.secret_name, self.name))


class EnvVarSecret(SecretBase):
    """The value of an environment variable, where the task runs.

    Args:
        name: The variable's name, which may also be given when the task is called.
        cast: Makes the secret from the variable's text, such as `int`.
        raise_if_missing: Whether the task fails when there is no such variable; else it returns
            None.
        settings: As for `SecretBase`.
    """

    def __init__(
        self,
        name: str | None = None,
        cast: Callable[[str], Any] | None = None,
        raise_if_missing: bool = False,
        **settings: Any,
    ) -> None:
        self.variable, self.cast, self.raise_if_missing = name, cast, raise_if_missing
        super().__init__(name=name, **settings)

    def run(self, name: str | None = None) -> Any:
        variable = _given(name or self.variable, self.name)
        text = os.environ.get(variable)
        if text is None:
            if self.raise_if_missing:
                raise NoSuchSecret(variable, f"the environment has no variable {variable}")
            return None
        # Before the cast: where that fails, its error tells what it was given.
        secrets.remember(text)
        return text if self.cast is None else self.cast(text)


def secret_value(name: str) -> Any:
    """The secret of this name, and have this process mask it from now on.

    It is looked for in `context.secrets`, then in the configuration's `context.secrets`, then in the
    environment variable PREFECT__CONTEXT__SECRETS__<name>. Text that is a JSON object or list is
    read as such.

    Raises:
        NoSuchSecret: It is nowhere; it is a ValueError.
    """
    value = _look_up(name)
    if value is None:
        raise NoSuchSecret(
            name,
            "give it to run(context={'secrets': {…}}), put it into the configuration below "
            f"[context.secrets], or set the variable {VARIABLE_PREFIX}{name}",
        )
    secrets.remember(value)
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            return value  # it only looked like JSON
        secrets.remember(value)
    return value


def _look_up(name: str) -> Any:
    given: Mapping[str, Any] = context.get("secrets") or {}
    if given.get(name) is not None:
        return given[name]
    configured: Mapping[str, Any] = (context.get("config") or config).context.secrets
    if name in configured:
        return configured[name]
    return os.environ.get(VARIABLE_PREFIX + name, os.environ.get(VARIABLE_PREFIX + name.upper()))


def _given(name: str | None, task: str) -> str:
    if not name:
        raise NoSuchSecret(
            "", f"task {task!r} is not told which; give its name to the class or to the call"
        )
    return name


class Secret:
    """A secret by its name, for code that is no task.

    Args:
        name: The secret's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self) -> Any:
        """Its value; see `secret_value`.

        Raises:
            NoSuchSecret: It is nowhere.
        """
        return secret_value(self.name)

    def exists(self) -> bool:
        """Whether it can be found here."""
        return _look_up(self.name) is not None

    def __repr__(self) -> str:
        return f"<Secret: {self.name}>"
