"""Task and @task: a function with a name, a trigger and a retry rule."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    cast,
    overload,
)

from prefect_dask.engine.context import context
from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import State
from prefect_dask.engine.triggers import Trigger, all_successful
from prefect_dask.errors import (
    NotIterable,
    OutsideFlow,
    WrongArguments,
    WrongSetting,
    WrongSettingType,
)
from prefect_dask.operators import Operators
from prefect_dask.pickling import function_by_name, function_named
from prefect_dask.retry_settings import RetryDelay, as_delays, as_types, default, retry_rule
from prefect_dask.signature import (
    RunSignature,
    length_of_returned_tuple,
    signature_of_function,
    signature_of_run,
    types_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

P = ParamSpec("P")
R = TypeVar("R")

StateHandler = Callable[[Any, State, State], State | None]


class FlowLike(Protocol):
    """What a task asks of the flow that it is bound in."""

    name: str

    def set_dependencies(
        self,
        task: Any,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        *,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None: ...

    def add_edge(
        self,
        upstream_task: Any,
        downstream_task: Any,
        key: str | None = None,
        *,
        mapped: bool = False,
    ) -> Any: ...

    def task_was_made(self, task: Any) -> None: ...

    def task_was_used(self, task: Any) -> None: ...


class TaskSettings(TypedDict, total=False):
    """What `@task(...)` takes; `Task` says what each of them means."""

    name: str | None
    slug: str | None
    tags: Iterable[str] | None
    max_retries: int | None
    retry_delay: RetryDelay | None
    retry_on: type[BaseException] | Iterable[type[BaseException]] | None
    retry_jitter: float
    timeout: float | timedelta | None
    isolation: Literal["process"] | None
    trigger: Trigger | None
    skip_on_upstream_skip: bool
    cache_for: timedelta | None
    cache_validator: Callable[..., bool] | None
    cache_key: str | None
    checkpoint: bool | None
    durable: bool | Literal["auto"] | None
    result: Any
    target: str | Callable[..., str] | None
    state_handlers: Sequence[StateHandler] | None
    on_failure: Callable[[Any, State], Any] | None
    log_stdout: bool
    task_run_name: str | Callable[..., str] | None
    nout: int | None
    max_in_flight: int | None
    batch: int | None


class Task(Operators["Task"]):
    """A step of a flow: what it does stands in its `run` method, which a subclass writes.

    Calling a task inside a `with Flow` block adds a copy of it to the flow, bound to the inputs of
    the call.

    Args:
        name: The task's name; the class's name when not given.
        slug: The task's name within a flow, unique there; the flow makes one when not given.
        tags: Words to find the task by; those of enclosing `tags()` blocks are added.
        max_retries: How often a failed run is tried again.
        retry_delay: The time before a retry: a timedelta or seconds; a list of them, one an attempt
            (the last one repeats); or a function of the number of the attempt that failed, from 1,
            which gives a timedelta.
        retry_on: The exception type or types that are worth a retry; any when not given.
        retry_jitter: The share of the delay, 0 to 1, that is added or taken off at random.
        timeout: The time limit of one attempt, a timedelta or seconds.
        isolation: "process" runs the body in a process of its own, which is stopped at the time
            limit.
        trigger: Says from the upstream states whether the task runs; see `triggers`.
        skip_on_upstream_skip: Whether the task is skipped when an upstream task was.
        cache_for: How long a result is good for later runs.
        cache_validator: Says whether an earlier result is still good.
        cache_key: Shares earlier results between tasks that have the same key.
        checkpoint: Whether the result is written; when not given, as the configuration says.
        durable: Whether the result is kept so that the run can be taken up again: "auto" where that can be done,
            True fails the task run where it cannot, False says that it is cheap to make again. As the flow says
            when not given.
        result: Where and how the result is written.
        target: The location of a result that, where it exists, makes running unnecessary.
        state_handlers: Called with (task, old state, new state) at each change; may return another
            state.
        on_failure: Called with (task, state) once per failed attempt.
        log_stdout: Whether what the task prints goes to the log.
        task_run_name: The name of a run, a template or a function of the inputs.
        nout: How many values `run` returns, so that the task can be unpacked.
        max_in_flight: Where the task is mapped: at most so many children are, at any time, between their
            start and the end of what is mapped over them; no limit when not given.
        batch: Where the task is mapped and runs on a Dask cluster: so many children are one Dask task, which
            is faster where they are short; each has its own state, retries and log lines all the same.

    Raises:
        WrongSetting: An argument cannot be, or contradicts another one; it is a ValueError.
        TypeError: An argument is of a type that cannot be used.

    Example:
        >>> class Add(Task):
        ...     def run(self, x: int, y: int = 1) -> int:
        ...         return x + y
        >>> Add(name="sum", max_retries=2, retry_delay=5)
        <Task: sum>
    """

    #: A task that builds a collection of its inputs, made by the flow around a list of tasks.
    gathers: ClassVar[bool] = False
    #: Whether the task's state can decide the flow's, where nobody says which tasks do.
    decides_outcome: ClassVar[bool] = True
    #: Whether the task runs again where a run is given a finished state of it: what it made, such as
    #: a connection, is gone with the run before.
    runs_anew: ClassVar[bool] = False
    #: Whether the task runs also where its run is cancelled, once what it takes was made.
    cleans_up: ClassVar[bool] = False
    #: Whether what the task returns is for no eyes but those of the tasks that take it.
    is_secret: ClassVar[bool] = False
    #: What pictures show the task as.
    shown_as: ClassVar[ShownAs] = "task"
    #: Whether what the task returns is made of its inputs and of nothing else: it is secret where one
    #: of them is.
    echoes_inputs: bool = False

    name: str
    tags: set[str]
    timeout_seconds: float | None
    retry_delay: timedelta | Sequence[timedelta] | Callable[[int], timedelta] | None
    retry_on: tuple[type[BaseException], ...] | None
    isolation: Literal["process"] | None

    def __init__(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        *,
        max_retries: int | None = None,
        retry_delay: RetryDelay | None = None,
        retry_on: type[BaseException] | Iterable[type[BaseException]] | None = None,
        retry_jitter: float = 0.0,
        timeout: float | timedelta | None = None,
        isolation: Literal["process"] | None = None,
        trigger: Trigger | None = None,
        skip_on_upstream_skip: bool = True,
        cache_for: timedelta | None = None,
        cache_validator: Callable[..., bool] | None = None,
        cache_key: str | None = None,
        checkpoint: bool | None = None,
        durable: bool | Literal["auto"] | None = None,
        result: Any = None,
        target: str | Callable[..., str] | None = None,
        state_handlers: Sequence[StateHandler] | None = None,
        on_failure: Callable[[Any, State], Any] | None = None,
        log_stdout: bool = False,
        task_run_name: str | Callable[..., str] | None = None,
        nout: int | None = None,
        max_in_flight: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.name = name or type(self).__name__
        self.slug = slug
        if isinstance(tags, str):
            raise WrongSettingType(
                repr(self), f"tags must be a set of words, got the word {tags!r}"
            )
        self.tags = set(tags or ()) | (context.get("tags") or frozenset())

        self.max_retries, self.retry_delay = retry_rule(self.name, max_retries, retry_delay)
        self.retry_on = as_types(retry_on)
        self.retry_jitter = retry_jitter
        self.timeout = timeout if timeout is not None else default("timeout")
        self.isolation = isolation

        self.trigger: Trigger = trigger or all_successful
        self.skip_on_upstream_skip = skip_on_upstream_skip

        self.cache_for = cache_for
        self.cache_validator = cache_validator
        self.cache_key = cache_key
        self.checkpoint = checkpoint
        self.durable = durable
        self.result = result
        self.target = target

        if isinstance(state_handlers, str) or callable(state_handlers):
            raise WrongSettingType(
                repr(self), f"state_handlers must be a list of functions, got {state_handlers!r}"
            )
        self.state_handlers: list[StateHandler] = list(state_handlers or ())
        self.on_failure = on_failure
        self.log_stdout = log_stdout
        self.task_run_name = task_run_name

        self.max_in_flight = max_in_flight
        self.batch = batch
        if nout is None:
            nout = length_of_returned_tuple(self.run)
        self.nout = nout
        self._check_settings()
        flow: FlowLike | None = context.get("flow")
        if flow is not None:
            flow.task_was_made(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "run" in cls.__dict__:
            signature_of_run(cls)

    def _check_settings(self) -> None:
        """Refuse what contradicts itself, whether it came with the constructor or with copy()."""
        if self.max_retries > 0 and self.retry_delay is None:
            raise WrongSetting(repr(self), "max_retries needs a retry_delay; retry_delay=0 is one")
        if not self.max_retries and self.retry_delay is not None:
            raise WrongSetting(repr(self), "retry_delay needs max_retries above 0")
        if not self.max_retries and self.retry_on is not None:
            raise WrongSetting(repr(self), "retry_on needs max_retries above 0")
        for kind in self.retry_on or ():
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise WrongSettingType(
                    repr(self), f"retry_on must name exception types, got {kind!r}"
                )
        if not 0 <= self.retry_jitter <= 1:
            raise WrongSetting(
                repr(self), f"retry_jitter is a share from 0 to 1, got {self.retry_jitter}"
            )
        if self.isolation not in (None, "process"):
            raise WrongSetting(
                repr(self), f'isolation can be "process" or None, got {self.isolation!r}'
            )
        if not callable(self.trigger):
            raise WrongSettingType(
                repr(self),
                f"trigger must be a function of the upstream states, got {self.trigger!r}",
            )
        if self.durable not in (None, True, False, "auto"):
            raise WrongSetting(
                repr(self), f'durable can be True, False or "auto", got {self.durable!r}'
            )
        for name in ("max_in_flight", "batch"):
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or count < 1):
                raise WrongSetting(
                    repr(self), f"{name} is a number of children, 1 or more, got {count!r}"
                )
        if self.nout is not None and (not isinstance(self.nout, int) or self.nout < 0):
            raise WrongSetting(
                repr(self), f"nout is a number of values, 0 or more, got {self.nout!r}"
            )

    # ---- what it does

    if TYPE_CHECKING:

        def run(self, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def run(self) -> None:
            """Do the task's work; a subclass says what that is, its arguments are the inputs."""

    def signature(self) -> RunSignature:
        """The arguments that `run` takes."""
        own = self.__dict__.get("run")
        return (
            signature_of_run(type(self)) if own is None else signature_of_function(own, self.name)
        )

    def own_facts(self) -> dict[str, Any]:
        """What this task holds beyond the settings that every task has; for a cache a part of its code.

        A subclass leaves out what does not sway its result, such as an open connection.
        """
        return {
            name: value
            for name, value in vars(self).items()
            if name not in SETTINGS and not name.startswith("__")
        }

    def inputs(self) -> dict[str, dict[str, Any]]:
        """What `run` takes: per argument its `type` (Any without one), `required`, `default`."""
        types = types_of(self.run)
        return {
            parameter.name: {
                "type": types.get(parameter.name, Any),
                "required": parameter.default is parameter.empty,
                "default": None if parameter.default is parameter.empty else parameter.default,
            }
            for parameter in inspect.signature(self.run).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        }

    def outputs(self) -> Any:
        """The type that `run` returns by its annotation; Any without one."""
        return types_of(self.run).get("return", Any)

    @property
    def timeout(self) -> float | timedelta | None:
        """The time limit of one attempt, as it was given; `timeout_seconds` has it in seconds."""
        return self._timeout

    @timeout.setter
    def timeout(self, limit: float | timedelta | None) -> None:
        seconds: float | None
        if limit is None:
            seconds = None
        elif isinstance(limit, timedelta):
            seconds = limit.total_seconds()
        elif isinstance(limit, int | float) and not isinstance(limit, bool):
            seconds = float(limit)
        else:
            raise WrongSettingType(
                repr(self), f"timeout must be a timedelta or a number of seconds, got {limit!r}"
            )
        if seconds is not None and not seconds > 0:
            raise WrongSetting(repr(self), f"timeout must be above 0, got {limit}")
        self._timeout, self.timeout_seconds = limit, seconds

    @property
    def logger(self) -> logging.Logger:
        """Where the task's own lines go."""
        return get_logger(self.name)

    # ---- into a flow

    def copy(self, **task_args: Any) -> Self:
        """A copy with other settings, and with the tags of enclosing `tags()` blocks.

        Raises:
            AttributeError: The task has no such setting.
        """
        new = object.__new__(type(self))
        # A dict that is updated keeps twice the room that it needs, and there is one for each task of a flow.
        new.__dict__ = dict(self.__dict__)
        tags: frozenset[str] | None = context.get("tags")
        new.tags = self.tags | tags if tags else set(self.tags)
        new.state_handlers = list(self.state_handlers)
        if task_args:
            new._change(task_args)
        flow: FlowLike | None = context.get("flow")
        if flow is not None:
            flow.task_was_used(self)
        return new

    def _change(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            if not hasattr(self, name):
                raise AttributeError(f"{self!r} has no setting {name!r}")
            if name == "tags":
                if isinstance(value, str):
                    raise WrongSettingType(
                        repr(self), f"tags must be a set of words, got the word {value!r}"
                    )
                value = set(value) | (context.get("tags") or frozenset())
            elif name == "retry_delay":
                value = as_delays(repr(self), value)
            elif name == "retry_on":
                value = as_types(value)
            setattr(self, name, value)
        self._check_settings()

    def __call__(
        self,
        *args: Any,
        mapped: bool = False,
        task_args: Mapping[str, Any] | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowLike | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a copy of this task to the flow, bound to these inputs.

        Args:
            args: Inputs by position. An input is a task, whose result it will be; a value; or a
                list, tuple, set or dict with tasks inside.
            mapped: Whether the task runs once for each item of its inputs.
            task_args: Settings in which the copy differs.
            upstream_tasks: Tasks to wait for, whose results are not inputs.
            flow: The flow; when not given, that of the enclosing `with Flow` block.
            kwargs: Inputs by name.

        Returns:
            The copy.

        Raises:
            OutsideFlow: No flow is being written.
            WrongArguments: `run` does not take these inputs; it is a TypeError.
        """
        new = self.copy(**task_args) if task_args else self.copy()
        return new._bind(args, kwargs, mapped=mapped, upstream_tasks=upstream_tasks, flow=flow)

    def bind(
        self,
        *args: Any,
        mapped: bool = False,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Add this very task to the flow, bound to these inputs; arguments as for a call.

        Returns:
            The task.
        """
        return self._bind(args, kwargs, mapped=mapped, upstream_tasks=upstream_tasks, flow=flow)

    def _bind(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        mapped: bool,
        upstream_tasks: Iterable[Any] | None,
        flow: FlowLike | None,
    ) -> Self:
        flow = self._flow(flow)
        try:
            inputs = self.signature().bind(args, kwargs)
        except TypeError as exc:
            raise WrongArguments(flow.name, self.name, str(exc)) from exc
        flow.set_dependencies(
            self, upstream_tasks=upstream_tasks, keyword_tasks=inputs, mapped=mapped
        )
        return self

    def map(
        self,
        *args: Any,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowLike | None = None,
        task_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a copy of this task that runs once for each item of its inputs.

        Inputs marked `unmapped` go whole to each run; the width is that of the shortest of the
        others.

        A keyword `batch` is the setting of that name, unless `run` has an input called so.

        Returns:
            The copy.
        """
        settings = dict(task_args or {})
        if "batch" in kwargs and "batch" not in self.inputs():
            settings["batch"] = kwargs.pop("batch")
        new = self.copy(**settings)
        return new._bind(args, kwargs, mapped=True, upstream_tasks=upstream_tasks, flow=flow)

    def pipe(self, other: Task, /, **kwargs: Any) -> Task:
        """`other(self, **kwargs)`, so that steps read in order: `load().pipe(clean).pipe(save)`."""
        return other(self, **kwargs)

    def set_upstream(
        self, task: Any, flow: FlowLike | None = None, key: str | None = None, mapped: bool = False
    ) -> None:
        """Make this task wait for another, and, with a key, receive its result as that argument."""
        keywords = {} if key is None else {key: task}
        self.set_dependencies(
            flow,
            upstream_tasks=[task] if key is None else [],
            keyword_tasks=keywords,
            mapped=mapped,
        )

    def set_downstream(
        self, task: Any, flow: FlowLike | None = None, key: str | None = None, mapped: bool = False
    ) -> None:
        """Make another task wait for this one, and, with a key, receive its result as that."""
        self._flow(flow).add_edge(self, task, key=key, mapped=mapped)

    def set_dependencies(
        self,
        flow: FlowLike | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None:
        """Say what this task waits for and what waits for it; see `Flow.set_dependencies`."""
        self._flow(flow).set_dependencies(
            self,
            upstream_tasks=upstream_tasks,
            downstream_tasks=downstream_tasks,
            keyword_tasks=keyword_tasks,
            mapped=mapped,
            validate=validate,
        )

    def _flow(self, flow: FlowLike | None) -> FlowLike:
        found = flow if flow is not None else cast("FlowLike | None", context.get("flow"))
        if found is None:
            raise OutsideFlow(self.name)
        return found

    # ---- operators

    def _operate(self, function: Callable[..., Any], name: str, /, **inputs: Any) -> Task:
        made = FunctionTask(function, name=name, checkpoint=False)
        made.echoes_inputs = True
        return made.bind(**inputs)

    def _wait_for(self, other: Any) -> None:
        self.set_upstream(other)

    def __iter__(self) -> Iterator[Task]:
        if self.nout is None:
            raise NotIterable(self.name)
        return iter([self[index] for index in range(self.nout)])

    def __repr__(self) -> str:
        return f"<Task: {self.__dict__.get('name', type(self).__name__)}>"

    def _repr_html_(self) -> str:
        from prefect_dask.notebook.tasks import task_html

        return task_html(self)

    def serialize(self) -> dict[str, Any]:
        """Settings, inputs and output as plain JSON data; by name what JSON cannot say."""
        from prefect_dask.documents import task_document

        return task_document(self)


#: The attributes by which `Task` keeps its settings.
SETTINGS = frozenset(inspect.signature(Task.__init__).parameters) | {
    "_timeout",
    "run",
    "timeout_seconds",
}


class FunctionTask(Task, Generic[P, R]):
    """A task made from a function, whose signature and docstring it keeps.

    Args:
        fn: The function.
        name: The task's name; the function's name when not given.
        settings: As for `Task`.
    """

    #: The function itself, with its own signature.
    run: Callable[P, R]

    def __init__(self, fn: Callable[P, R], name: str | None = None, **settings: Any) -> None:
        if not callable(fn):
            raise WrongSettingType("@task", f"makes a task from a function, got {fn!r}")
        own_name = name or getattr(fn, "__name__", None) or type(fn).__name__
        if inspect.iscoroutinefunction(fn):
            raise WrongSetting(
                f"<Task: {own_name}>",
                "it is an async function, which tasks cannot be yet; call asyncio.run() inside a "
                "plain one",
            )
        signature_of_function(fn, own_name)
        self.run = fn
        super().__init__(name=own_name, **settings)
        update_wrapper(self, fn)
        # One without spare room is copied in a third of the time.
        self.__dict__ = dict(self.__dict__)

    def __getstate__(self) -> dict[str, Any]:
        # The name that a module gives the function stands for this task, so pickle would not find
        # the function there and would copy it, and all that it refers to.
        state = dict(self.__dict__)
        place = function_named(self.run)
        if place is not None:
            state["run"] = state["__wrapped__"] = place
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["run"], tuple):
            state["run"] = state["__wrapped__"] = function_by_name(state["run"])
        self.__dict__.update(state)


@overload
def task(fn: Callable[P, R], /, **settings: Unpack[TaskSettings]) -> FunctionTask[P, R]: ...


@overload
def task(
    fn: None = None, /, **settings: Unpack[TaskSettings]
) -> Callable[[Callable[P, R]], FunctionTask[P, R]]: ...


def task(fn: Any = None, /, **settings: Any) -> Any:
    """Make a task from a function: `@task`, or `@task(max_retries=3)` with settings of `Task`.

    Example:
        >>> @task(tags={"io"})
        ... def load(path: str) -> str:
        ...     '''Read a file.'''
        ...     return open(path).read()
        >>> load, load.__doc__
        (<Task: load>, 'Read a file.')
    """
    if fn is None:
        return lambda function: FunctionTask(function, **settings)
    return FunctionTask(fn, **settings)
