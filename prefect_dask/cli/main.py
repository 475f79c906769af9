"""`prefect-dask`, and `dask flow`: what is said before a command, and where the commands are."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from prefect_dask.cli.groups import CommandGroup
from prefect_dask.version import __version__

COMMANDS = {
    name: f"prefect_dask.cli.{module}:{command}"
    for name, module, command in (
        ("run", "run", "run"),
        ("runs", "runs", "runs"),
        ("flows", "flows", "flows"),
        ("limits", "limits", "limits"),
        ("config", "config", "config"),
        ("profile", "profile", "profile"),
        ("database", "database", "database"),
        ("version", "version", "version"),
    )
}


@click.group(
    "flow",  # what Dask calls it: `dask flow …`
    cls=CommandGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: prefect-dask run etl.py --param day=2026-01-31",
)
@click.option("-p", "--profile", metavar="NAME", help="The profile whose settings hold.")
@click.option("--ledger", metavar="URL", help="Where runs are recorded and read.")
@click.option(
    "-s",
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting; may be repeated.",
)
@click.version_option(__version__, "-V", "--version", message="%(version)s")
def main(profile: str | None, ledger: str | None, settings: Sequence[str]) -> None:
    """Run flows, and see and steer what they do."""
    # As variables: they win over all else that is configured, in the processes that a run starts too.
    if profile is not None:
        os.environ["PREFECT_PROFILE"] = profile
    if ledger is not None:
        os.environ["PREFECT__LEDGER__URL"] = ledger
    for setting in settings:
        _set(setting)


def _set(setting: str) -> None:
    """Let a setting hold that is given as KEY=VALUE; it is read here, so that its error names no variable."""
    from prefect_dask.settings.files import value_of
    from prefect_dask.settings.sources import read_schema

    key, equals, value = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
    value_of(read_schema(), key.lower(), value)
    os.environ["PREFECT__" + key.replace(".", "__").upper()] = value


def console() -> None:
    """The program `prefect-dask`."""
    sys.exit(main(prog_name="prefect-dask"))
