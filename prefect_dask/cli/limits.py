"""`prefect-dask limits`: how many task runs may be at work at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, print_json, print_table, time_text
from prefect_dask.cli.tables import Column

if TYPE_CHECKING:
    from prefect_dask.limits import Limit


@click.group(cls=CommandGroup, epilog="NAME is tag:TAG, or task:TASK.")
def limits() -> None:
    """Let only so many task runs be at work at a time, over all runs of a ledger."""


@limits.command("ls", epilog="Example: prefect-dask limits ls")
@json_option
def ls(as_json: bool) -> None:
    """List the limits, who holds their slots, and how many task runs wait."""
    from prefect_dask.limits import limits

    found = limits()
    if as_json:
        print_json([asdict(limit) for limit in found])
        return
    print_table(
        [
            Column("LIMIT", may_shrink=True),
            Column("SLOTS", is_number=True),
            Column("HELD", is_number=True),
            Column("WAITING", is_number=True),
        ],
        [
            [limit.name, f"{limit.slots:,}", f"{len(limit.holders):,}", f"{limit.waiting:,}"]
            for limit in found
        ],
    )
    show_holders(found)


def show_holders(limits: Sequence[Limit]) -> None:
    """Print who holds slots."""
    held = [(limit, holder) for limit in limits for holder in limit.holders]
    if not held:
        return
    click.echo()
    print_table(
        [
            Column("LIMIT", may_shrink=True),
            Column("TASK RUN", may_shrink=True),
            Column("RUN"),
            Column("SINCE"),
            Column("WORKER", may_shrink=True),
        ],
        [
            [
                limit.name,
                holder.task_run_name,
                holder.run_id[:12],
                time_text(holder.since),
                holder.worker,
            ]
            for limit, holder in held
        ],
    )


@limits.command("set", epilog="Example: prefect-dask limits set tag:database 3")
@click.argument("name")
@click.argument("slots", type=click.IntRange(min=0))
def set_(name: str, slots: int) -> None:
    """Make a limit, or give it another number of slots."""
    from prefect_dask.limits import set_limit

    set_limit(name, slots)
    click.echo(f"{name}: {slots:,} slots")


@limits.command("rm", epilog="Example: prefect-dask limits rm tag:database")
@click.argument("name")
def rm(name: str) -> None:
    """Take a limit away; what waits under it goes on."""
    from prefect_dask.limits import remove_limit

    remove_limit(name)
    click.echo(f"{name}: no limit any more")
