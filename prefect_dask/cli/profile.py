"""`prefect-dask profile`: settings under a name, of which one set holds at a time."""

from __future__ import annotations

import os

import click

from prefect_dask.cli.completion import complete_profiles
from prefect_dask.cli.config import flattened, shown, text_of
from prefect_dask.cli.exits import Refused, confirm
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, print_json, print_table
from prefect_dask.cli.tables import Column

name_argument = click.argument("name", shell_complete=complete_profiles)


@click.group(cls=CommandGroup)
def profile() -> None:
    """List, choose and change profiles: settings under a name."""


@profile.command("ls", epilog="Example: prefect-dask profile ls")
@json_option
def ls(as_json: bool) -> None:
    """List the profiles; the active one has an asterisk."""
    from prefect_dask.settings import active_profile
    from prefect_dask.settings.files import profiles_here

    active, profiles = active_profile(), profiles_here().profiles
    if as_json:
        print_json([{"name": name, "is_active": name == active} for name in profiles])
        return
    for name in profiles:
        click.echo(f"{'*' if name == active else ' '} {name}")


@profile.command("create", epilog="Example: prefect-dask profile create cluster --from local")
@click.argument("name")
@click.option("--from", "source", metavar="NAME", help="Begin with the settings of this one.")
def create(name: str, source: str | None) -> None:
    """Make a profile."""
    from prefect_dask.settings.files import ProfileExists, add_table, profiles_file

    profiles = _profiles()
    if name in profiles:
        raise ProfileExists(name, profiles_file())
    add_table(profiles_file(), ("profiles", name), _known(source) if source else {})
    click.echo(f"made the profile {name!r}; `prefect-dask profile use {name}` makes it active")


@profile.command("use", epilog="Example: prefect-dask profile use cluster")
@name_argument
def use(name: str) -> None:
    """Make a profile active: its settings hold from now on."""
    from prefect_dask.settings.files import profiles_file, set_key

    _known(name)
    set_key(profiles_file(), ("active",), name)
    click.echo(f"the profile {name!r} is active")
    other = os.environ.get("PREFECT_PROFILE")
    if other and other != name:
        click.echo(f"the variable PREFECT_PROFILE says {other!r}, and wins over it", err=True)


@profile.command("inspect", epilog="Example: prefect-dask profile inspect cluster --json")
@click.argument("name", required=False, shell_complete=complete_profiles)
@json_option
def inspect(name: str | None, as_json: bool) -> None:
    """Show the settings of a profile; of the active one when none is named."""
    from prefect_dask.settings import active_profile

    name = name or active_profile()
    if not name:
        raise Refused("no profile is active; name one")
    settings = {key: shown(key, value) for key, value in flattened(_known(name))}
    if as_json:
        print_json(settings)
        return
    print_table(
        [Column("SETTING"), Column("VALUE", may_shrink=True)],
        [[key, text_of(value)] for key, value in settings.items()],
    )


@profile.command("rename", epilog="Example: prefect-dask profile rename cluster production")
@name_argument
@click.argument("new")
def rename(name: str, new: str) -> None:
    """Give a profile another name."""
    from prefect_dask.settings.files import (
        ProfileExists,
        profiles_file,
        profiles_here,
        rename_table,
        set_key,
    )

    _known(name)
    if new in _profiles():
        raise ProfileExists(new, profiles_file())
    was_active = profiles_here().active == name
    rename_table(profiles_file(), ("profiles", name), ("profiles", new))
    if was_active:
        set_key(profiles_file(), ("active",), new)
    click.echo(f"the profile {name!r} is called {new!r} now")


@profile.command("delete", epilog="Example: prefect-dask profile delete cluster --yes")
@name_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a profile and its settings."""
    from prefect_dask.settings.files import profiles_file, profiles_here, unset_key

    count = len(list(flattened(_known(name))))
    if not yes:
        confirm(
            f"the profile {name!r} and its {count} settings will be lost.",
            otherwise="nothing was deleted",
        )
    if profiles_here().active == name:
        unset_key(profiles_file(), ("active",))
    unset_key(profiles_file(), ("profiles", name))
    click.echo(f"deleted the profile {name!r}")


def _profiles() -> dict[str, dict[str, object]]:
    from prefect_dask.settings.files import profiles_here

    return {name: dict(settings) for name, settings in profiles_here().profiles.items()}


def _known(name: str) -> dict[str, object]:
    """The settings of a profile.

    Raises:
        UnknownProfile: There is none of that name.
    """
    from prefect_dask.settings import UnknownProfile
    from prefect_dask.settings.files import profiles_file

    profiles = _profiles()
    if name not in profiles:
        raise UnknownProfile(name, profiles_file(), list(profiles))
    return profiles[name]
