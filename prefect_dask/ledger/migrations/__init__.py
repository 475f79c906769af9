"""The steps from an empty database to the tables of `schema.py`, the same for SQLite and PostgreSQL.

A step that was released is never edited: the next change is the next file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template


@cache
def all_steps() -> tuple[str, ...]:
    """The text of each step; step i leads from version i to version i + 1."""
    files = sorted(Path(__file__).parent.glob("[0-9]*.sql"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    return tuple(file.read_text(encoding="utf-8") for file in files)


def latest_version() -> int:
    """The version of the tables that this code reads and writes."""
    return len(all_steps())


def statements(step: str, words: Mapping[str, str]) -> list[str]:
    """The statements of a step, in the words of a database.

    Args:
        step: Its text.
        words: What stands for `$key`, `$integer`, `$real`, `$bytes`, `$clustered` and `$packed`.

    >>> statements("-- Why; when.\\nCREATE TABLE a (id $key);\\n", {"key": "INTEGER PRIMARY KEY"})
    ['CREATE TABLE a (id INTEGER PRIMARY KEY)']
    """
    lines = (line for line in step.splitlines() if not line.startswith("--"))
    texts = Template("\n".join(lines)).substitute(words).split(";")
    return [text.strip() for text in texts if text.strip()]
