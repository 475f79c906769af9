"""resource_manager: what is set up before a block of tasks and cleaned up after it, whatever happens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, overload

from prefect_dask.block import Block
from prefect_dask.engine.context import context
from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.signals import SKIP
from prefect_dask.engine.triggers import UpstreamStates, what_became_of
from prefect_dask.errors import OutsideFlow, WrongSetting
from prefect_dask.pickling import Place, function_by_name, function_named
from prefect_dask.task import Task

if TYPE_CHECKING:
    from typing_extensions import Self


class ResourceTask(Task):
    """What makes, sets up or cleans up a resource: it decides nothing, and outlives no run."""

    decides_outcome: ClassVar[bool] = False
    runs_anew: ClassVar[bool] = True
    shown_as: ClassVar[ShownAs] = "set-up"

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("checkpoint", False)
        super().__init__(**settings)


class ResourceInitTask(ResourceTask):
    """Makes the manager of a resource from its arguments.

    Args:
        resource_class: The class of the manager.
        settings: As for `Task`.
    """

    run: Callable[..., Any]

    def __init__(self, resource_class: type, **settings: Any) -> None:
        self.run = _Maker(resource_class)
        super().__init__(**settings)


class ResourceSetupTask(ResourceTask):
    """Returns the resource."""

    def run(self, manager: Any) -> Any:
        return manager.setup()


class ResourceCleanupTask(ResourceTask):
    """Cleans up after a block of tasks, where the resource was set up."""

    cleans_up: ClassVar[bool] = True
    shown_as: ClassVar[ShownAs] = "clean-up"

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("trigger", was_set_up)
        settings.setdefault("skip_on_upstream_skip", False)
        super().__init__(**settings)

    def run(self, manager: Any, resource: Any) -> Any:
        return manager.cleanup(resource)


def was_set_up(upstream: UpstreamStates) -> bool:
    """The trigger of a clean-up: run when there is something to clean up; else be skipped."""
    for edge, state in upstream.items():
        if edge.key in ("manager", "resource") and (
            state.is_skipped() or not state.is_successful()
        ):
            why = what_became_of(edge.upstream_task.name, state)
            raise SKIP(f"there is nothing to clean up: {why}")
    return True


class _Maker:
    """Calls a class; has its signature, and is found by its name where the class is hidden behind that."""

    def __init__(self, resource_class: Callable[..., Any]) -> None:
        self.resource_class = resource_class
        self.__name__ = resource_class.__name__
        self.__signature__ = inspect.signature(resource_class)

    def __call__(self, **given: Any) -> Any:
        return self.resource_class(**given)

    def __reduce__(self) -> tuple[Any, ...]:
        place = function_named(self.resource_class)
        return (_Maker, (self.resource_class,)) if place is None else (_maker_at, (place,))


def _maker_at(place: Place) -> _Maker:
    return _Maker(function_by_name(place))


class ResourceManager:
    """A class that manages a resource, ready to be used in flows; `resource_manager` makes it.

    Args:
        resource_class: Has `setup()`, which returns the resource, and `cleanup(resource)`.
        name: Names the tasks; the class's name when not given.
        init_task_kwargs: Settings of the task that makes the manager, as for `Task`.
        setup_task_kwargs: Settings of the task that sets up.
        cleanup_task_kwargs: Settings of the task that cleans up.

    Raises:
        WrongSetting: The class has no such methods; it is a ValueError.
    """

    def __init__(
        self,
        resource_class: type,
        name: str | None = None,
        init_task_kwargs: Mapping[str, Any] | None = None,
        setup_task_kwargs: Mapping[str, Any] | None = None,
        cleanup_task_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        for method in ("setup", "cleanup"):
            if not callable(getattr(resource_class, method, None)):
                raise WrongSetting(
                    f"resource_manager({resource_class.__name__})",
                    f"the class has no method {method!r}; it needs setup() and cleanup(resource)",
                )
        self.resource_class = resource_class
        self.name = name or resource_class.__name__
        self.init_task_kwargs = {"name": self.name, **(init_task_kwargs or {})}
        self.setup_task_kwargs = {"name": f"{self.name}.setup", **(setup_task_kwargs or {})}
        self.cleanup_task_kwargs = {"name": f"{self.name}.cleanup", **(cleanup_task_kwargs or {})}
        update_wrapper(self, resource_class, updated=())

    def __call__(self, *args: Any, flow: Any = None, **kwargs: Any) -> ResourceContext:
        """Add the tasks of a resource to a flow; arguments are those of the class.

        Args:
            args: Arguments by position: tasks or values.
            flow: The flow; when not given, that of the enclosing `with Flow` block.
            kwargs: Arguments by name.

        Returns:
            A context manager, within which tasks wait for the set-up.

        Raises:
            OutsideFlow: No flow is being written.
            WrongArguments: The class does not take these arguments.
        """
        flow = flow if flow is not None else context.get("flow")
        if flow is None:
            raise OutsideFlow(self.name)
        manager = ResourceInitTask(self.resource_class, **self.init_task_kwargs)
        manager.bind(*args, flow=flow, **kwargs)
        setup = ResourceSetupTask(**self.setup_task_kwargs).bind(manager, flow=flow)
        cleanup = ResourceCleanupTask(**self.cleanup_task_kwargs).bind(manager, setup, flow=flow)
        return ResourceContext(manager, setup, cleanup, flow)

    def __repr__(self) -> str:
        return f"<ResourceManager: {self.name}>"


class ResourceContext:
    """A block of tasks that use a resource; `as` gives the task whose result that is.

    Attributes:
        init_task: Makes the manager.
        setup_task: Sets up; its result is the resource.
        cleanup_task: Cleans up when the tasks of the block are finished.
    """

    def __init__(self, init_task: Task, setup_task: Task, cleanup_task: Task, flow: Any) -> None:
        self.init_task, self.setup_task, self.cleanup_task = init_task, setup_task, cleanup_task
        self._flow = flow
        self._block: Block | None = None

    def __enter__(self) -> Task:
        self._block = Block(self._flow).__enter__()
        return self.setup_task

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        block, self._block = self._block, None
        assert block is not None, "__enter__ comes first"
        block.__exit__()
        if kind is None:
            self.add(block)

    def add(self, block: Block) -> Self:
        """Put a block of tasks between set-up and clean-up."""
        flow = block.flow
        first, last = block.first_tasks(), block.last_tasks()
        for task in first:
            if self.setup_task not in flow.upstream_tasks(task):
                flow.add_edge(self.setup_task, task)
        for task in last:
            flow.add_edge(task, self.cleanup_task)
        return self


@overload
def resource_manager(resource_class: type) -> ResourceManager: ...


@overload
def resource_manager(
    resource_class: None = None,
    *,
    name: str | None = None,
    init_task_kwargs: Mapping[str, Any] | None = None,
    setup_task_kwargs: Mapping[str, Any] | None = None,
    cleanup_task_kwargs: Mapping[str, Any] | None = None,
) -> Callable[[type], ResourceManager]: ...


def resource_manager(resource_class: type | None = None, **settings: Any) -> Any:
    """Make a class manage a resource of flows: `@resource_manager`, or with settings in brackets.

    The set-up runs before the tasks of the block. The clean-up runs when all of them are finished,
    also when some failed; it is skipped when the set-up did not succeed. Neither decides the flow's
    state, and a run that goes on from earlier states does both again.

    Args:
        resource_class: Has `setup()`, which returns the resource, and `cleanup(resource)`.
        settings: As for `ResourceManager`.

    Example:
        >>> from prefect_dask import Flow, task
        >>> @resource_manager
        ... class Numbers:
        ...     def __init__(self, count):
        ...         self.count = count
        ...     def setup(self):
        ...         return list(range(self.count))
        ...     def cleanup(self, numbers):
        ...         numbers.clear()
        >>> @task
        ... def total(numbers):
        ...     return sum(numbers)
        >>> with Flow("sum") as flow:
        ...     with Numbers(4) as numbers:
        ...         six = total(numbers)
        >>> flow.run().result[six].result
        6
    """
    if resource_class is None:
        return lambda cls: ResourceManager(cls, **settings)
    return ResourceManager(resource_class, **settings)
