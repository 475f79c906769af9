"""The states of a run.

Pending > Scheduled(start_time) > Paused | Resume | Retrying(run_count);  meta: Submitted, Queued
Running > Cancelling
Finished > Success > Cached | Mapped(map_states) | Skipped;  Looped(loop_count);  Cancelled
         > Failed > TimedOut | TriggerFailed | ValidationFailed | Crashed

A State is plain data. It never changes class; a run moves from one State to the next (`lawful.py`). Where a result
lies elsewhere (another process, a store), the State holds a `LazyResult` that fetches it when it is first read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from . import clock
from .errors import Travelling, UnknownStateType


class LazyResult:
    """Where a state's data lies when it is not here.

    Attributes:
        travels: Whether this goes along where the state is pickled, and not the data; whoever reads those there
            learns what they would here.
    """

    __slots__ = ()
    travels: ClassVar[bool] = False

    #: Whether to fetch it moves no result: who only shows a state may do so.
    is_at_hand: ClassVar[bool] = False

    def fetch_state(self) -> State:
        """The complete state, with its result.

        Raises:
            PrefectDaskError: It is not there any more.
        """
        raise AssertionError("each kind of place says how")

    def fetch_states(self, others: Sequence[LazyResult]) -> list[State] | None:
        """The complete states of several such places at once; None where that is not possible."""
        return None


class State:
    """What is known of a run at one moment.

    Args:
        message: One sentence for people.
        result: The value that the run returned, or the exception that ended it.
        context: Facts for people and listeners, such as the tags of the task.
        cached_inputs: The inputs that the run had, by argument name, where they are kept.
    """

    __slots__ = ("_cached_inputs", "_context", "_lazy", "_result", "_time", "message")

    color: ClassVar[str] = "#000000"
    #: Constructor arguments of the class beyond the four of every state.
    fields: ClassVar[tuple[str, ...]] = ()
    #: Says a state in HTML, for notebooks; whoever can puts it here.
    as_html: ClassVar[Callable[[State], str] | None] = None

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = message
        self._result = result
        #: A tuple stands for tags and nothing else: the states of a task share it until one is asked.
        self._context: Mapping[str, Any] | tuple[str, ...] | None = context
        self._cached_inputs = cached_inputs
        self._time = clock.now()
        self._lazy: LazyResult | None = None

    # ---- data

    @property
    def timestamp(self) -> datetime:
        """When the state was made, aware UTC."""
        return clock.to_datetime(self._time)

    @property
    def result(self) -> Any:
        """The run's value, or its exception; fetched on first reading where it lies elsewhere.

        Raises:
            ResultLost: The place where it lay is gone.
        """
        self._settle()
        return self._result

    @result.setter
    def result(self, value: Any) -> None:
        self._lazy = None
        self._result = value

    @property
    def context(self) -> dict[str, Any]:
        """Facts beside the result; `context["tags"]` are the task's tags, sorted."""
        context = self._context
        if isinstance(context, tuple):
            context = self._context = {"tags": list(context)}
        elif not isinstance(context, dict):
            context = self._context = dict(context or {})
        return context

    @context.setter
    def context(self, value: Mapping[str, Any] | None) -> None:
        self._context = value

    def tag(self, tags: tuple[str, ...]) -> None:
        """Note the task's tags, sorted, unless there are some."""
        if self._context is None:
            self._context = tags
        elif type(self._context) is not tuple:
            self.context.setdefault("tags", list(tags))

    @property
    def cached_inputs(self) -> Mapping[str, Any] | None:
        """The inputs of the run by argument name, or None where they were not kept."""
        self._settle()
        return self._cached_inputs

    @cached_inputs.setter
    def cached_inputs(self, value: Mapping[str, Any] | None) -> None:
        self._cached_inputs = value

    def _settle(self) -> None:
        if self._lazy is not None:
            whole = self._lazy.fetch_state()
            self._result, self._cached_inputs = whole._result, whole._cached_inputs
            self._lazy = None

    def data(self) -> dict[str, Any]:
        """The arguments particular to this class of state, by name."""
        return {name: getattr(self, name) for name in self.fields}

    # ---- questions

    def is_pending(self) -> bool:
        return isinstance(self, Pending)

    def is_running(self) -> bool:
        return isinstance(self, Running)

    def is_finished(self) -> bool:
        return isinstance(self, Finished)

    def is_successful(self) -> bool:
        return isinstance(self, Success)

    def is_failed(self) -> bool:
        return isinstance(self, Failed)

    def is_skipped(self) -> bool:
        return isinstance(self, Skipped)

    def is_mapped(self) -> bool:
        return isinstance(self, Mapped)

    def is_cached(self) -> bool:
        return isinstance(self, Cached)

    def is_looped(self) -> bool:
        return isinstance(self, Looped)

    def is_retrying(self) -> bool:
        return isinstance(self, Retrying)

    def is_scheduled(self) -> bool:
        return isinstance(self, Scheduled)

    def is_paused(self) -> bool:
        return isinstance(self, Paused)

    def is_cancelled(self) -> bool:
        return isinstance(self, Cancelled)

    def is_crashed(self) -> bool:
        return isinstance(self, Crashed)

    def is_queued(self) -> bool:
        return isinstance(self, Queued)

    def is_submitted(self) -> bool:
        return isinstance(self, Submitted)

    def is_meta_state(self) -> bool:
        return isinstance(self, MetaState)

    # ---- family

    @classmethod
    def children(cls) -> list[type[State]]:
        """All state classes below this one."""
        below: list[type[State]] = []
        for child in cls.__subclasses__():
            below += [child, *child.children()]
        return below

    @classmethod
    def parents(cls) -> list[type[State]]:
        """All state classes above this one, the nearest first."""
        return [c for c in cls.__mro__[1:] if issubclass(c, State)]

    # ---- as text and data

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__}: "{self.message}">'
            if self.message
            else f"<{type(self).__name__}>"
        )

    def _repr_html_(self) -> str | None:
        as_html = State.as_html
        return None if as_html is None else as_html(self)

    def __eq__(self, other: object) -> bool:
        """Same class and same data; neither message nor time count."""
        if type(self) is not type(other) or not isinstance(other, State):
            return False
        return bool(
            self.data() == other.data()
            and (self.result is other.result or self.result == other.result)
            and self.context == other.context
            and self.cached_inputs == other.cached_inputs
        )

    __hash__ = object.__hash__

    def __getstate__(self) -> dict[str, Any]:
        if self._lazy is None or not self._lazy.travels:
            self._settle()
        slots = dict(_slots_of(self))
        if isinstance(self._result, BaseException):
            slots["_result"] = Travelling(self._result)
        return slots

    def __setstate__(self, slots: dict[str, Any]) -> None:
        for name, value in slots.items():
            # A copy is not pickled, and gets what was made to travel.
            setattr(self, name, value.error if isinstance(value, Travelling) else value)

    def serialize(self) -> dict[str, Any]:
        """The state as plain JSON data; a result that is not JSON is left out and said to be.

        Returns:
            `type`, `message`, `timestamp` (ISO 8601), `context`, `result`, and the class's own fields.
            `result_omitted` is there, with the type's name, when the result is not plain JSON.
        """
        document: dict[str, Any] = {
            "type": type(self).__name__,
            "message": self.message,
            "timestamp": self.timestamp.isoformat(),
            "context": _plain(self.context, default={}),
        }
        for name, value in self.data().items():
            document[name] = _field_to_json(value)
        if _is_json(self.result):
            document["result"] = self.result
        else:
            document["result"] = None
            document["result_omitted"] = type(self.result).__qualname__
        return document

    @staticmethod
    def deserialize(document: Mapping[str, Any]) -> State:
        """The state that `serialize` wrote.

        Raises:
            UnknownStateType: `type` is missing or names no state.
        """
        kind = STATES.get(str(document.get("type")))
        if kind is None:
            raise UnknownStateType(str(document.get("type")), sorted(STATES))
        own = {name: _field_from_json(name, document.get(name)) for name in kind.fields}
        state = kind(
            document.get("message"),
            result=document.get("result"),
            context=document.get("context"),
            **own,
        )
        if document.get("timestamp"):
            state._time = clock.to_seconds(datetime.fromisoformat(document["timestamp"]))
        return state


S = TypeVar("S", bound=State)


def state_at(
    kind: type[S],
    time: float,
    message: str | None = None,
    result: Any = None,
    tags: tuple[str, ...] | None = None,
) -> S:
    """A state as of a moment, of a class without fields of its own, or whose fields are set later.

    Args:
        kind: Its class.
        time: When it was made, seconds since the epoch.
        message: One sentence for people.
        result: As for `State`.
        tags: The task's tags, sorted.
    """
    state = kind.__new__(kind)
    state.message = message
    state._result = result
    state._context = tags
    state._cached_inputs = state._lazy = None
    state._time = time
    return state


# ---- before and between runs


class Pending(State):
    """Not begun, or to be taken up again."""

    __slots__ = ()
    color = "#d3d3d3"


class Scheduled(Pending):
    """Not to begin before `start_time` (aware datetime, UTC; now when not given)."""

    __slots__ = ("start_time",)
    color = "#ffab00"
    fields: ClassVar[tuple[str, ...]] = ("start_time",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        start_time: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        moment = start_time or self.timestamp
        self.start_time: datetime = (
            moment if moment.tzinfo is not None else moment.replace(tzinfo=clock.UTC)
        )


class Paused(Scheduled):
    """Waits for somebody's word; with a `start_time`, goes on by itself at that time."""

    __slots__ = ()
    color = "#cfd8dc"

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        start_time: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, start_time or NEVER, context, cached_inputs)


class Resume(Scheduled):
    """A paused run that was told to go on."""

    __slots__ = ()
    color = "#fb8532"


class Retrying(Scheduled):
    """A failed run that will run again at `start_time`; `run_count` attempts are behind it."""

    __slots__ = ("run_count",)
    color = "#ff5722"
    fields: ClassVar[tuple[str, ...]] = ("start_time", "run_count")

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        start_time: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
        run_count: int = 1,
    ) -> None:
        super().__init__(message, result, start_time, context, cached_inputs)
        self.run_count = run_count


class MetaState(State):
    """A state around another one: what the run was before it was handed on."""

    __slots__ = ("state",)
    color = "#b0bec5"
    fields: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        state: State | None = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.state = state


class Submitted(MetaState):
    """Handed to an executor."""

    __slots__ = ()
    color = "#ffd54f"


class Queued(MetaState):
    """Waiting for a free place."""

    __slots__ = ()
    color = "#fff176"


# ---- at work


class Running(State):
    """At work."""

    __slots__ = ()
    color = "#3d67ff"


class Cancelling(Running):
    """At work, and asked to stop."""

    __slots__ = ()
    color = "#b39ddb"


# ---- over


class Finished(State):
    """Over: no move follows but those that `lawful.LAWFUL` names."""

    __slots__ = ()
    color = "#ba80ff"


class Looped(Finished):
    """One turn of a loop is over; the next follows with `loop_count` + 1."""

    __slots__ = ("loop_count",)
    color = "#8c9eff"
    fields: ClassVar[tuple[str, ...]] = ("loop_count",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        loop_count: int = 1,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.loop_count = loop_count


class Cancelled(Finished):
    """Ended by request: neither success nor failure."""

    __slots__ = ()
    color = "#bdbdbd"


class Success(Finished):
    """Over, with a result."""

    __slots__ = ()
    color = "#28a745"


class Cached(Success):
    """An earlier result, still good until `cached_result_expiration` (None: for ever)."""

    __slots__ = ("cached_parameters", "cached_result_expiration")
    color = "#34d058"
    fields: ClassVar[tuple[str, ...]] = ("cached_result_expiration",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        cached_inputs: Mapping[str, Any] | None = None,
        cached_result_expiration: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        cached_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.cached_result_expiration = cached_result_expiration
        #: The parameters of the flow run that made the result, by name, where they are known.
        self.cached_parameters = cached_parameters


class Mapped(Success):
    """A task that became children, one an item; `map_states[i]` is the state of child i.

    The result is the list of the children's results: None of one that was skipped, the exception of one that
    failed.
    """

    __slots__ = ("lengths", "map_states", "width")
    color = "#97ffff"
    fields: ClassVar[tuple[str, ...]] = ("map_states",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        map_states: Sequence[State] | None = None,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.map_states: Sequence[State] = list(map_states or [])
        #: How many children there are, also where their states are not at hand.
        self.width = len(self.map_states)
        #: Per input that is flattened: the length of each list in it.
        self.lengths: dict[int, list[int]] = {}

    @property
    def result(self) -> Any:
        """The results of the children, in order, unless another one was given."""
        if self._result is None:
            fetch_together(self.map_states)
            return [state.result for state in self.map_states]
        return super().result

    @result.setter
    def result(self, value: Any) -> None:
        self._lazy = None
        self._result = value


class Skipped(Success):
    """Not run, on purpose; counts as success."""

    __slots__ = ()
    color = "#62757f"


class Failed(Finished):
    """Over, with an exception as the result."""

    __slots__ = ()
    color = "#eb0000"


class TimedOut(Failed):
    """Did not end within its time limit."""

    __slots__ = ()
    color = "#cf1a5b"


class TriggerFailed(Failed):
    """Did not run: its trigger was not satisfied by the upstream states."""

    __slots__ = ()
    color = "#ffb3a7"


class ValidationFailed(Failed):
    """Ran, and its result was found wrong."""

    __slots__ = ()
    color = "#e57373"


class Crashed(Failed):
    """The process or worker that ran it died."""

    __slots__ = ()
    color = "#7a0019"


#: The start time of what waits for somebody's word.
NEVER = datetime(9999, 1, 1, tzinfo=clock.UTC)

_ALL: list[type[State]] = [State, *State.children()]
STATES: dict[str, type[State]] = {kind.__name__: kind for kind in _ALL}


def fetch_together(states: Sequence[State]) -> None:
    """Bring the results of states home in one go, where they lie at one place; else each when it is read."""
    waiting = [state for state in states if state._lazy is not None]
    if len(waiting) > 1:
        places = [state._lazy for state in waiting if state._lazy is not None]
        wholes = places[0].fetch_states(places)
        for state, whole in zip(waiting, wholes or (), strict=False):
            state._result, state._cached_inputs = whole._result, whole._cached_inputs
            state._lazy = None


# ---- plain data


def _slots_of(state: State) -> Iterator[tuple[str, Any]]:
    for kind in type(state).__mro__:
        for name in getattr(kind, "__slots__", ()):
            yield name, getattr(state, name)
    yield from getattr(state, "__dict__", {}).items()


def _is_json(value: Any) -> bool:
    import json

    try:
        # Keys and tuples that JSON would change count as not JSON: what is read back must be equal.
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _plain(value: Any, default: Any) -> Any:
    return value if _is_json(value) else default


def _field_to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, State):
        return value.serialize()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_field_to_json(item) for item in value]
    return value


def _field_from_json(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in ("start_time", "cached_result_expiration"):
        return datetime.fromisoformat(value)
    if name == "state":
        return State.deserialize(value)
    if name == "map_states":
        return [State.deserialize(item) for item in value]
    return value
