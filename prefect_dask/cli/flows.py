"""`prefect-dask flows`: the flows that ran, as the ledger knows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_dask.cli.completion import complete_flow_names, complete_run_ids
from prefect_dask.cli.exits import Refused
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import json_option, limit_option, print_json, print_table, time_text
from prefect_dask.cli.tables import Column
from prefect_dask.engine.errors import nearest

if TYPE_CHECKING:
    from prefect_dask.steering import RunHandle


@click.group(cls=CommandGroup)
def flows() -> None:
    """List, show and draw the flows that ran."""


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


@flows.command(
    "visualize",
    epilog="""\b
Examples:
  prefect-dask flows visualize etl.py -o etl.svg
  prefect-dask flows visualize census --rankdir LR --legend""",
)
@click.argument("place", metavar="FLOW|FILE", shell_complete=complete_flow_names)
@click.option("-n", "--name", default="", metavar="FLOW", help="Which flow of the file.")
@click.option(
    "--run",
    "run_id",
    default="",
    metavar="RUN",
    shell_complete=complete_run_ids,
    help="The run whose states are its colours; of a FLOW the latest.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where it is written: .svg, .png, .pdf or .dot; the flow's name with .svg.",
)
@click.option(
    "--rankdir",
    type=click.Choice(["TB", "LR", "BT", "RL"]),
    default="TB",
    show_default=True,
    help="Which way the arrows lead.",
)
@click.option("--legend", is_flag=True, help="Tell what shapes, lines and colours mean.")
def visualize(place: str, name: str, run_id: str, output: str | None, **drawn: Any) -> None:
    """Draw a flow that ran, as it ran, or the one in a FILE."""
    from prefect_dask.steering import attach

    flow_name, draw = drawer(place, name, attach(run_id) if run_id else None)
    output = output or file_name(flow_name)
    try:
        draw(output, **drawn)
    except OSError as error:
        why = error.strerror
        raise Refused(f"{output} cannot be written: {why}" if why else str(error)) from error
    click.echo(output)


def drawer(place: str, name: str, handle: RunHandle | None) -> tuple[str, Callable[..., object]]:
    """A flow's name, and what draws it.

    Args:
        place: A file, the name of a flow that ran, or a module; which it is, is seen in this order.
        name: Which flow of the file or module.
        handle: The run whose states are its colours.

    Raises:
        Refused: There is no such flow.
    """
    from prefect_dask.cli.flow_loading import NothingThere, load_flow
    from prefect_dask.steering import attach

    ran = {} if Path(place).is_file() or name else latest_runs()
    if place in ran and handle is None:
        handle = attach(ran[place])
    if place in ran and handle is not None and handle.flow_name == place:
        return place, handle.visualize
    try:
        flow = load_flow(place, name)
    except NothingThere as error:
        near = f"; {nearest(place, list(ran))}" if ran else ""
        raise Refused(f"{error.message}, and no flow of that name ran{near}") from None
    return flow.name, partial(flow.visualize, handle)


def latest_runs() -> Mapping[str, str]:
    """The flows that ran, and the id of the latest run of each; {} where nothing is recorded."""
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.configured import configured_place
    from prefect_dask.ledger.errors import NothingRecorded

    if configured_place() is None:
        return {}
    try:
        return {each.name: each.latest_run_id for each in Ledger().flows(limit=1000)}
    except NothingRecorded:
        return {}


def file_name(flow_name: str) -> str:
    """What a picture of a flow is called.

    >>> file_name("nightly"), file_name("../etl: all"), file_name("")
    ('nightly.svg', 'etl-all.svg', 'flow.svg')
    """
    words = re.findall(r"[\w.-]+", flow_name)
    return ("-".join(words).strip("./-") or "flow") + ".svg"
