"""The steps from an empty database to the tables of `schema.py`, and back, the same for SQLite and PostgreSQL.

A step that was released is never edited: the next change is the next file. Beside each step but the first lies
its way down, which says what is lost on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import NamedTuple

#: How the names of the ways down end.
_DOWN = ".down.sql"


@cache
def all_steps() -> tuple[str, ...]:
    """The text of each step; step i leads from version i to version i + 1."""
    files = sorted(Path(__file__).parent.glob("[0-9]*.sql"))
    files = [file for file in files if not file.name.endswith(_DOWN)]
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    return tuple(file.read_text(encoding="utf-8") for file in files)


class WayDown(NamedTuple):
    """How a step is taken back.

    Attributes:
        loses: What is lost, for people.
        step: Its text.
    """

    loses: str
    step: str


@cache
def ways_down() -> tuple[WayDown, ...]:
    """The way down of each step; that with number i leads from version i + 2 to version i + 1.

    The first step has none: below version 1 there is no ledger.
    """
    files = sorted(Path(__file__).parent.glob(f"[0-9]*{_DOWN}"))
    assert [int(file.name[:4]) for file in files] == list(range(2, latest_version() + 1))
    return tuple(_way_down(file.read_text(encoding="utf-8")) for file in files)


def _way_down(text: str) -> WayDown:
    first, _, _ = text.partition("\n")
    begin = "-- Loses "
    assert first.startswith(begin) and first.endswith("."), first
    return WayDown(first[len(begin) : -1], text)


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
