"""What has to be done in a process before anything of a run is unpickled there.

A run may need a process to be made ready in a way that this package does not know: import hooks
are such a thing. What is noted here travels at the head of what is sent to other processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_steps: dict[str, Callable[[], object]] = {}


def do_beforehand(name: str, step: Callable[[], object]) -> None:
    """From now on call `step` in each process to which something of a run is sent, first of all.

    Args:
        name: To take it back by.
        step: A picklable function; called each time that something arrives, so it should be quick
            when there is nothing to do.
    """
    _steps[name] = step


def no_longer_beforehand(name: str) -> None:
    """Take back what `do_beforehand` was told."""
    _steps.pop(name, None)


class Beforehand:
    """At the head of a pickle: unpickling it takes the steps that were noted where it was made.

    >>> import pickle
    >>> from functools import partial
    >>> do_beforehand("hello", partial(print, "hello"))
    >>> sent = pickle.dumps((Beforehand(), "what follows"))
    >>> no_longer_beforehand("hello")
    >>> _, what_follows = pickle.loads(sent)
    hello
    """

    def __init__(self) -> None:
        self.steps = tuple(_steps.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return _take, self.steps


def _take(*steps: Callable[[], object]) -> Beforehand:
    for step in steps:
        step()
    return Beforehand()
