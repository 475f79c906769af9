"""What a running task may ask about its run: `context.map_index`, `context.logger`, `context.today`, …

The context belongs to a thread: a stack of frames, the top one asked first. Entering a frame copies nothing, and
the facts of a task run (dates, loggers, names) are only made when somebody asks for them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from . import clock
from .cancellation import Cancellation
from .logs import get_logger
from .result import ResultRules

if TYPE_CHECKING:
    from .graph import Node

#: What stays with the flow that is being written, and is not handed on to its runs.
AUTHORING = ("block", "flow", "mapped", "tags")

#: What a task run knows as None when there is nothing to know.
NONE_AT_FIRST = ("map_index", "task_loop_result")


class Stack(threading.local):
    """The frames of one thread, the uppermost last; `TaskFacts` may lie on top."""

    def __init__(self) -> None:
        self.frames: list[Any] = [{}]


_stack = Stack()


class Context(MutableMapping[str, Any]):
    """The facts of the moment, by attribute or by key; used as `with context(name=value):` too.

    Each thread has its own. A missing attribute raises AttributeError; `context.get(name)` gives None instead.
    """

    __slots__ = ()

    # ---- frames

    def __call__(self, facts: Mapping[str, Any] | None = None, /, **more: Any) -> FrameGuard:
        """A context manager within which `facts` are known."""
        return FrameGuard(self, {**(facts or {}), **more})

    def push_frames(self, *frames: Mapping[str, Any]) -> None:
        """Put frames on top, the last one uppermost, as they are; `pop_frames` takes them off again."""
        made: list[Any] = self.frames_here()
        made.extend(frames)

    def pop_frames(self, count: int) -> None:
        """Take the top frames off."""
        del self.stack_here()[-count:]

    def stack_here(self) -> list[Any]:
        """The stack of this thread, the top last: for who puts something on and takes it off himself.

        What stands for the three frames of a task run may lie on top (`TaskFacts`).
        """
        return _stack.frames

    def frames_here(self) -> list[MutableMapping[str, Any]]:
        """The frames of this thread, the uppermost last, all of them made."""
        frames = _stack.frames
        top = frames[-1]
        if type(top) is tuple:
            run, node, map_index = top
            # The uppermost takes what the body sets; what the caller passed wins over the rest.
            frames[-1:] = (TaskFrame(run, node, map_index), run.caller, {})
        return frames

    def snapshot(self) -> dict[str, Any]:
        """What a run started here inherits: what users put here, but for the flow being written.

        The facts of a task run around it are its own, and stay behind.
        """
        facts: dict[str, Any] = {}
        for frame in self.frames_here():
            if not isinstance(frame, LazyFrame):
                facts.update(frame)
        return {key: value for key, value in facts.items() if key not in AUTHORING}

    # ---- reading

    def __getitem__(self, key: str) -> Any:
        for frame in reversed(self.frames_here()):
            try:
                return frame[key]
            except KeyError:
                continue
        raise KeyError(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"the context has no {name!r}; use context.get({name!r}) where it may be missing"
            ) from None

    def get(self, key: str, default: Any = None) -> Any:
        """The fact of this name, or the default where there is none.

        Outside a map, and at the first turn of a loop, there is no index and no result of the last
        turn: then the default is given for these too.
        """
        value = super().get(key, default)
        return default if value is None and key in NONE_AT_FIRST else value

    def __iter__(self) -> Iterator[str]:
        seen: dict[str, None] = {}
        for frame in self.frames_here():
            seen.update(dict.fromkeys(frame))
        return iter(seen)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return any(key in frame for frame in self.frames_here())

    def to_dict(self) -> dict[str, Any]:
        """All facts, those not asked for yet included."""
        return dict(self)

    def __repr__(self) -> str:
        # Names only: values may be secrets.
        return f"<Context: {', '.join(sorted(self))}>"

    def __reduce__(self) -> str:
        # A function that mentions the context finds the one of the process that it comes to.
        return "context"

    # ---- writing: into the top frame

    def __setitem__(self, key: str, value: Any) -> None:
        self.frames_here()[-1][key] = value

    def __delitem__(self, key: str) -> None:
        del self.frames_here()[-1][key]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


class FrameGuard:
    """Puts frames on the context of the thread that enters it, and takes them off at the end."""

    __slots__ = ("context", "frames")

    def __init__(self, context: Context, *frames: Mapping[str, Any]) -> None:
        self.context, self.frames = context, frames

    def __enter__(self) -> Context:
        self.context.push_frames(*self.frames)
        return self.context

    def __exit__(self, *_: object) -> None:
        self.context.pop_frames(len(self.frames))


context = Context()


@dataclass(frozen=True)
class RunInfo:
    """The facts of one flow run, the same for all its tasks. Travels to each worker once."""

    flow_name: str
    flow_run_id: str
    flow_run_name: str
    parameters: Mapping[str, Any]
    scheduled_start_time: datetime
    #: What the caller passed or had in his own context; wins over all else.
    caller: Mapping[str, Any] = field(default_factory=dict, repr=False)  # secrets are in it
    log_level: int = logging.INFO
    results: ResultRules = field(default_factory=ResultRules)
    #: Whether its bodies in this process are asked to end.
    cancellation: Cancellation = field(default_factory=Cancellation, repr=False, compare=False)


#: Stands for the frames of a task run while nobody asks for them: the run, the task, which child.
TaskFacts: TypeAlias = "tuple[RunInfo, Node, int]"


class LazyFrame(dict[str, Any]):
    """A frame that makes its facts when they are first asked for."""

    __slots__ = ()

    makers: Mapping[str, Callable[[Any], Any]] = {}

    def __missing__(self, key: str) -> Any:
        maker = self.makers.get(key)
        if maker is None:
            raise KeyError(key)
        value = self[key] = maker(self)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*super().keys(), *self.makers]))

    def __contains__(self, key: object) -> bool:
        return key in self.makers or super().__contains__(key)


class TaskFrame(LazyFrame):
    """What one task run may ask: its names, counts, dates and logger."""

    __slots__ = ("map_index", "node", "run")

    def __init__(
        self, run: RunInfo, node: Node, map_index: int, facts: Mapping[str, Any] | None = None
    ) -> None:
        if facts:
            self.update(facts)
        self.run, self.node, self.map_index = run, node, map_index

    def __missing__(self, key: str) -> Any:
        # This one changes: it is asked for anew each time.
        return self.is_cancelled if key == "cancelled" else super().__missing__(key)

    @property
    def full_name(self) -> str:
        return self.node.label.run_name(self.map_index)

    @property
    def is_cancelled(self) -> bool:
        """Whether the body is asked to end; a clean-up never is."""
        return self.run.cancellation.is_asked and not self.node.task.cleans_up


def _run_fact(name: str) -> Callable[[TaskFrame], Any]:
    return lambda frame: getattr(frame.run, name)


def _day(offset: int, form: str) -> Callable[[TaskFrame], str]:
    return lambda frame: (frame["date"] + timedelta(days=offset)).strftime(form)


def _run_key(frame: TaskFrame) -> str:
    return f"{frame.run.flow_run_id}/{frame.node.label.slug}/{frame.map_index}"


TaskFrame.makers = {
    **{
        name: _run_fact(name)
        for name in (
            "flow_name",
            "flow_run_id",
            "flow_run_name",
            "parameters",
            "scheduled_start_time",
        )
    },
    "date": lambda frame: clock.utc_now(),
    "today": _day(0, "%Y-%m-%d"),
    "yesterday": _day(-1, "%Y-%m-%d"),
    "tomorrow": _day(1, "%Y-%m-%d"),
    "today_nodash": _day(0, "%Y%m%d"),
    "yesterday_nodash": _day(-1, "%Y%m%d"),
    "tomorrow_nodash": _day(1, "%Y%m%d"),
    "logger": lambda frame: get_logger(frame.node.label.name),
    "map_index": lambda frame: frame.map_index if frame.map_index >= 0 else None,
    "task_name": lambda frame: frame.node.label.name,
    "task_full_name": lambda frame: frame.full_name,
    "task_run_name": lambda frame: frame.full_name,
    "task_slug": lambda frame: frame.node.label.slug,
    "task_tags": lambda frame: set(frame.node.label.tags),
    "task_run_id": _run_key,
    # The same for each attempt: what a task writes under this key may be written twice without harm.
    "idempotency_key": _run_key,
    "task_run_count": lambda frame: 1,
    "task_loop_count": lambda frame: 1,
    "task_loop_result": lambda frame: None,
    "resume": lambda frame: False,
    "cancelled": lambda frame: frame.is_cancelled,
}
