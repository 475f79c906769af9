"""`prefect-dask run`: run a flow that is in a file or a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from prefect_dask.cli.executor_choice import EXECUTOR
from prefect_dask.cli.exits import Refused
from prefect_dask.cli.flow_loading import load_flow
from prefect_dask.cli.following import follow, progress_option
from prefect_dask.cli.output import json_option
from prefect_dask.cli.parameter_values import parameter_values


@click.command(
    epilog="""\b
Examples:
  prefect-dask run etl.py
  prefect-dask run etl.py -n nightly --param day=2026-01-31 --executor dask
  prefect-dask run company.flows.etl --params values.toml --schedule

\b
Exit codes: 0 Success, 1 Failed, 2 usage, 3 Cancelled, 4 Paused."""
)
@click.argument("place", metavar="FILE|MODULE")
@click.option(
    "-n", "--name", default="", metavar="FLOW", help="Which flow, where there are several."
)
@click.option(
    "--param",
    "texts",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter's value: JSON, or else text; may be repeated.",
)
@click.option(
    "--params",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    help="A TOML or JSON file with values of parameters.",
)
@click.option(
    "--executor", type=EXECUTOR, help="Where the tasks run; the flow's own, or as configured."
)
@click.option(
    "--schedule", "on_schedule", is_flag=True, help="Run at each event of the flow's schedule."
)
@progress_option
@json_option
def run(
    place: str,
    name: str,
    texts: Sequence[str],
    file: str | None,
    executor: Any,
    on_schedule: bool,
    progress: bool,
    as_json: bool,
) -> None:
    """Run a flow that is in a Python FILE, a MODULE, or a file that Flow.save() wrote.

    While it runs, standard error shows how far it is; at the end standard output tells what came of it.
    """
    values = parameter_values(texts, file)
    flow = load_flow(place, name)
    if on_schedule and flow.schedule is None:
        raise Refused(f"flow {flow.name!r} has no schedule; run it without --schedule")
    follow(
        lambda watch: flow.run(
            values, executor=executor, run_on_schedule=on_schedule, progress=watch
        ),
        is_drawn=progress,
        as_json=as_json,
    )
