"""Addresses and passwords of notifications, by the names of their secrets."""

from __future__ import annotations

from prefect_dask.tasks.secrets import Secret, secret_value


def secret_text(name: str) -> str:
    """The secret of that name, as text.

    Raises:
        NoSuchSecret: Nobody has set it.
    """
    return str(secret_value(name))


def secret_text_or_none(name: str) -> str | None:
    """The secret of that name, as text; None where nobody has set it, or to nothing."""
    return secret_text(name) or None if Secret(name).exists() else None
