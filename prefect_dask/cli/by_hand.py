"""`prefect-dask runs approve` and `set-success`: what a person decides of a run that no process is at."""

from __future__ import annotations

import click

from prefect_dask.cli.exits import Refused
from prefect_dask.cli.parameter_values import value_in
from prefect_dask.cli.runs import SHORT_ID, run_argument, task_run_name
from prefect_dask.cli.task_runs import task_run_argument, task_run_in

reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why; stands in the state's message."
)


@click.command("approve", epilog="Example: prefect-dask runs approve 3f2a publish --reason checked")
@run_argument
@task_run_argument(is_required=False)
@reason_option
def approve(run_id: str, task_run: str | None, reason: str) -> None:
    """Let what is Paused in a run go on when that is next resumed.

    Which task run may be left out where only one is Paused.
    """
    from prefect_dask.by_hand import approve
    from prefect_dask.ledger import Ledger

    ledger = Ledger()
    run = ledger.flow_run(run_id)
    if task_run is not None:
        task, map_index = task_run_in(ledger.flow(run.run_id), task_run)
        name, place = task.name, task.index
    else:
        paused = [each for each in ledger.task_runs(run.run_id) if each.state == "Paused"]
        if len(paused) != 1:
            names = ", ".join(task_run_name(each.task_slug, each.map_index) for each in paused)
            raise Refused(
                f"several task runs of {run.name} are Paused: {names}; say which"
                if paused
                else f"no task run of {run.name} is Paused; the run is {run.state}"
            )
        [one] = paused
        name, place, map_index = one.task_name, one.task, one.map_index
    approve(run.run_id, place, map_index, ledger=ledger, reason=reason)
    _decided(run.run_id, f"{task_run_name(name, map_index)} is approved")


@click.command(
    "set-success",
    epilog="Example: prefect-dask runs set-success 3f2a load[3] '[1, 2]' --reason typed",
)
@run_argument
@task_run_argument()
@click.argument("result", metavar="RESULT")
@reason_option
def set_success(run_id: str, task_run: str, result: str, reason: str) -> None:
    """Make a task run a Success with this RESULT.

    RESULT is JSON, or else a text. The task does not run; what did not run because of it runs when the run is
    next resumed.
    """
    from prefect_dask.by_hand import set_success
    from prefect_dask.ledger import Ledger

    ledger = Ledger()
    run = ledger.flow_run(run_id)
    task, map_index = task_run_in(ledger.flow(run.run_id), task_run)
    set_success(run.run_id, task.index, value_in(result), map_index, ledger=ledger, reason=reason)
    _decided(run.run_id, f"{task_run_name(task.name, map_index)} is set to Success")


def _decided(run_id: str, what: str) -> None:
    click.echo(f"{what}; `prefect-dask runs resume {run_id[:SHORT_ID]}` goes on with the run")
