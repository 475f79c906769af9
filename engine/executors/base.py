"""What every executor does: runs nodes somewhere, and tells what came of them.

Flow runs use the whole-graph door: `Executor.open` gives a `GraphRun`, which takes hand-overs at any time and
yields events. `submit` and `wait` are for single functions.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from ..context import context
from ..hand_over import HandOver
from ..node import RunPackage
from ..state import LazyResult
from ..stream import Event, NodeId

T = TypeVar("T")


class GraphRun(Protocol):
    """One flow run on one executor. All methods but `let_end` are called by the coordinating thread."""

    def room(self) -> int:
        """How many more nodes it takes now; with 0, ask again after `wait`."""
        ...

    def at_once(self) -> int:
        """How many task runs can be at work at a time, with those that should be there when one of them ends."""
        ...

    def extend(self, plan: Sequence[HandOver]) -> None:
        """Take nodes to run; each runs as soon as what it needs is there. Returns at once."""
        ...

    def wait(self, timeout_seconds: float) -> list[Event]:
        """What happened since the last call; [] when nothing did within the time.

        The state of a finished node comes with its result, or fetches it when it is read.

        Raises:
            ClusterLost: The place where the nodes ran is gone.
        """
        ...

    def let_end(self, grace_seconds: float) -> None:
        """Begin no other task run, and ask the bodies at work to end by themselves. Returns at once.

        For any thread, and may be called again. `wait` returns soon. A body in the thread that calls `wait` is
        stopped after `grace_seconds`; others end with `close`.
        """
        ...

    def is_at_work(self) -> bool:
        """Whether, after `let_end`, a task run that had begun may still be at work."""
        ...

    def release(self, nodes: Iterable[NodeId]) -> None:
        """Let go of the values of nodes that nothing needs any more."""
        ...

    def close(self, *, is_cancelled: bool) -> list[Event]:
        """End the run here: with `is_cancelled`, stop what is running; either way leave nothing behind.

        Returns:
            What happened since the last `wait`.
        """
        ...


@runtime_checkable
class RunsHere(Protocol):
    """A graph run whose nodes run in the thread that calls `wait`: it cannot tell anything in the meantime.

    Attributes:
        take_early: Is given events while `wait` is running, in whatever thread, while that one is held up.
    """

    take_early: Callable[[list[Event]], None] | None

    def look(self) -> None:
        """Hand to `take_early` what there is, where the thread of `wait` is in a body now. For another thread."""
        ...


@runtime_checkable
class HoldsResults(Protocol):
    """A graph run whose results lie elsewhere.

    Attributes:
        result_of: Finds that of an execution which is over, also after the run; None where it is gone.
    """

    result_of: Callable[[NodeId], LazyResult | None]


@runtime_checkable
class SeesWorkers(Protocol):
    """A graph run whose nodes may find no worker."""

    def shortages(self) -> list[str]:
        """What could run now and does not: how many task runs, and what kind of worker they wait for."""
        ...


@runtime_checkable
class Reopens(Protocol):
    """An executor that may find another place where the one that it had is lost."""

    def reopen(
        self, package: RunPackage, within_seconds: float, is_wanted: Callable[[], bool]
    ) -> GraphRun | None:
        """Begin a flow run anew after `ClusterLost`. Only within `start()`.

        Args:
            package: The run, under another token than before.
            within_seconds: How long it waits for a place.
            is_wanted: Whether the run is to go on; asked again and again meanwhile.

        Returns:
            None where the place was somebody else's, who alone could say which one took its place, or where the
            run is not to go on.

        Raises:
            PrefectDaskError: There was none within the time.
        """
        ...


class Executor(ABC):
    """The base of all executors: a place to run nodes, started once and used by any number of runs."""

    def start(self) -> AbstractContextManager[Executor]:
        """A context manager that makes the place ready and clears it away; may be nested."""
        return _Started(self)

    @abstractmethod
    def submit(
        self, fn: Any, *args: Any, extra_context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run one function there; returns something that `wait` takes. Only within `start()`."""

    @abstractmethod
    def wait(self, futures: Any) -> Any:
        """The values of what `submit` returned: one, or a collection of them at any depth."""

    @abstractmethod
    def open(self, package: RunPackage) -> GraphRun:
        """Begin a flow run there. Only within `start()`."""

    #: Whether it is on a Dask cluster, of which `client` is the client within `start()`.
    is_on_cluster: ClassVar[bool] = False

    # ---- for executors

    def _set_up(self) -> None:
        """Make ready; called when the first `start()` is entered."""

    def _clear_away(self) -> None:
        """Undo `_set_up`; called when the last `start()` is left."""

    _starts: int = 0

    def __getstate__(self) -> dict[str, Any]:
        """An executor is saved as it was configured, never as it is running."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __repr__(self) -> str:
        return f"<Executor: {type(self).__name__}>"


#: Held while an executor is made ready or cleared away: several threads may run flows on one.
starting = threading.RLock()


class _Started:
    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def __enter__(self) -> Executor:
        with starting:
            if self.executor._starts == 0:
                self.executor._set_up()
            self.executor._starts += 1
        return self.executor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with starting:
            self.executor._starts -= 1
            if self.executor._starts == 0:
                self.executor._clear_away()


def call_in_context(fn: Any, facts: Mapping[str, Any] | None, args: Any, kwargs: Any) -> Any:
    """Call a submitted function with facts in its context."""
    with context(facts or {}):
        return fn(*args, **kwargs)


def map_nested(convert: Any, value: Any) -> Any:
    """`value` with `convert` applied to what stands in its lists, tuples, sets and dicts, at any depth.

    >>> map_nested(str, [1, {"a": (2, 3)}])
    ['1', {'a': ('2', '3')}]
    """
    if isinstance(value, (list, tuple, set)):
        return type(value)(map_nested(convert, item) for item in value)
    if isinstance(value, dict):
        return {key: map_nested(convert, item) for key, item in value.items()}
    return convert(value)
