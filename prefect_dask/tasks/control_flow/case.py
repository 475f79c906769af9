"""case: a block of tasks that run only where another task returned a certain value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_dask.block import Block
from prefect_dask.engine.context import context
from prefect_dask.errors import OutsideFlow, WrongSettingType
from prefect_dask.inputs import holds_task
from prefect_dask.tasks.control_flow.conditional import CompareValue

if TYPE_CHECKING:
    from typing_extensions import Self


class case:
    """A block of tasks that run where a task returned a value, and are skipped where it did not.

    Only what is added to the flow inside the block belongs to it. Blocks nest, and work inside a
    function that is given to `apply_map`: then each child decides for itself.

    Args:
        task: The task, or a value.
        value: What it must be equal to.

    Raises:
        WrongSettingType: `value` is a task, which has no value while the flow is written.
        OutsideFlow: No flow is being written.

    Example:
        >>> from prefect_dask import Flow, Parameter, task
        >>> from prefect_dask.tasks.control_flow import merge
        >>> @task
        ... def say(word): return word
        >>> with Flow("greeting") as flow:
        ...     is_late = Parameter("is_late")
        ...     with case(is_late, True):
        ...         evening = say("Good evening")
        ...     with case(is_late, False):
        ...         day = say("Good day")
        ...     greeting = merge(evening, day)
        >>> flow.run(is_late=True).result[greeting].result
        'Good evening'
    """

    def __init__(self, task: Any, value: Any) -> None:
        if holds_task(value):
            raise WrongSettingType(
                "case",
                f"compares with a value, and {value!r} is a task; compare tasks with "
                "case(one.is_equal(other), True)",
            )
        self.task, self.value = task, value
        self._entered: list[tuple[CompareValue, Block]] = []

    def __enter__(self) -> Self:
        flow = context.get("flow")
        if flow is None:
            raise OutsideFlow(f"case({self.value!r})")
        compare = CompareValue(self.value).bind(self.task)
        self._entered.append((compare, Block(flow).__enter__()))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        compare, block = self._entered.pop()
        block.__exit__()
        if kind is None:
            # A skip goes down from what begins the block.
            for task in block.first_tasks():
                block.flow.add_edge(compare, task)
