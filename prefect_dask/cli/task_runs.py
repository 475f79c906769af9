"""TASK[i] on the command line: a task run of a recorded flow run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from prefect_dask.engine.errors import PrefectDaskError

if TYPE_CHECKING:
    from prefect_dask.ledger.facts import RecordedFlow, RecordedTask

_Command = TypeVar("_Command", bound=Callable[..., object])

CHILD = re.compile(r"(?P<task>.+)\[(?P<map_index>\d+)\]")


def task_run_in(flow: RecordedFlow, text: str) -> tuple[RecordedTask, int]:
    """The task and the map index that a text names.

    Where a task is itself called `name[3]`, as what `name[3]` gives in a flow is, it is meant, and not a child of
    `name`; that one is named by its slug: `name-1[3]`.

    Args:
        flow: The flow as it was when it ran.
        text: A task's name or slug, and for a child of a mapped task `[i]` behind it.

    Raises:
        UnknownRecordedTask: There is no such task, or several.
    """
    child = CHILD.fullmatch(text)
    if child is None or any(text in (task.name, task.slug) for task in flow.tasks):
        return flow.task(text), -1
    return flow.task(child["task"]), int(child["map_index"])


def task_runs_in(flow: RecordedFlow, text: str) -> Callable[[int, int], bool]:
    """Whether a text names a task run: that child of a mapped task, or the task with all its children.

    A name stands for all tasks that have it. What is given to the answer is a task's place in the flow, and a map
    index.

    Raises:
        UnknownRecordedTask: There is no such task.
    """
    named = {task.index for task in flow.tasks if text == task.name}
    if named:
        return lambda task, map_index: task in named
    wanted, child = task_run_in(flow, text)
    return lambda task, map_index: task == wanted.index and child in (-1, map_index)


def complete_task_runs(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The tasks of the run named before whose name begins so."""
    from prefect_dask.ledger import Ledger

    try:
        tasks = Ledger().flow(ctx.params.get("run_id") or "").tasks
    except PrefectDaskError:
        return []
    return [CompletionItem(task.slug) for task in tasks if task.slug.startswith(incomplete)]


def task_run_argument(*, is_required: bool = True) -> Callable[[_Command], _Command]:
    """The argument TASK[i]."""
    return click.argument(
        "task_run",
        metavar="TASK[i]" if is_required else "[TASK[i]]",
        required=is_required,
        shell_complete=complete_task_runs,
    )
