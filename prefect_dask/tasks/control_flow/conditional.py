"""switch(), ifelse(), merge(): which of several tasks run, and what came of those that did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from prefect_dask.engine import triggers
from prefect_dask.engine.context import context
from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.signals import SKIP
from prefect_dask.errors import OutsideFlow
from prefect_dask.inputs import holds_task
from prefect_dask.mapping import EdgeAnnotation, unmapped
from prefect_dask.naming import name_of_value
from prefect_dask.task import Task


class CompareValue(Task):
    """Succeeds when its input equals a value, and is skipped otherwise, with all that waits for it.

    Args:
        value: The value.
        settings: As for `Task`.
    """

    shown_as: ClassVar[ShownAs] = "case"

    def __init__(self, value: Any, **settings: Any) -> None:
        self.value = value
        settings.setdefault("name", f"case({text_of(value)})")
        settings.setdefault("checkpoint", False)
        super().__init__(**settings)

    def run(self, value: Any) -> None:
        if value != self.value:
            raise SKIP(f"got {name_of_value(value)}, and not {name_of_value(self.value)}")


def text_of(value: Any) -> str:
    """A value as it stands in the name of its branch.

    >>> text_of("a"), text_of(True)
    ('a', 'True')
    """
    shown = name_of_value(value)
    return value if isinstance(value, str) and len(value) < len(shown) else shown


class AsBool(Task):
    """Whether its input is true in Python's sense."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("checkpoint", False)
        super().__init__(**settings)

    def run(self, value: Any) -> bool:
        return bool(value)


class Merge(Task):
    """Returns the first of its inputs, in their order, that is not None."""

    shown_as: ClassVar[ShownAs] = "merge"
    echoes_inputs = True

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("skip_on_upstream_skip", False)
        settings.setdefault("trigger", triggers.not_all_skipped)
        super().__init__(**settings)

    def run(self, **task_results: Any) -> Any:
        in_order = sorted(task_results.items(), key=lambda item: _number(item[0]))
        return next((value for _, value in in_order if value is not None), None)


def _number(key: str) -> int:
    return int(key.removeprefix("task_"))


def switch(
    condition: Any, cases: Mapping[Any, Any], mapped: bool = False, flow: Any = None
) -> None:
    """Run, of several tasks, those whose key equals what a condition returned; skip the others.

    A skip goes down from each of the tasks. What stands above them runs in any case: where a whole
    branch is meant, write it inside a `case` block.

    Args:
        condition: A task, or a value.
        cases: Tasks by value.
        mapped: Whether condition and tasks are mapped, so that each child decides for itself.
        flow: The flow; when not given, that of the enclosing `with Flow` block.

    Raises:
        OutsideFlow: No flow is being written.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @task
        ... def small(): return "small"
        >>> @task
        ... def large(): return "large"
        >>> with Flow("sizes") as flow:
        ...     branches = {"S": small(), "L": large()}
        ...     switch("L", branches)
        ...     size = merge(*branches.values())
        >>> flow.run().result[size].result
        'large'
    """
    flow = _flow(flow, "switch")
    for value, task in cases.items():
        # A value of several branches is compared for each: slugs stay as the code reads.
        compare = CompareValue(value).bind(condition, mapped=mapped, flow=flow)
        flow.set_dependencies(task, upstream_tasks=[compare], mapped=mapped)


def ifelse(
    condition: Any,
    true_task: Any = None,
    false_task: Any = None,
    mapped: bool = False,
    flow: Any = None,
) -> None:
    """Run one of two tasks by whether a condition is true; skip the other.

    Args:
        condition: A task, or a value; true in Python's sense.
        true_task: Runs where it is true; may be None.
        false_task: Runs where it is not; may be None.
        mapped: As for `switch`.
        flow: As for `switch`.

    Raises:
        OutsideFlow: No flow is being written.
    """
    flow = _flow(flow, "ifelse")
    cases = {True: true_task, False: false_task}
    chosen = {value: task for value, task in cases.items() if task is not None}
    switch(AsBool().bind(condition, mapped=mapped, flow=flow), chosen, mapped=mapped, flow=flow)


def merge(*tasks: Any, flow: Any = None, mapped: bool = False, **settings: Any) -> Task:
    """Join branches again: a task that returns the first result, in this order, that is not None.

    A skipped task's result is None. Where all of them were skipped, so is the join; where one
    failed, it does not run.

    Args:
        tasks: Tasks, or values, which stand for a default when they come last.
        flow: As for `switch`.
        mapped: Whether the tasks are mapped, so that each child is joined by itself.
        settings: As for `Task`.

    Returns:
        The task.

    Raises:
        OutsideFlow: No flow is being written.
    """
    flow = _flow(flow, "merge")
    inputs = {f"task_{n}": _as_branch(task, flow) for n, task in enumerate(tasks, start=1)}
    return Merge(**settings).bind(mapped=mapped, flow=flow, **inputs)


def _as_branch(value: Any, flow: Any) -> Any:
    """A value as a task, whose success keeps the join from being skipped; a task as it is."""
    if value is None or isinstance(value, EdgeAnnotation) or holds_task(value):
        return value
    return unmapped(flow.task_for(value))


def _flow(flow: Any, what: str) -> Any:
    found = flow if flow is not None else context.get("flow")
    if found is None:
        raise OutsideFlow(what)
    return found
