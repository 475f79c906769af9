"""When a failed task is tried again: its settings, checked, with the configuration for what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from prefect_dask.errors import WrongSetting, WrongSettingType

Delay = timedelta | float
RetryDelay = Delay | Sequence[Delay] | Callable[[int], timedelta]


def default(name: str) -> Any:
    """What the configuration says where a task says nothing; None where it says nothing either."""
    from prefect_dask.settings import config

    return getattr(config.tasks.defaults, name) or None


def retry_rule(
    task: str, max_retries: int | None, retry_delay: RetryDelay | None
) -> tuple[int, Any]:
    """How often and after which time, with the configuration for what is not given.

    Raises:
        WrongSetting, WrongSettingType: It is no number, or no time.
    """
    owner = f"<Task: {task}>"
    if max_retries is None:
        max_retries = default("max_retries") or 0
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise WrongSetting(owner, f"max_retries is a number, 0 or more, got {max_retries!r}")
    if retry_delay is None and max_retries:
        retry_delay = default("retry_delay")
    return max_retries, as_delays(owner, retry_delay)


def as_types(
    kinds: type[BaseException] | Iterable[type[BaseException]] | None,
) -> tuple[type[BaseException], ...] | None:
    """The exceptions after which a task is tried again, as a tuple; None for all."""
    if kinds is None:
        return None
    return (kinds,) if isinstance(kinds, type) else tuple(kinds)


def as_delays(owner: str, delay: RetryDelay | None) -> Any:
    """Times before retries as timedeltas: one, a list of them, a function, or None.

    Raises:
        WrongSetting, WrongSettingType: It is none of these; `owner` is named.
    """
    if delay is None or callable(delay):
        return delay
    if isinstance(delay, list | tuple) and delay:
        return [_as_delay(owner, item) for item in delay]
    return _as_delay(owner, delay)


def _as_delay(owner: str, delay: Any) -> timedelta:
    if isinstance(delay, int | float) and not isinstance(delay, bool):
        delay = timedelta(seconds=delay)
    if not isinstance(delay, timedelta):
        raise WrongSettingType(
            owner,
            "retry_delay must be a timedelta, seconds, a list of them or a function, got "
            f"{delay!r}",
        )
    if delay < timedelta(0):
        raise WrongSetting(owner, f"retry_delay must not be below 0, got {delay}")
    return delay
