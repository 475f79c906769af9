"""apply_map(): map over several tasks at once, by way of a function that builds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect_dask.engine.context import context
from prefect_dask.errors import OutsideFlow
from prefect_dask.flow import Flow
from prefect_dask.inputs import holds_task
from prefect_dask.mapping import read_marks
from prefect_dask.task import Task


def apply_map(func: Callable[..., Any], *args: Any, flow: Flow | None = None, **kwargs: Any) -> Any:
    """Call a function that builds tasks, and map all of them over the inputs.

    Args:
        func: Takes tasks, and calls tasks with them. It is called once.
        args: What to map over; what is marked `unmapped` goes whole to each child.
        flow: The flow; when not given, that of the enclosing `with Flow` block.
        kwargs: The same, by name.

    Returns:
        What `func` returned: tasks, each of which is mapped.

    Raises:
        OutsideFlow: No flow is being written.

    Example:
        >>> from prefect_dask import task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> def quadruple(x):
        ...     return double(double(x))
        >>> with Flow("quadruples") as flow:
        ...     last = apply_map(quadruple, [1, 2, 3])
        >>> all(edge.mapped for edge in flow.edges)
        True
    """
    outer = flow if flow is not None else context.get("flow")
    if outer is None:
        raise OutsideFlow(getattr(func, "__name__", "apply_map"))
    #: What has one result per child: the inputs that are mapped over, and what is built upon them.
    per_child: set[Task] = set()
    flat: set[Task] = set()

    def stand_in(given: Any) -> Any:
        value, is_mapped, is_flattened = read_marks(given, mapped=True)
        if not is_mapped and not is_flattened and not holds_task(value):
            return value
        task = outer.task_for(value)
        if is_mapped:
            per_child.add(task)
        if is_flattened:
            flat.add(task)
        return task

    inputs = [stand_in(value) for value in args]
    named = {key: stand_in(value) for key, value in kwargs.items()}
    inner = Flow(outer.name)
    with inner:
        built = func(*inputs, **named)

    for task in inner.sorted_tasks():
        if any(edge.upstream_task in per_child for edge in inner.edges_to(task)):
            per_child.add(task)
    for task in inner.tasks:
        outer.add_task(task)
    for task, constants in inner.constants.items():
        for key, value in constants.items():
            outer.set_constant(task, key, value)
    for edge in inner.edges:
        outer.add_edge(
            edge.upstream_task,
            edge.downstream_task,
            edge.key,
            mapped=edge.mapped or edge.upstream_task in per_child,
            flattened=edge.flattened or edge.upstream_task in flat,
        )
    return built
