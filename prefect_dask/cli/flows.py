"""`prefect-dask flows`: the flows that ran, as the ledger knows them."""

from __future__ import annotations

from dataclasses import asdict

import click

from prefect_dask.cli.completion import complete_flow_names
from prefect_dask.cli.exits import Refused
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, limit_option, print_json, print_table, time_text
from prefect_dask.cli.tables import Column
from prefect_dask.engine.errors import nearest


@click.group(cls=CommandGroup)
def flows() -> None:
    """List and show the flows that ran."""


@flows.command("ls", epilog="Example: prefect-dask flows ls --json")
@limit_option
@json_option
def ls(limit: int, as_json: bool) -> None:
    """List the flows that ran, the one with the latest run first."""
    from prefect_dask.ledger import Ledger

    found = Ledger().flows(limit=limit)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        [
            Column("FLOW", may_shrink=True),
            Column("RUNS", is_number=True),
            Column("VERSIONS", is_number=True),
            Column("LATEST"),
            Column("STATE", is_state=True),
            Column("BEGUN"),
        ],
        [
            [
                each.name,
                f"{each.runs:,}",
                f"{each.versions:,}",
                each.latest_run_id[:12],
                each.latest_state,
                time_text(each.latest_begun),
            ]
            for each in found
        ],
    )


@flows.command("show", epilog="Example: prefect-dask flows show census")
@click.argument("name", metavar="FLOW", shell_complete=complete_flow_names)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the tasks of a flow and what they wait for, as they were in its latest run."""
    from prefect_dask.ledger import Ledger

    ledger = Ledger()
    latest = ledger.flow_runs(flow_name=name, limit=1)
    if not latest:
        names = [each.name for each in ledger.flows(limit=1000)]
        raise Refused(f"no flow {name!r} ran; {nearest(name, names)}")
    [run] = latest
    flow = ledger.flow(run.run_id)
    if as_json:
        print_json({**asdict(flow), "latest_run_id": run.run_id})
        return
    click.echo(f"{flow.name}: latest run {run.run_id[:12]}, {run.state}, {time_text(run.begun)}")
    click.echo()
    waits: dict[int, list[str]] = {}
    for above, below, key, is_mapped, _ in flow.edges:
        text = flow.tasks[above].slug
        if key:
            text = f"{key}={text}"
        waits.setdefault(below, []).append(f"{text}[…]" if is_mapped else text)
    print_table(
        [
            Column("TASK", may_shrink=True),
            Column("MAPPED"),
            Column("TAGS", may_shrink=True),
            Column("WAITS FOR", may_shrink=True),
        ],
        [
            [
                task.slug,
                "mapped" if task.is_mapped else "",
                ", ".join(task.tags),
                ", ".join(waits.get(task.index, [])),
            ]
            for task in flow.tasks
        ],
    )
