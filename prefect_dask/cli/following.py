"""Runs a flow in this process, shows how far it is, tells what came of it, and ends with the exit code for that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

from prefect_dask.cli.exits import code_of, print_nothing_more
from prefect_dask.cli.output import print_json, state_text
from prefect_dask.engine.errors import RunInterrupted
from prefect_dask.engine.state import Cancelled, State
from prefect_dask.progress import Watch
from prefect_dask.progress.lines import duration, in_words
from prefect_dask.progress.watch import FlowProgress

progress_option = click.option(
    "--progress/--no-progress", default=True, help="Show on standard error how far the run is."
)


def follow(run: Callable[[Watch], State], *, is_drawn: bool, as_json: bool) -> None:
    """Run, tell what came of it, and end this program.

    Args:
        run: Runs a flow that is followed by what it is given.
        is_drawn: Whether it is drawn on standard error how far it is.
        as_json: Whether what came of it is told in JSON.
    """
    from prefect_dask.progress.drawing import Drawn

    with Drawn().drawing() if is_drawn else nullcontext(Watch()) as watch:
        try:
            state = run(watch)
        except RunInterrupted as interrupt:
            state = interrupt.state
        except KeyboardInterrupt:  # between two runs of a schedule
            state = Cancelled("interrupted from the keyboard")
    came_to = watch.look()
    try:
        if as_json:
            print_json(as_data(came_to, state))
        else:
            tell(came_to, state)
    except BrokenPipeError:  # what the run came to is worth more than who read of it
        print_nothing_more()
    click.get_current_context().exit(code_of(state))


def as_data(came_to: FlowProgress, state: State) -> dict[str, Any]:
    """What came of a run, for programs."""
    return {
        "run_id": came_to.run_id,
        "run_name": came_to.run_name,
        "flow": came_to.flow_name,
        "state": type(state).__name__,
        "message": state.message,
        "seconds": round(came_to.seconds, 3),
        "task_runs": came_to.states,
        "tasks": [
            {"task": task.name, "is_mapped": task.is_mapped, "task_runs": dict(task.states)}
            for task in came_to.tasks
        ],
    }


def tell(came_to: FlowProgress, state: State) -> None:
    """Print what came of a run, for people."""
    name = type(state).__name__
    told = f"{came_to.run_name or 'the flow run'}: {state_text(name)}"
    if state.message:
        told += f": {state.message}"
    click.echo(told)
    if came_to.states:
        click.echo(f"{in_words(came_to.states)}, {duration(came_to.seconds)}")
    if came_to.run_id and _is_recorded():
        click.echo(f"prefect-dask runs show {came_to.run_id[:12]}")


def _is_recorded() -> bool:
    """Whether another process finds what this one recorded."""
    from prefect_dask.ledger.configured import configured_place

    place = configured_place()
    return place is not None and place.kind != "memory"
