"""What `--param` and `--params` say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect_dask.cli.exits import Refused
from prefect_dask.settings.toml_text import read_toml


def parameter_values(
    texts: Sequence[str], file: str | None, *, option: str = "--param"
) -> dict[str, Any]:
    """The values of parameters; those on the command line win over those in the file.

    Args:
        texts: NAME=VALUE each; the value is JSON, or else a text.
        file: A TOML or JSON file.
        option: With which the texts were given.

    Raises:
        Refused: One says nothing of a parameter.
        SettingsError: The file is not what it should be.

    >>> parameter_values(["n=3", "names=[1, 2]", "day=2026-01-31", 'text="3"'], None)
    {'n': 3, 'names': [1, 2], 'day': '2026-01-31', 'text': '3'}
    """
    values = {} if file is None else _read(Path(file))
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Refused(f"{option} {text!r} is not NAME=VALUE")
        values[name] = value_in(value)
    return values


def value_in(text: str) -> Any:
    """What a text on the command line says: JSON, or else itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> dict[str, Any]:
    if path.suffix != ".json":
        return read_toml(path)[0]
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise Refused(f"{path} is no JSON object with a value for each parameter")
    return values
