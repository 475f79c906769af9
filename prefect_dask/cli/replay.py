"""`prefect-dask runs replay`: one recorded task run again, here."""

from __future__ import annotations

from collections.abc import Sequence

import click

from prefect_dask.cli.exits import code_of
from prefect_dask.cli.flow_loading import flow_of_run, flow_options, load_flow
from prefect_dask.cli.output import short_repr, state_text
from prefect_dask.cli.parameter_values import parameter_values
from prefect_dask.cli.runs import run_argument, task_run_name
from prefect_dask.cli.task_runs import task_run_argument, task_run_in


@click.command("replay", epilog="Example: prefect-dask runs replay 3f2a halve[3] --pdb")
@run_argument
@task_run_argument()
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt; the last one.")
@click.option(
    "--input",
    "input_texts",
    metavar="NAME=VALUE",
    multiple=True,
    help="An input to be used instead of the one that it had: JSON, or else text; may be repeated.",
)
@click.option(
    "--param",
    "texts",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter that was not kept, because a secret is in it.",
)
@click.option("--pdb", "debug", is_flag=True, help="Run the body under Python's debugger.")
@flow_options
def replay(
    run_id: str,
    task_run: str,
    attempt: int | None,
    input_texts: Sequence[str],
    texts: Sequence[str],
    debug: bool,
    place: str,
    name: str,
) -> None:
    """Run one task run again, here, with its inputs.

    A rehearsal: it is recorded nowhere. What the body itself does to the world, it does again.

    Exit codes are those of `run`.
    """
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.taking_up import find_run
    from prefect_dask.replaying import replay

    ledger = Ledger()
    found = find_run(ledger, run_id)
    task, map_index = task_run_in(found.flow, task_run)
    state = replay(
        found.run.run_id,
        task.index,
        map_index,
        attempt=attempt,
        flow=load_flow(place, name) if place else flow_of_run(found),
        ledger=ledger,
        inputs=parameter_values(input_texts, None, option="--input"),
        parameters=parameter_values(texts, None),
        debug=debug,
    )
    told = state.message
    if state.is_successful() and not state.is_skipped():
        told = short_repr(state.result)
    click.echo(
        f"{task_run_name(task.name, map_index)}: {state_text(type(state).__name__)}"
        + (f": {told}" if told else "")
    )
    click.get_current_context().exit(code_of(state))
