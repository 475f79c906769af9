"""FilterTask: the items of a list that pass a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect_dask.engine import triggers
from prefect_dask.task import Task


def is_a_result(value: Any) -> bool:
    """Whether a value is what a task returned: neither None nor an exception.

    >>> [is_a_result(value) for value in (0, None, ValueError("no"))]
    [True, False, False]
    """
    return value is not None and not isinstance(value, BaseException)


class FilterTask(Task):
    """Keeps the items of a list for which a function is true, most often below a mapped task.

    It runs whatever became of the tasks above: a failed one's item is its exception, a skipped
    one's None, and both are left out unless another test says otherwise.

    Args:
        filter_func: The test; `is_a_result` when not given.
        log_func: Is called with each item that is left out; what it returns is logged.
        settings: As for `Task`.

    Example:
        >>> FilterTask(filter_func=lambda number: number > 1).run([1, 2, 3])
        [2, 3]
    """

    def __init__(
        self,
        filter_func: Callable[[Any], Any] | None = None,
        log_func: Callable[[Any], Any] | None = None,
        **settings: Any,
    ) -> None:
        self.filter_func = filter_func or is_a_result
        self.log_func = log_func
        settings.setdefault("trigger", triggers.all_finished)
        settings.setdefault("skip_on_upstream_skip", False)
        super().__init__(**settings)

    def run(self, task_results: list[Any]) -> list[Any]:
        kept = []
        for item in task_results:
            if self.filter_func(item):
                kept.append(item)
            elif self.log_func is not None:
                self.logger.info("%s", self.log_func(item))
        return kept
