"""Which SQLite this Python has, and which one a ledger needs."""

from __future__ import annotations

from typing import Final

#: `ON CONFLICT … DO NOTHING` came with it.
OLDEST: Final = (3, 24, 0)

#: `ALTER TABLE … DROP COLUMN`, which only the way down needs, came with it.
OLDEST_TO_GO_DOWN: Final = (3, 35, 0)


def sqlite_version_told() -> str:
    """The version of SQLite, with a word where it is too old; "" where this Python has none."""
    try:
        import sqlite3
    except ImportError:
        return ""
    return told(sqlite3.sqlite_version_info, sqlite3.sqlite_version)


def told(version: tuple[int, ...], text: str) -> str:
    """A version, with a word where it is too old.

    >>> told((3, 40, 1), "3.40.1"), told((3, 7, 17), "3.7.17")
    ('3.40.1', '3.7.17 (too old: a ledger needs 3.24.0 or newer)')
    """
    return (
        text if version >= OLDEST else f"{text} (too old: a ledger needs {oldest_told()} or newer)"
    )


def oldest_told(oldest: tuple[int, ...] = OLDEST) -> str:
    """The oldest version that will do."""
    return ".".join(map(str, oldest))
