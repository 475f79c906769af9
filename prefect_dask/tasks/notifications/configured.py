"""Addresses and passwords of notifications, by the names of their secrets."""

from __future__ import annotations

from prefect_dask.engine.context import context
from prefect_dask.engine.errors import PrefectDaskError


class MissingSecret(PrefectDaskError, ValueError):
    """A notification needs a secret that nobody has set."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no secret {name!r}; set PREFECT__CONTEXT__SECRETS__{name}, or put it under "
            "[context.secrets] in the configuration"
        )
        self.name = name


def secret(name: str) -> str | None:
    """The secret of that name, from the context of the run or else the configuration."""
    from prefect_dask.settings import config

    for known in (
        context.get("secrets"),
        config.context.to_dict(include_secrets=True).get("secrets"),
    ):
        value = (known or {}).get(name)
        if value:
            return str(value)
    return None


def needed_secret(name: str) -> str:
    """The secret of that name.

    Raises:
        MissingSecret: Nobody has set it.
    """
    value = secret(name)
    if value is None:
        raise MissingSecret(name)
    return value
