"""`prefect-dask runs attach` and `cancel`: a run that goes on in another process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from prefect_dask.cli.exits import FAILED, INTERRUPTED
from prefect_dask.cli.following import follow, progress_option
from prefect_dask.cli.output import json_option, state_text
from prefect_dask.cli.runs import SHORT_ID, print_line, run_argument
from prefect_dask.engine.state import Cancelled, State
from prefect_dask.engine.steering import GRACE_SECONDS

if TYPE_CHECKING:
    from prefect_dask.progress import Watch
    from prefect_dask.steering import RunHandle


class LeftOff(click.ClickException):
    """Who watched or waited does so no more; the run goes on."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)


@click.command("attach", epilog="Example: prefect-dask runs attach 3f2a")
@run_argument
@progress_option
@json_option
def attach(run_id: str, progress: bool, as_json: bool) -> None:
    """Follow a run that another process runs.

    It is shown as if it ran here, its log from now on. Ctrl-C leaves off following: the run goes on.

    Exit codes are those of `run`.
    """
    from prefect_dask.steering import attach

    handle = attach(run_id)
    follow(partial(_wait, handle), is_drawn=progress, as_json=as_json)


def _wait(handle: RunHandle, watch: Watch) -> State:
    try:
        return handle.wait(progress=watch, on_line=partial(print_line, err=True))
    except KeyboardInterrupt:
        short = handle.run_id[:SHORT_ID]
        raise LeftOff(
            f"left off following; the run goes on. `prefect-dask runs cancel {short}` cancels it"
        ) from None


@click.command("cancel", epilog="Example: prefect-dask runs cancel 3f2a --grace 60")
@run_argument
@click.option(
    "--grace",
    "grace_seconds",
    type=click.FloatRange(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long bodies at work may take to end by themselves.",
)
@click.option("--wait/--no-wait", "waits", default=True, help="Wait until the run is over.")
def cancel(run_id: str, grace_seconds: float, waits: bool) -> None:
    """Have a run end before all is done, wherever it runs.

    The exit code is 0 where the run is Cancelled, or was asked to be with --no-wait, and 1 where it came to its end
    first.
    """
    from prefect_dask.steering import attach

    handle = attach(run_id)
    state = handle.cancel(grace_seconds=grace_seconds, wait=False)
    if not state.is_finished():
        try:
            click.echo("asked to end", err=True)
            state = handle.wait() if waits else state
        except KeyboardInterrupt:
            raise LeftOff(
                "left off waiting; the run was asked to end. "
                f"`prefect-dask runs attach {handle.run_id[:SHORT_ID]}` shows what it does"
            ) from None
    told = f"{handle.run_id[:SHORT_ID]}: {state_text(type(state).__name__)}"
    click.echo(told + (f": {state.message}" if state.message else ""))
    if state.is_finished() and not isinstance(state, Cancelled):
        click.get_current_context().exit(FAILED)
