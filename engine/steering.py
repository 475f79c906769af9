"""What may be asked of a flow run while it runs, from any thread of its coordinating process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from . import clock
from .executors.base import GraphRun

GRACE_SECONDS: Final = 10.0
"""How long bodies may take to end by themselves when their run is cancelled, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A run is to be cancelled.

    Attributes:
        cause: Why, or by whom.
        until: When bodies that have not ended by themselves are stopped, as `clock.monotonic()` counts.
    """

    cause: str
    until: float


class Steering:
    """The door through which a flow run is told something while it runs.

    Example:
        >>> steering = Steering()
        >>> steering.cancel("nobody needs it", grace_seconds=5)
        True
        >>> steering.asked.cause
        'nobody needs it'
    """

    def __init__(self) -> None:
        #: That the run is to be cancelled; None where nobody asked.
        self.asked: Cancel | None = None
        self._is_closed = False
        self._graph_run: GraphRun | None = None
        self._lock = threading.Lock()

    def cancel(self, cause: str = "by request", *, grace_seconds: float = GRACE_SECONDS) -> bool:
        """Have the run cancelled; returns at once, and may be called by any thread, also again.

        No other task run begins. Bodies at work see `context.cancelled`, and are stopped after the time of grace as
        far as their isolation allows; of several times the shortest counts.

        Args:
            cause: Why, or by whom; stands in the states.
            grace_seconds: How long bodies may take to end by themselves, >= 0.

        Returns:
            Whether the run is or will be cancelled; not where it was over before.
        """
        with self._lock:
            if self._is_closed and self.asked is None:
                return False
            until = clock.monotonic() + grace_seconds
            if self.asked is None or until < self.asked.until:
                self.asked = Cancel(cause if self.asked is None else self.asked.cause, until)
                if self._graph_run is not None:
                    self._graph_run.let_end(grace_seconds)
        return True

    # ---- for the flow runner

    def begin(self, graph_run: GraphRun) -> None:
        """The run begins there; what was asked before counts from here on."""
        with self._lock:
            self._graph_run = graph_run
            if self.asked is not None:
                graph_run.let_end(max(0.0, self.asked.until - clock.monotonic()))

    def close(self) -> Cancel | None:
        """Nothing that is asked from here on counts; what was asked until now."""
        with self._lock:
            self._is_closed = True
            return self.asked

    def end(self) -> None:
        """The graph run is over."""
        with self._lock:
            self._graph_run = None
