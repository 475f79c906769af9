"""`prefect-dask database`: the ledger as a whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prefect_dask.cli.exits import Refused, confirm
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, print_json
from prefect_dask.ledger.errors import LedgerTooNew
from prefect_dask.ledger.sqlite_version import sqlite_version_told


@click.group(cls=CommandGroup)
def database() -> None:
    """Look after the ledger, in which runs are recorded."""


def _place() -> Any:
    from prefect_dask.ledger.configured import configured_place

    place = configured_place()
    if place is None:
        raise Refused("there is no ledger: 'none' is configured")
    return place


@database.command("info", epilog="Example: prefect-dask database info --json")
@json_option
def info(as_json: bool) -> None:
    """Show where the ledger is, of what version, and how much it holds; changes nothing."""
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.upkeep import contents, tables_version

    place = _place()
    found, latest = tables_version(place)
    facts: dict[str, Any] = {
        "kind": place.kind,
        "place": str(place),
        "tables_version": found,
        "latest_version": latest,
        "size_bytes": _size_bytes(place),
        "sqlite_version": sqlite_version_told(),
    }
    if found == latest:
        facts.update(asdict(contents(Ledger())))
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            if value is not None:
                told = f"{value:,}" if isinstance(value, int) else value
                click.echo(f"{name.replace('_', ' ').capitalize() + ':':<17}{told}")
    if found > latest:
        raise LedgerTooNew(str(place), found, latest)
    if not as_json and found < latest:
        click.echo(
            "nothing is recorded yet" if not found else "run `prefect-dask database upgrade`"
        )


def _size_bytes(place: Any) -> int | None:
    if place.kind != "sqlite":
        return None
    files = [Path(place.target + ending) for ending in ("", "-wal")]
    return sum(file.stat().st_size for file in files if file.is_file())


@database.command("upgrade", epilog="Example: prefect-dask database upgrade")
def upgrade() -> None:
    """Bring the ledger's tables up to date; the first run of a new version would do so, too."""
    from prefect_dask.ledger.upkeep import upgrade

    place = _place()
    before, now = upgrade(place)
    click.echo(
        f"{place} is at version {now}"
        + ("" if before == now else f"; it was at {before}" if before else "; it was made")
    )


@database.command("downgrade", epilog="Example: prefect-dask database downgrade 3")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def downgrade(version: int | None, yes: bool) -> None:
    """Bring the ledger's tables down to an earlier VERSION.

    That is for an older prefect_dask. When not given, it is the version before. The first run of this prefect_dask
    brings them up again.
    """
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.upkeep import downgrade, losses, tables_version

    place = _place()
    found, latest = tables_version(place)
    if found > latest:
        raise LedgerTooNew(str(place), found, latest)
    if version is not None and version > latest:
        raise click.BadParameter(
            f"there is no version {version}; the latest is {latest}", param_hint="VERSION"
        )
    version = max(1, found - 1) if version is None else version
    if version >= max(1, found):
        click.echo(f"{place} is at version {found}")
        return
    ledger = Ledger()
    lost = losses(ledger, version)
    if not yes:
        click.echo(f"{place}: on the way from version {found} down to {version} is lost", err=True)
        for loss in lost:
            click.echo(f"  {loss.what} ({loss.rows:,} rows)", err=True)
        confirm("All else stays.", otherwise="nothing was changed")
    downgrade(ledger, version)
    click.echo(f"{place} is at version {version}; it was at {found}")


@database.command("reset", epilog="Example: prefect-dask database reset --yes")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Empty the ledger: every run that was recorded is forgotten, with its results."""
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.upkeep import contents, reset

    ledger = Ledger()
    there = contents(ledger)
    lost = (
        f"{there.flow_runs:,} runs of {there.flows:,} flows, with their states, results and "
        f"{there.log_lines:,} log lines"
    )
    if there.limits:
        lost += f", and {there.limits:,} limits"
    if not yes:
        confirm(f"{ledger.place}: {lost} will be lost.", otherwise="nothing was removed")
    reset(ledger)
    click.echo(f"{ledger.place}: removed {lost}")
