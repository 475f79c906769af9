"""`prefect-dask runs rm`: forgetting runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from prefect_dask.cli.completion import complete_run_ids
from prefect_dask.cli.exits import confirm
from prefect_dask.cli.runs import show_runs

if TYPE_CHECKING:
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.facts import RecordedFlowRun


@click.command("rm", epilog="Example: prefect-dask runs rm 3f2a 9d00 --yes")
@click.argument(
    "run_ids", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_ids
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(run_ids: Sequence[str], yes: bool) -> None:
    """Forget runs.

    All that is recorded of them goes, and the files of their results in the home folder. Where one of them goes on,
    or is not there, none is removed.
    """
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.errors import RunAlive

    ledger = Ledger()
    runs = list({run.run_id: run for run in map(ledger.flow_run, run_ids)}.values())
    for run in runs:
        if run.is_alive:
            raise RunAlive(run.run_id, run.coordinator)
    lost = what_is_lost(ledger, runs)
    if not yes:
        show_runs(runs, err=True)
        confirm(f"{lost} will be lost.", otherwise="nothing was removed")
    for run in runs:
        ledger.remove(run.run_id)
    click.echo(f"removed {lost}")


def what_is_lost(ledger: Ledger, runs: Sequence[RecordedFlowRun]) -> str:
    """What goes with some runs, for people."""
    from prefect_dask.ledger.upkeep import contents_of_run

    each = [contents_of_run(ledger, run.run_id) for run in runs]
    task_runs, log_lines, artifacts = (sum(column) for column in zip(*each, strict=True))
    told = f"{len(runs):,} run{'s' if len(runs) != 1 else ''}, with {task_runs:,} task runs, their results"
    if artifacts:
        told += f", {artifacts:,} artifacts"
    return f"{told} and {log_lines:,} log lines"
