"""TOML files with places: on which line a key is set, and at which key a file stops being TOML.

The parser of the standard library tells no lines of what it has read. They are found by parsing
the first lines of the text alone: slow, but exact, and only done for an error.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from pathlib import Path
from typing import Any, NamedTuple

from prefect_dask.settings.errors import SettingsFileDoesNotParse, SettingsFileUnreadable


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """The table in a file, and the file's text.

    Raises:
        SettingsFileUnreadable: The file cannot be opened.
        SettingsFileDoesNotParse: It is not TOML, or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise SettingsFileUnreadable(path, exc.strerror or str(exc)) from exc
    try:
        # Editors on Windows like to put a byte order mark first.
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        begun = data.splitlines()[line - 1].decode("utf-8", "replace")
        raise SettingsFileDoesNotParse(path, line, _key_in(begun), "it is not UTF-8") from exc
    try:
        return parse(text), text
    except ValueError as exc:
        fault = find_fault(text, str(exc))
        raise SettingsFileDoesNotParse(path, fault.line, fault.key, fault.cause) from exc


def parse(text: str) -> dict[str, Any]:
    """The table that the text means; ValueError when it is not TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    table: dict[str, Any] = tomllib.loads(text)
    return table


def line_of(text: str, path: tuple[str, ...]) -> int:
    """The line, counted from 1, on which the statement begins that sets `path`; 0 when none does.

    >>> line_of("[a]\\nb = 1\\nc = [\\n 2 ]\\n", ("a", "c"))
    3
    """
    lines = text.split("\n")
    if not _holds(parse(text), path):
        return 0

    def is_set_by(count: int) -> bool:
        # In the middle of a long string or list the text parses only a few lines later.
        while (table := _parse_first(lines, count)) is None:
            count += 1
        return _holds(table, path)

    # The first n - 1 lines lack the key; with the statement that begins on line n it is there.
    return bisect_left(range(len(lines) + 1), True, key=is_set_by)


class Fault(NamedTuple):
    """Where and why a text is not TOML."""

    line: int
    key: str
    cause: str


def find_fault(text: str, complaint: str) -> Fault:
    """Where a text stops being TOML, from what the parser says of it.

    >>> find_fault("[a]\\nb = yes\\n", "Invalid value (at line 2, column 5)")
    Fault(line=2, key='a.b', cause='Invalid value (column 5)')
    """
    lines = text.split("\n")
    place = re.search(r" \(at line (\d+), column (\d+)\)", complaint)
    line = int(place[1]) if place else len(lines)
    begin = next(n for n in range(line - 1, -1, -1) if _parse_first(lines, n) is not None) + 1
    if place:
        cause = complaint.replace(place[0], f" (column {place[2]})")
    else:
        line, cause = begin, complaint.replace("at end of document", "up to the end of the file")
    key = _key_in(lines[begin - 1])
    heads = (re.match(r"\s*\[+\s*([^\]]+?)\s*\]", head) for head in reversed(lines[: begin - 1]))
    section = (
        "" if lines[begin - 1].lstrip().startswith("[") else next((h[1] for h in heads if h), "")
    )
    return Fault(line, ".".join(filter(None, (section, key))), cause)


def _key_in(line: str) -> str:
    """The key that a line begins with; never what stands behind it, which may be a secret."""
    found = re.match(r"""[\s\[]*([\w."'-]+(?:\s*\.\s*[\w"'-]+)*)""", line)
    return found[1] if found else ""


def _parse_first(lines: list[str], count: int) -> dict[str, Any] | None:
    try:
        return parse("\n".join(lines[:count]))
    except ValueError:
        return None


def _holds(table: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True
