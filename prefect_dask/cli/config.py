"""`prefect-dask config`: which settings hold, where they come from, and changing them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from prefect_dask.cli.completion import complete_settings
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, print_json, print_table
from prefect_dask.cli.tables import Column

HIDDEN = "********"


@click.group(cls=CommandGroup)
def config() -> None:
    """Show and change settings."""


@config.command("view", epilog="Example: prefect-dask config view --all")
@click.option("-a", "--all", "shows_all", is_flag=True, help="Those at their default, too.")
@json_option
def view(shows_all: bool, as_json: bool) -> None:
    """Show the settings that hold, and which file or variable says so."""
    from prefect_dask.settings.sources import layers, read_schema

    found: dict[str, tuple[Any, str]] = {}
    for number, layer in enumerate(layers(read_schema(), os.environ)):
        for key, value in flattened(layer.settings):
            found[key] = (shown(key, value), layer.source)
        if not number and not shows_all:
            found.clear()
    if as_json:
        print_json(
            [
                {"key": key, "value": value, "source": source}
                for key, (value, source) in found.items()
            ]
        )
        return
    print_table(
        [Column("SETTING"), Column("VALUE", may_shrink=True), Column("SOURCE", may_shrink=True)],
        [
            [key, "" if value is None else text_of(value), source]
            for key, (value, source) in sorted(found.items())
        ],
    )


def flattened(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each value of nested tables, by its dotted name.

    >>> list(flattened({"a": {"b": 1}, "c": 2}))
    [('a.b', 1), ('c', 2)]
    """
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flattened(value, (*path, name))
        else:
            yield ".".join((*path, name)), value


def shown(key: str, value: Any) -> Any:
    """A value as people may see it."""
    from prefect_dask.engine.results import without_password

    if key.startswith("context.secrets."):
        return HIDDEN
    return without_password(value) if isinstance(value, str) and "://" in value else value


def text_of(value: Any) -> str:
    """A value as one would write it in a variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@config.command("set", epilog="Example: prefect-dask config set tasks.defaults.max_retries=3")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_(settings: Sequence[str]) -> None:
    """Write settings to the active profile, or, where none is active, to config.toml."""
    from prefect_dask.settings.files import set_key, value_of
    from prefect_dask.settings.sources import read_schema

    schema, changes = read_schema(), []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise click.BadArgumentUsage(f"{setting!r} is not KEY=VALUE")
        changes.append((key, value_of(schema, key, text)))
    path, prefix = written_place()
    for key, value in changes:
        set_key(path, (*prefix, *key.split(".")), value)
        click.echo(f"{path}: {'.'.join((*prefix, key))} = {text_of(shown(key, value))}")
        warn_if_hidden(key)


@config.command("unset", epilog="Example: prefect-dask config unset tasks.defaults.max_retries")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, shell_complete=complete_settings)
def unset(keys: Sequence[str]) -> None:
    """Take settings out of the active profile, or, where none is active, out of config.toml."""
    from prefect_dask.cli.exits import Refused
    from prefect_dask.settings.files import unset_key

    path, prefix = written_place()
    for key in keys:
        if not unset_key(path, (*prefix, *key.split("."))):
            raise Refused(f"{path} does not set {'.'.join((*prefix, key))!r}")
        click.echo(f"{path}: {'.'.join((*prefix, key))} is not set any more")


def written_place() -> tuple[Path, tuple[str, ...]]:
    """The file that settings are written to, and the table in it."""
    from prefect_dask.settings import active_profile
    from prefect_dask.settings.files import profiles_file, user_file_to_write

    profile = active_profile()
    if profile:
        return profiles_file(), ("profiles", profile)
    return user_file_to_write(), ()


def warn_if_hidden(key: str) -> None:
    """Say so where a variable wins over what was just written."""
    parts = key.upper().split(".")
    for variable in ("PREFECT__" + "__".join(parts), "PREFECT_" + "_".join(parts)):
        if variable in os.environ:
            click.echo(f"the variable {variable} is set, and wins over it", err=True)
            return
