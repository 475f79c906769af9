"""What stands as an input of a task: a task, a collection with tasks inside, or a value."""

from __future__ import annotations

from itertools import chain
from typing import Any

from prefect_dask.engine import triggers
from prefect_dask.engine.triggers import Trigger
from prefect_dask.errors import MisplacedMark
from prefect_dask.mapping import EdgeAnnotation
from prefect_dask.naming import name_of_value
from prefect_dask.task import Task
from prefect_dask.tasks.collections import Collection, Dict, List, Set, Tuple

_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
_COLLECTIONS = (list, tuple, set, frozenset, dict)


def holds_task(value: Any) -> bool:
    """Whether a value is a task, or a collection with a task somewhere inside.

    Looks into lists, tuples, sets and dicts, and into nothing else: an object of the user's own is
    a value.

    >>> holds_task([1, {"a": (Task("t"),)}]), holds_task([1, {"a": 2}])
    (True, False)
    """
    if isinstance(value, Task):
        return True
    if not isinstance(value, _COLLECTIONS):
        return False
    seen = {id(value)}
    stack: list[Any] = [value]
    while stack:
        inside = stack.pop()
        for item in chain(inside.keys(), inside.values()) if isinstance(inside, dict) else inside:
            if type(item) in _PLAIN:
                continue
            if isinstance(item, Task):
                return True
            if isinstance(item, EdgeAnnotation):
                raise MisplacedMark(
                    type(item).__name__,
                    "stands inside a collection, where it means nothing; put it around the whole "
                    "input",
                )
            if isinstance(item, _COLLECTIONS) and id(item) not in seen:
                seen.add(id(item))
                stack.append(item)
    return False


def gather(value: Any, consumer: Task | None = None) -> tuple[Collection, dict[str, Any]]:
    """The task that builds a collection like `value`, and the inputs of that task.

    Args:
        value: A list, tuple, set, frozenset or dict.
        consumer: The task whose input the collection is. What it makes of failed and skipped
            upstream tasks, the collection does too: below a task with the trigger `all_finished`, a
            list has the exceptions of failed tasks in it.
    """
    collection, items = _collection_like(value)
    if consumer is not None:
        collection.skip_on_upstream_skip = consumer.skip_on_upstream_skip
        collection.trigger = _gathering_trigger(consumer.trigger)
    return collection, items


def _collection_like(value: Any) -> tuple[Collection, dict[str, Any]]:
    if isinstance(value, dict):
        return Dict(), {"keys": list(value), **_numbered(value.values())}
    if isinstance(value, list):
        return List(), _numbered(value)
    if isinstance(value, tuple):
        return Tuple(kind=type(value)), _numbered(value)
    # A set's own order changes from process to process, and slugs must not.
    return Set(), _numbered(sorted(value, key=_name))


def _gathering_trigger(trigger: Trigger) -> Trigger:
    """The trigger of a collection whose consumer has `trigger`.

    One that hopes for failures would be misled by a list that was built in spite of them; for such
    a one the list fails with its items.
    """
    if trigger is triggers.manual_only:  # the person is asked once, at the consumer
        return triggers.all_finished
    if trigger in _INHERITED or isinstance(trigger, triggers.some_successful):
        return trigger
    return triggers.all_successful


_INHERITED = (
    triggers.all_successful,
    triggers.any_successful,
    triggers.not_all_skipped,
    triggers.all_finished,
)


def _numbered(items: Any) -> dict[str, Any]:
    return {str(index): item for index, item in enumerate(items)}


def _name(item: Any) -> str:
    return item.name if isinstance(item, Task) else name_of_value(item)
