"""The table of lawful moves: which state of a run may follow which."""

from __future__ import annotations

from .state import (
    Cached,
    Cancelled,
    Cancelling,
    Failed,
    Finished,
    Looped,
    Mapped,
    MetaState,
    Pending,
    Running,
    Scheduled,
    Skipped,
    State,
    Success,
)

#: From each kind of state, the kinds that may follow; a kind stands for all below it too.
LAWFUL: dict[type[State], tuple[type[State], ...]] = {
    MetaState: (State,),
    Pending: (Pending, MetaState, Running, Finished),
    # Pending again: the worker died, and the run is handed to another one.
    Running: (Pending, Cancelling, Finished),
    Cancelling: (Finished,),
    Looped: (Running, Failed, Success, Cancelled),
    Success: (Cached, Failed),  # Failed: the result could not be kept, or a handler failed
    Cached: (Running, Cached, Failed),  # validated again: still good, or not
    Mapped: (Mapped, Pending, Failed, Success),
    Failed: (Scheduled, Failed, Success),  # Scheduled: a retry; Success: set so by a handler
    Skipped: (Failed,),
    Cancelled: (),
}


def is_lawful(old: type[State], new: type[State]) -> bool:
    """Whether a run may move from state `old` to state `new`.

    >>> is_lawful(Pending, Running), is_lawful(Failed, Scheduled), is_lawful(Cancelled, Running)
    (True, True, False)
    """
    answer = _lawful.get((old, new))
    if answer is None:
        answer = _lawful[old, new] = _is_in_table(old, new)
    return answer


#: The answers of `is_lawful` until now.
_lawful: dict[tuple[type[State], type[State]], bool] = {}


def _is_in_table(old: type[State], new: type[State]) -> bool:
    if new is Pending and issubclass(old, Finished):
        return True  # what it came to was lost with its worker, and it has to run again
    for kind in old.__mro__:
        if kind in LAWFUL:
            return issubclass(new, LAWFUL[kind])
    return old is State
