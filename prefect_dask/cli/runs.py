"""`prefect-dask runs`: what was recorded of flow runs, and taking one up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from prefect_dask.cli.completion import complete_run_ids
from prefect_dask.cli.executor_choice import EXECUTOR
from prefect_dask.cli.exits import Refused
from prefect_dask.cli.flow_loading import flow_of_run, flow_options, load_flow
from prefect_dask.cli.following import follow, progress_option
from prefect_dask.cli.groups import CommandGroup
from prefect_dask.cli.output import (
    json_option,
    limit_option,
    print_json,
    print_table,
    state_text,
    time_text,
)
from prefect_dask.cli.tables import Column
from prefect_dask.cli.task_runs import task_runs_in
from prefect_dask.engine.errors import nearest
from prefect_dask.progress.lines import cut, duration, in_words

if TYPE_CHECKING:
    from prefect_dask.ledger.facts import (
        RecordedFlowRun,
        RecordedLine,
        RecordedTask,
        RecordedTaskRun,
    )

run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_run_ids)

#: So many characters of an id are shown: as many as tell runs apart for a lifetime.
SHORT_ID = 12

#: So much is shown of a run's parameters; `--json` has all.
MOST_CHARACTERS = 1_000

#: So many failures of a run are shown.
MOST_FAILURES = 20


@click.group(
    cls=CommandGroup,
    lazy={
        "ls": "prefect_dask.cli.runs:ls",
        "show": "prefect_dask.cli.runs:show",
        "logs": "prefect_dask.cli.runs:logs",
        "attach": "prefect_dask.cli.steering:attach",
        "cancel": "prefect_dask.cli.steering:cancel",
        "approve": "prefect_dask.cli.by_hand:approve",
        "set-success": "prefect_dask.cli.by_hand:set_success",
        "resume": "prefect_dask.cli.runs:resume",
        "restart": "prefect_dask.cli.runs:restart",
        "replay": "prefect_dask.cli.replay:replay",
        "rm": "prefect_dask.cli.removing:rm",
    },
    epilog="RUN is a run's id, or as much of its beginning as tells it from others. "
    "TASK[i] is a task's name or slug, and of a mapped task which child.",
)
def runs() -> None:
    """List, show, follow, steer and take up recorded flow runs."""


# ---- listing


@click.command("ls", epilog="Example: prefect-dask runs ls --state Failed --limit 5")
@click.option("--flow", "flow_name", default="", metavar="NAME", help="Only runs of this flow.")
@click.option(
    "--state", default="", metavar="STATE", help="Only runs at this state, such as Failed."
)
@limit_option
@json_option
def ls(flow_name: str, state: str, limit: int, as_json: bool) -> None:
    """List the latest flow runs, newest first."""
    from prefect_dask.engine.state import STATES
    from prefect_dask.ledger import Ledger

    if state and state not in STATES:
        raise Refused(f"there is no state {state!r}; {nearest(state, list(STATES))}")
    found = Ledger().flow_runs(flow_name=flow_name, state=state, limit=limit)
    if as_json:
        print_json([run_data(run) for run in found])
        return
    show_runs(found)


def show_runs(found: Sequence[RecordedFlowRun], *, err: bool = False) -> None:
    """Print a line for each run; `err`: on standard error."""
    print_table(
        [
            Column("RUN"),
            Column("FLOW", may_shrink=True),
            Column("STATE", is_state=True),
            Column("BEGUN"),
            Column("TOOK", is_number=True),
            Column("MESSAGE", may_shrink=True),
        ],
        [
            [
                run.run_id[:SHORT_ID],
                run.flow_name,
                run.state,
                time_text(run.begun),
                took(run),
                run.message or "",
            ]
            for run in found
        ],
        err=err,
    )


def run_data(run: RecordedFlowRun) -> dict[str, Any]:
    """A flow run for programs."""
    names = [field.name for field in fields(run) if field.name not in ("key", "ledger")]
    return {name: getattr(run, name) for name in names}


def took(run: RecordedFlowRun) -> str:
    """How long a run took; "" where it is not over."""
    return "" if run.ended is None else duration((run.ended - run.begun).total_seconds())


# ---- one run


@click.command("show", epilog="Example: prefect-dask runs show 3f2a --task load")
@run_argument
@click.option("--task", "task_name", default="", metavar="NAME", help="Show each run of this task.")
@json_option
def show(run_id: str, task_name: str, as_json: bool) -> None:
    """Show a flow run and what its tasks came to. A mapped task is one line."""
    from prefect_dask.ledger import Ledger

    ledger = Ledger()
    run = ledger.flow_run(run_id)
    tasks = ledger.flow(run.run_id).tasks
    task_runs = ledger.task_runs(run.run_id)
    artifacts = ledger.artifacts(run.run_id)
    if task_name:
        task_runs = [each for each in task_runs if task_name in (each.task_name, each.task_slug)]
        if not task_runs:
            names = sorted({task.name for task in tasks})
            raise Refused(
                f"run {run.run_id} has no task run of {task_name!r}; {nearest(task_name, names)}"
            )
    if as_json:
        told = {
            "task_runs": [asdict(each) for each in task_runs],
            "artifacts": [asdict(each) for each in artifacts],
        }
        print_json({**run_data(run), **told})
        return
    show_run(run, [each.text for each in artifacts if each.task < 0])
    click.echo()
    if task_name:
        show_task_runs(task_runs)
    else:
        show_tasks(tasks, task_runs)
        show_failures(task_runs)


def show_run(run: RecordedFlowRun, links: Sequence[str] = ()) -> None:
    """Print what is known of a flow run as a whole, with links to reports of it."""
    click.echo(f"{run.name}: {state_text(run.state)}" + (f": {run.message}" if run.message else ""))
    facts = {
        "Run": run.run_id,
        "Flow": run.flow_name,
        "Begun": time_text(run.begun),
        "Ended": time_text(run.ended) + (f" ({took(run)})" if run.ended else ""),
        "Parameters": cut(json.dumps(dict(run.parameters), ensure_ascii=False), MOST_CHARACTERS)
        if run.parameters
        else "",
        "Ran at": run.coordinator,
        "Version": run.version,
        "Report": " ".join(links),
    }
    for name, value in facts.items():
        if value:
            click.echo(f"{name + ':':<12}{value}")


def show_tasks(tasks: Sequence[RecordedTask], task_runs: Sequence[RecordedTaskRun]) -> None:
    """Print a line for each task: its state, or how many of its children are at which."""
    own = {each.task: each for each in task_runs if each.map_index < 0}
    children: dict[int, dict[str, int]] = {}
    for each in task_runs:
        if each.map_index >= 0:
            count = children.setdefault(each.task, {})
            count[each.state] = count.get(each.state, 0) + 1
    rows = []
    for task in tasks:
        its = own.get(task.index)
        counted = children.get(task.index)
        told = in_words(counted) if counted else (its.message or "" if its else "")
        # A map whose width was known beforehand may have children at work before it has its own turn.
        unheard_of = "Mapped" if counted else "Pending"
        rows.append([task.slug, its.state if its else unheard_of, told])
    print_table(
        [
            Column("TASK", may_shrink=True),
            Column("STATE", is_state=True),
            Column("MESSAGE", may_shrink=True),
        ],
        rows,
    )


def show_failures(task_runs: Sequence[RecordedTaskRun]) -> None:
    """Print which children failed."""
    failed = [
        each
        for each in task_runs
        if each.map_index >= 0 and each.state in ("Failed", "TimedOut", "Crashed")
    ]
    if failed:
        click.echo()
        show_task_runs(failed[:MOST_FAILURES])
        if len(failed) > MOST_FAILURES:
            click.echo(f"and {len(failed) - MOST_FAILURES:,} more failed")


def show_task_runs(task_runs: Sequence[RecordedTaskRun]) -> None:
    """Print a line for each task run."""
    print_table(
        [
            Column("TASK RUN", may_shrink=True),
            Column("STATE", is_state=True),
            Column("ATTEMPT", is_number=True),
            Column("SINCE"),
            Column("WORKER", may_shrink=True),
            Column("MESSAGE", may_shrink=True),
        ],
        [
            [
                task_run_name(each.task_name, each.map_index),
                each.state,
                str(each.attempt),
                time_text(each.time),
                each.worker,
                each.message or "",
            ]
            for each in task_runs
        ],
    )


def task_run_name(name: str, map_index: int) -> str:
    """What a task run is called.

    >>> task_run_name("load", 3), task_run_name("load", -1)
    ('load[3]', 'load')
    """
    return name if map_index < 0 else f"{name}[{map_index}]"


# ---- log lines


@click.command("logs", epilog="Example: prefect-dask runs logs 3f2a --task load --follow")
@run_argument
@click.option("--task", "wanted", default="", metavar="TASK[i]", help="Only lines of this task.")
@click.option(
    "--level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    default="DEBUG",
    help="Only lines of this level and above.",
)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the run is over.")
@json_option
def logs(run_id: str, wanted: str, level: str, follows: bool, as_json: bool) -> None:
    """Print what a flow run and its tasks logged. With --json it is an object a line."""
    import logging
    import threading

    from prefect_dask.ledger import Ledger

    ledger = Ledger()
    run = ledger.flow_run(run_id)
    whose = task_runs_in(ledger.flow(run.run_id), wanted) if wanted else None
    least, last, pause = getattr(logging, level.upper()), -1, threading.Event()
    while True:
        # In this order: what a run logs before it is over is there when it is.
        is_over = run.ended is not None or run.state == "Paused"
        for line in ledger.logs(run.run_id, after=last):
            last = max(last, line.number)
            is_wanted = whose is None or whose(line.task, line.map_index)
            if line.level >= least and is_wanted:
                print_line(line, as_json=as_json)
        if is_over or not follows:
            return
        pause.wait(FOLLOW_SECONDS)
        run = ledger.flow_run(run.run_id)


#: How often a run that is followed is looked at, seconds.
FOLLOW_SECONDS = 0.5


def print_line(line: RecordedLine, *, as_json: bool = False, err: bool = False) -> None:
    """Print a line of the log, as flow runs do; `err`: on standard error."""
    import logging

    if as_json:
        data = {**asdict(line), "time": line.time.isoformat()}
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    level = logging.getLevelName(line.level)
    whose = f" {task_run_name(line.task_name, line.map_index)}" if line.task_name else ""
    told = f"{time_text(line.time)} | {level:<8} | {line.logger}{whose} | {line.message}"
    click.echo(told, err=err)
    if line.exception:
        click.echo(line.exception, err=err)


# ---- playing


@runs.command("animate", epilog="Example: prefect-dask runs animate 3f2a --export run.html")
@run_argument
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE.html",
    help="Write it as one file instead, which needs no server and no network.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    metavar="N",
    help="Where it is served; when not given, 5006 or the next free one.",
)
@click.option(
    "--browser/--no-browser", "opens", default=True, help="Open it in the browser, or print only."
)
def animate(run_id: str, file: str | None, port: int | None, opens: bool) -> None:
    """Play a run in the browser: its graph and its workers through time.

    A run that goes on is followed. Ctrl-C ends the server, not the run.
    """
    from prefect_dask.ledger import Ledger

    animation = Ledger().animate(run_id)
    if file is None:
        animation.serve(port, open_browser=opens, tell=click.echo)
        return
    try:
        click.echo(animation.save(file))
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror or error}") from error


# ---- taking up again


def _taking_up(command: Any) -> Any:
    """The arguments of resume and restart."""
    for option in reversed(
        (
            run_argument,
            flow_options,
            click.option("--executor", type=EXECUTOR, help="Where the tasks run."),
            click.option(
                "--param",
                "texts",
                metavar="NAME=VALUE",
                multiple=True,
                help="A parameter that was not kept, because a secret is in it.",
            ),
            progress_option,
            json_option,
        )
    ):
        command = option(command)
    return command


@click.command("resume", epilog="Example: prefect-dask runs resume 3f2a --executor dask")
@_taking_up
def resume(run_id: str, **options: Any) -> None:
    """Go on with a run that died or is Paused.

    What it did is not done again. Exit codes are those of `run`.
    """
    from prefect_dask.resuming import resume

    _take_up(resume, run_id, **options)


@click.command("restart", epilog="Example: prefect-dask runs restart 3f2a")
@_taking_up
def restart(run_id: str, **options: Any) -> None:
    """Go on with a run, from what failed on.

    What failed runs again, and what did not run because of it. Exit codes are those of `run`.
    """
    from prefect_dask.resuming import restart

    _take_up(restart, run_id, **options)


def _take_up(
    take_up: Any,
    run_id: str,
    *,
    place: str,
    name: str,
    executor: Any,
    texts: Sequence[str],
    progress: bool,
    as_json: bool,
) -> None:
    from prefect_dask.cli.parameter_values import parameter_values
    from prefect_dask.ledger import Ledger
    from prefect_dask.ledger.taking_up import find_resumable

    ledger = Ledger()
    found = find_resumable(ledger, run_id)
    flow = load_flow(place, name) if place else flow_of_run(found)
    values = parameter_values(texts, None)
    follow(
        lambda watch: take_up(
            found.run.run_id,
            flow,
            executor=executor,
            parameters=values,
            progress=watch,
            ledger=ledger,
        ),
        is_drawn=progress,
        as_json=as_json,
    )
