"""Exceptions by which a task, a trigger or a state handler asks for a state.

They derive from BaseException, so that `except Exception` in a task lets them pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import state as states
from .state import State


class PrefectStateSignal(BaseException):
    """Ends the run with `self.state`.

    Args:
        message: The state's message.
        state_kwargs: Further arguments of the state class, such as `result` or `start_time`.
    """

    state_class: type[State] = State

    def __init__(self, message: str | None = None, *args: Any, **state_kwargs: Any) -> None:
        super().__init__(message, *args)
        self.state = self._make_state(message, state_kwargs)

    def _make_state(self, message: str | None, state_kwargs: dict[str, Any]) -> State:
        # A signal without a result of its own is the result, as an exception would be.
        state_kwargs.setdefault("result", self)
        return self.state_class(message, **state_kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        own = {} if self.state._result is self else {"result": self.state._result}
        own.update(self.state.data())
        return _rebuild, (type(self), self.args, own)


def _rebuild(
    kind: Callable[..., PrefectStateSignal], args: tuple[Any, ...], own: dict[str, Any]
) -> PrefectStateSignal:
    return kind(*args, **own)


class FAIL(PrefectStateSignal):
    """The run is Failed."""

    state_class = states.Failed


class TRIGGERFAIL(FAIL):
    """The trigger is not satisfied; the run is TriggerFailed."""

    state_class = states.TriggerFailed


class VALIDATIONFAIL(FAIL):
    """The result is wrong; the run is ValidationFailed."""

    state_class = states.ValidationFailed


class SUCCESS(PrefectStateSignal):
    """The run is a Success."""

    state_class = states.Success


class SKIP(PrefectStateSignal):
    """The run is Skipped, and so is what lies below, unless told otherwise."""

    state_class = states.Skipped

    def _make_state(self, message: str | None, state_kwargs: dict[str, Any]) -> State:
        state_kwargs.setdefault("result", None)
        return super()._make_state(message, state_kwargs)


class RETRY(PrefectStateSignal):
    """The run is tried again at `start_time` (now when not given), whatever its `max_retries`."""

    state_class = states.Retrying


class PAUSE(PrefectStateSignal):
    """The run waits for somebody's word."""

    state_class = states.Paused


class LOOP(PrefectStateSignal):
    """Run again, with `context.task_loop_result` = `result` and a `context.task_loop_count` one higher."""

    state_class = states.Looped

    def _make_state(self, message: str | None, state_kwargs: dict[str, Any]) -> State:
        state_kwargs.setdefault("result", None)
        return super()._make_state(message, state_kwargs)


class ENDRUN(BaseException):
    """Stops all processing of this run with the given state."""

    def __init__(self, state: State) -> None:
        super().__init__(state.message)
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.state,)


def signal_from_state(state: State) -> type[PrefectStateSignal]:
    """The signal class that asks for a state of this class.

    Raises:
        ValueError: No signal asks for such a state.
    """
    for kind in (FAIL, TRIGGERFAIL, VALIDATIONFAIL, SUCCESS, SKIP, RETRY, PAUSE, LOOP):
        if kind.state_class is type(state):
            return kind
    raise ValueError(f"no signal asks for the state {type(state).__name__}")
